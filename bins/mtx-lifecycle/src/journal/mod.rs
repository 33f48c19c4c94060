//! What was wanted and what was done, so that it survives whatever happens to this program and to the server.
//!
//! A file of lines, each with a checksum, written to the disk before and after each change of the server. It is
//! read as a whole when it is opened; a last line that a crash has torn is left out.

mod file;
mod lock;
mod old;
mod record;
mod state;

pub use file::{Journal, JournalError};
pub use lock::{Lock, LockError, WATCH_LOCK};
pub use record::{Outcome, Record};
pub use state::{Revision, State};
