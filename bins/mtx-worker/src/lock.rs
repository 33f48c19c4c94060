//! One worker for one output on a host: a second one would throw out the first, and be thrown out by
//! its retry.

use std::io;
use std::time::Duration;

use crate::digest::digest;
use crate::rtmp::url::RtmpUrl;

/// How long to wait for a worker that is just ending: MediaMTX starts the hook of the next publisher
/// while it stops that of the last.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// Held while this process may publish to an output; the system frees it when the process ends, however
/// it ends.
pub(crate) struct OutputLock {
    _held: platform::Held,
}

impl OutputLock {
    /// Takes the lock of `url`; `None` when another worker keeps it.
    pub(crate) async fn take(url: &RtmpUrl) -> io::Result<Option<Self>> {
        let name = format!("mtx-worker-{}", digest(&[&url.place()]));
        let held = wait_for(async || platform::try_hold(&name).transpose());
        Ok(held.await.transpose()?.map(|held| Self { _held: held }))
    }
}

/// Asks until there is an answer, or patience ends.
pub(crate) async fn wait_for<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = tokio::time::Instant::now();
    loop {
        let answer = ask().await;
        if answer.is_some() || start.elapsed() >= PATIENCE {
            return answer;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// An abstract socket name needs no file system, which MediaMTX's image may have read-only.
#[cfg(target_os = "linux")]
mod platform {
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    pub(super) type Held = UnixListener;

    pub(super) fn try_hold(name: &str) -> io::Result<Option<Held>> {
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::fs::{File, TryLockError};
    use std::io;

    pub(super) type Held = File;

    pub(super) fn try_hold(name: &str) -> io::Result<Option<Held>> {
        let file = File::create(std::env::temp_dir().join(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(key: &str) -> RtmpUrl {
        RtmpUrl::parse(
            &format!("rtmp://host/lock-test-{}/{key}", std::process::id()),
            None,
        )
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_is_held_once_and_free_afterwards() {
        let first = OutputLock::take(&url("a")).await.unwrap();
        assert!(first.is_some());
        assert!(OutputLock::take(&url("a")).await.unwrap().is_none());
        assert!(OutputLock::take(&url("b")).await.unwrap().is_some());
        drop(first);
        assert!(OutputLock::take(&url("a")).await.unwrap().is_some());
    }
}
