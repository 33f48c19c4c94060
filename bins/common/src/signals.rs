//! SIGINT and SIGTERM: the orderly end of a service. SIGHUP: its configuration is to be read again.

#[cfg(unix)]
pub use unix::StopSignals;

#[cfg(not(unix))]
pub use elsewhere::StopSignals;

/// What a signal asks a service for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To end, by the signal of this number.
    Stop(u8),
    /// To read its configuration again.
    Reload,
}

#[cfg(unix)]
mod unix {
    use nix::sys::signal::{SigSet, Signal};

    use super::Request;

    /// The signals that end this process, waited for instead of being delivered.
    #[derive(Debug)]
    pub struct StopSignals(SigSet);

    impl StopSignals {
        /// Threads and processes started later hold them back, too.
        #[must_use]
        pub fn hold_back() -> Self {
            Self::hold_back_these(&[Signal::SIGINT, Signal::SIGTERM])
        }

        /// The same with SIGHUP, for a service that reads its configuration again.
        #[must_use]
        pub fn hold_back_with_hangup() -> Self {
            Self::hold_back_these(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
        }

        fn hold_back_these(signals: &[Signal]) -> Self {
            let signals = SigSet::from_iter(signals.iter().copied());
            // Should it fail, the process ends without a farewell.
            let _ = signals.thread_block();
            Self(signals)
        }

        /// Returns when one has come: which end or reload it asks for.
        pub fn wait(&self) -> Request {
            loop {
                match self.0.wait() {
                    Ok(Signal::SIGHUP) => return Request::Reload,
                    Ok(signal) => return Request::Stop(signal as u8),
                    Err(_) => {}
                }
            }
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

        /// Nothing is held back.
        #[must_use]
        pub fn hold_back_with_hangup() -> Self {
            Self
        }

        /// Nothing ends the process in an orderly way here.
        pub fn wait(&self) -> super::Request {
            loop {
                std::thread::park();
            }
        }
    }
}
