//! SIGINT and SIGTERM: the orderly end of a service.

#[cfg(unix)]
pub use unix::StopSignals;

#[cfg(not(unix))]
pub use elsewhere::StopSignals;

#[cfg(unix)]
mod unix {
    use nix::sys::signal::{SigSet, Signal};

    /// The signals that end this process, waited for instead of being delivered.
    #[derive(Debug)]
    pub struct StopSignals(SigSet);

    impl StopSignals {
        /// Threads and processes started later hold them back, too.
        #[must_use]
        pub fn hold_back() -> Self {
            let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
            // Should it fail, the process ends without a farewell.
            let _ = signals.thread_block();
            Self(signals)
        }

        /// Returns when one has come.
        pub fn wait(&self) {
            while self.0.wait().is_err() {}
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    /// Signals are not known here.
    #[derive(Debug)]
    pub struct StopSignals;

    impl StopSignals {
        /// Nothing is held back.
        #[must_use]
        pub fn hold_back() -> Self {
            Self
        }

        /// Nothing ends the process in an orderly way here.
        pub fn wait(&self) {
            loop {
                std::thread::park();
            }
        }
    }
}
