//! One RTSP connection: the bytes of a [`Conversation`] over a socket.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::SourceError;
use super::url::RtspUrl;
use crate::net::{self, Socket};
use crate::rtsp::conversation::{Answer, Conversation};
use crate::rtsp::headers::Headers;
use crate::rtsp::message::{Incoming, Reader, Response};
use crate::tls;

/// What the start of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Room for so much is made before each read.
const READ: usize = 64 * 1024;

/// A packet in the connection, or a datagram beside it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) channel: u8,
    pub(super) data: Bytes,
    pub(super) at: Instant,
}

/// What happens in a connection while a stream plays.
#[derive(Debug)]
pub(super) enum Event {
    Packet(Arrived),
    Response(Response),
    /// A request of the server's.
    Request {
        method: String,
        headers: Headers,
    },
}

/// Packets before the answer to PLAY are kept up to so many bytes.
const MAX_EARLY: usize = 8 * 1024 * 1024;

/// A connection to a server.
pub(super) struct Connection {
    socket: Box<dyn Socket>,
    pub(super) server: IpAddr,
    reader: Reader,
    pub(super) conversation: Conversation,
    /// Packets that came while an answer was waited for.
    early: VecDeque<Arrived>,
    /// When the latest bytes came.
    latest: Instant,
}

impl Connection {
    /// Connects; `tls` is for URLs that want it.
    pub(super) async fn open(
        url: &RtspUrl,
        tls: Option<&TlsConnector>,
    ) -> Result<Self, SourceError> {
        let connected = net::connect(url.host(), url.port()).await;
        let tcp = connected.map_err(|error| match net::is_refused(&error) {
            true => SourceError::NobodyListens(url.port()),
            false => SourceError::Connect(error.to_string()),
        })?;
        let server = tcp
            .peer_addr()
            .map_err(|error| SourceError::Connect(error.to_string()))?;
        let socket: Box<dyn Socket> = match tls {
            Some(connector) => {
                let wrapped = timeout(HANDSHAKE, tls::wrap(connector, url.host(), tcp)).await;
                let no_answer = "no answer to the handshake: is it rtsp:// there?";
                let wrapped = wrapped.map_err(|_| SourceError::Tls(no_answer.to_owned()))?;
                Box::new(wrapped.map_err(|error| SourceError::Tls(error.to_string()))?)
            }
            None => Box::new(tcp),
        };
        Ok(Self::over(socket, server.ip().to_canonical(), url))
    }

    /// Talks to the server at `server` through a socket, with the login of `url`.
    pub(super) fn over(socket: Box<dyn Socket>, server: IpAddr, url: &RtspUrl) -> Self {
        let owned = |(user, password): (&str, &str)| (user.to_owned(), password.to_owned());
        Self {
            socket,
            server,
            reader: Reader::default(),
            conversation: Conversation::new(url.credentials().map(owned)),
            early: VecDeque::new(),
            latest: net::now(),
        }
    }

    /// Sends a request and waits for its answer, of whatever status.
    pub(super) async fn call(
        &mut self,
        method: &'static str,
        url: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Response, SourceError> {
        let request = self.conversation.request(method, url, headers);
        self.send(&request).await?;
        loop {
            match self.event().await? {
                Event::Packet(packet) => self.keep(packet)?,
                Event::Request { method, headers } => {
                    self.send(&Conversation::reply(&method, &headers)).await?;
                }
                Event::Response(response) => match self.conversation.answer(response)? {
                    Answer::Final(response) => return Ok(response),
                    Answer::Again(request) => self.send(&request).await?,
                    Answer::Stray => {}
                },
            }
        }
    }

    /// The next packet that came while an answer was waited for.
    pub(super) fn early(&mut self) -> Option<Arrived> {
        self.early.pop_front()
    }

    fn keep(&mut self, packet: Arrived) -> Result<(), SourceError> {
        let kept: usize = self.early.iter().map(|packet| packet.data.len()).sum();
        if kept > MAX_EARLY {
            let what = "the server sends media, but does not answer";
            return Err(SourceError::Protocol(what.to_owned()));
        }
        self.early.push_back(packet);
        Ok(())
    }

    /// What comes next. Safe to cancel.
    pub(super) async fn event(&mut self) -> Result<Event, SourceError> {
        loop {
            if let Some(incoming) = self.reader.next()? {
                return Ok(match incoming {
                    Incoming::Packet { channel, data } => Event::Packet(Arrived {
                        channel,
                        data,
                        at: self.latest,
                    }),
                    Incoming::Request { method, headers } => Event::Request { method, headers },
                    Incoming::Response(response) => Event::Response(response),
                });
            }
            let buffer = self.reader.buffer();
            buffer.reserve(READ);
            match self.socket.read_buf(buffer).await {
                Ok(0) => return Err(SourceError::Closed),
                Ok(_) => self.latest = net::now(),
                Err(error) => return Err(SourceError::Broken(error.to_string())),
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        let write = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        write
            .await
            .map_err(|error| SourceError::Broken(error.to_string()))
    }

    /// Sends a packet in the connection (section 10.12).
    pub(super) async fn send_packet(
        &mut self,
        channel: u8,
        packet: &[u8],
    ) -> Result<(), SourceError> {
        let [high, low] = (packet.len() as u16).to_be_bytes();
        self.send(&[&[b'$', channel, high, low], packet].concat())
            .await
    }
}
