//! The command line: what the user typed, what is meant by it, and what each command prints.

pub(crate) mod arguments;
pub(crate) mod complete;
pub(crate) mod options;
mod picture;
mod policies;
pub(crate) mod run;
mod streams;
mod table;
mod watch;
