//! SIGINT and SIGTERM: the orderly end.

#[cfg(unix)]
pub(crate) use unix::StopSignals;

#[cfg(not(unix))]
pub(crate) use elsewhere::StopSignals;

#[cfg(unix)]
mod unix {
    use nix::sys::signal::{SigSet, Signal};

    /// The signals that end this process, waited for instead of being delivered.
    pub(crate) struct StopSignals(SigSet);

    impl StopSignals {
        /// Threads started later hold them back, too.
        pub(crate) fn hold_back() -> Self {
            let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
            // Should it fail, the process ends without a farewell.
            let _ = signals.thread_block();
            Self(signals)
        }

        /// Returns when one has come.
        pub(crate) fn wait(&self) {
            while self.0.wait().is_err() {}
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    pub(crate) struct StopSignals;

    impl StopSignals {
        pub(crate) fn hold_back() -> Self {
            Self
        }

        /// Nothing ends the process in an orderly way here.
        pub(crate) fn wait(&self) {
            loop {
                std::thread::park();
            }
        }
    }
}
