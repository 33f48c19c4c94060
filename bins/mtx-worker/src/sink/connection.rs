//! One RTMP connection to a server: the bytes of a [`Publisher`] over a socket.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::SinkError;
use crate::net::{self, Socket};
use crate::rtmp::outgoing::Outgoing;
use crate::rtmp::publish::Publisher;
use crate::rtmp::url::RtmpUrl;
use crate::tls;

/// From the name lookup to the accepted stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that takes nothing for this long, or acknowledges nothing, is gone. Detection within 5 s is promised.
const STALL: Duration = Duration::from_secs(4);

/// How often a server that takes nothing is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// An orderly end must not hold up a worker that was told to go.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// As many as a frame of half a megabyte has, headers and chunks.
const MOST_SLICES: usize = 16;

/// A connection whose server accepted the stream.
pub(super) struct Connection {
    socket: Box<dyn Socket>,
    pub(super) publisher: Publisher,
    incoming: Vec<u8>,
    /// When the server acknowledged what was sent, as far as it does that.
    acknowledged: Instant,
    /// Whether a write was cut short, so that nothing more can be said on this connection.
    cut: bool,
}

impl Connection {
    /// Connects and publishes a stream whose codecs have these four-character codes.
    pub(super) async fn open(
        url: &RtmpUrl,
        tls: Option<&TlsConnector>,
        four_ccs: Vec<&'static str>,
    ) -> Result<Self, SinkError> {
        timeout(OPEN_TIMEOUT, Self::publish(url, tls, four_ccs))
            .await
            .unwrap_or(Err(SinkError::Timeout(OPEN_TIMEOUT)))
    }

    async fn publish(
        url: &RtmpUrl,
        tls: Option<&TlsConnector>,
        four_ccs: Vec<&'static str>,
    ) -> Result<Self, SinkError> {
        let connected = net::connect(&url.host, url.port).await;
        let tcp = connected.map_err(|error| match url.on_server && net::is_refused(&error) {
            true => SinkError::NobodyListens(url.port),
            false => SinkError::Connect(error),
        })?;
        let socket: Box<dyn Socket> = match tls {
            None => Box::new(tcp),
            Some(connector) => Box::new(
                tls::wrap(connector, &url.host, tcp)
                    .await
                    .map_err(SinkError::Tls)?,
            ),
        };
        let mut connection = Self {
            socket,
            publisher: Publisher::new(url.clone(), four_ccs),
            incoming: vec![0; 4096],
            acknowledged: Instant::now(),
            cut: false,
        };
        while !connection.publisher.is_publishing() {
            connection.flush().await?;
            match connection.receive().await {
                Err(SinkError::Closed) => return Err(SinkError::Refused),
                other => other?,
            }
        }
        Ok(connection)
    }

    /// Takes in what the server says; fails when it closes. Safe to cancel.
    pub(super) async fn receive(&mut self) -> Result<(), SinkError> {
        match self
            .socket
            .read(&mut self.incoming)
            .await
            .map_err(SinkError::Broken)?
        {
            0 => Err(SinkError::Closed),
            count => {
                let before = self.publisher.acknowledgements();
                self.publisher.receive(&self.incoming[..count])?;
                if self.publisher.acknowledgements() > before {
                    self.acknowledged = Instant::now();
                }
                Ok(())
            }
        }
    }

    /// Fails if the server has not acknowledged anything for too long: buffers of the system on both sides take seconds
    /// or minutes of a stream before nothing more can be sent.
    pub(super) async fn check_acknowledged(&mut self) -> Result<(), SinkError> {
        if !self.is_acknowledgement_overdue() {
            return Ok(());
        }
        self.receive_what_came().await?;
        match self.is_acknowledgement_overdue() {
            true => Err(SinkError::Stalled(STALL)),
            false => Ok(()),
        }
    }

    /// Takes in what came while there was so much to send that nobody looked.
    async fn receive_what_came(&mut self) -> Result<(), SinkError> {
        while let Ok(received) = timeout(Duration::ZERO, self.receive()).await {
            received?;
        }
        Ok(())
    }

    fn is_acknowledgement_overdue(&self) -> bool {
        self.publisher.is_owed_acknowledgement() && self.acknowledged.elapsed() >= STALL
    }

    /// Sends all that the publisher has to say.
    pub(super) async fn flush(&mut self) -> Result<(), SinkError> {
        let mut outgoing = self.publisher.take_output();
        if outgoing.is_empty() {
            return Ok(());
        }
        self.cut = true;
        while !outgoing.is_empty() {
            let written = self.write_some(&mut outgoing).await?;
            outgoing.advance(written);
        }
        self.flush_socket().await?;
        self.cut = false;
        Ok(())
    }

    /// Waits until at least a part can be written.
    async fn write_some(&mut self, outgoing: &mut Outgoing) -> Result<usize, SinkError> {
        let begun = Instant::now();
        let mut slices = [IoSlice::new(&[]); MOST_SLICES];
        let count = outgoing.fill(&mut slices);
        let slices = &slices[..count];
        loop {
            match timeout(LOOK, self.socket.write_vectored(slices)).await {
                Ok(Ok(0)) => return Err(SinkError::Closed),
                Ok(written) => return written.map_err(SinkError::Broken),
                Err(_) => self.look_after_slow_server(begun).await?,
            }
        }
    }

    /// Waits until TLS has handed on all that it has encrypted.
    async fn flush_socket(&mut self) -> Result<(), SinkError> {
        let begun = Instant::now();
        loop {
            match timeout(LOOK, self.socket.flush()).await {
                Ok(flushed) => return flushed.map_err(SinkError::Broken),
                Err(_) => self.look_after_slow_server(begun).await?,
            }
        }
    }

    /// Fails if the server is gone. The system makes room in large steps, which take a slow server many seconds; what it
    /// acknowledges meanwhile shows that it goes on.
    async fn look_after_slow_server(&mut self, begun: Instant) -> Result<(), SinkError> {
        self.receive_what_came().await?;
        match begun.elapsed() >= STALL && self.acknowledged.elapsed() >= STALL {
            true => Err(SinkError::Stalled(STALL)),
            false => Ok(()),
        }
    }

    /// Ends the stream in an orderly way, as far as the server lets it.
    pub(super) async fn close(mut self) {
        self.publisher.close();
        let end = async {
            if !self.cut && self.flush().await.is_ok() {
                // The server is gone already, if this fails.
                let _ = self.socket.shutdown().await;
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, end).await;
    }
}
