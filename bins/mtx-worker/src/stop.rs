//! Requests to end, from the system or within the worker.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// True after SIGINT, which MediaMTX sends at the end of a stream, or SIGTERM.
pub(crate) fn on_signal() -> io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Nobody listens any more, if this fails.
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

/// Waits until it turns true, or its sender is gone.
pub(crate) async fn requested(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|is_requested| *is_requested).await;
}
