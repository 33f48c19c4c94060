//! MediaMTX sends SIGINT to a hook whose stream has ended; the event of its beginning must still arrive.

/// Keeps SIGINT and SIGTERM waiting until this process ends, which its deadline sees to.
#[cfg(unix)]
pub(crate) fn hold_back() {
    use nix::sys::signal::{SigSet, Signal};

    // Threads inherit the mask. Should it fail, the hook is as good as one without.
    let _ = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_block();
}

/// A command that loses nothing may be interrupted.
#[cfg(unix)]
pub(crate) fn let_through() {
    use nix::sys::signal::{SigSet, Signal};

    let _ = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_unblock();
}

/// There are no such signals here.
#[cfg(not(unix))]
pub(crate) fn hold_back() {}

/// There are no such signals here.
#[cfg(not(unix))]
pub(crate) fn let_through() {}
