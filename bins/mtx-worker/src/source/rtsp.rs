//! Opening a stream over RTSP (RFC 2326).

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::datagrams::Datagrams;
use super::error::SourceError;
use super::losses::{Losses, Total};
use super::played::Played;
use super::session::{Receiver, Session};
use super::tracks::choose;
use super::url::{RtspUrl, Transport};
use crate::config::Config;
use crate::rtsp::headers::{self, rtp_info};
use crate::rtsp::message::Response;
use crate::rtsp::sdp::{Description, control_url};
use crate::tls;

/// From the name lookup to the description, and from there to the answer to PLAY.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// The same with a login. MediaMTX waits up to 4 s before it answers to a wrong one
/// (`internal/auth/log_and_delay_error.go`).
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// With automatic transport, how long UDP may take to bring something.
const UDP_TRIAL: Duration = Duration::from_secs(2);

/// A stream on an RTSP server.
pub(crate) struct RtspSource {
    url: RtspUrl,
    transport: Transport,
    epoch: Instant,
    tls: Option<TlsConnector>,
    /// Sessions that are telling the server of their end.
    closing: Rc<RefCell<JoinSet<()>>>,
    losses: Rc<Total>,
}

/// What the server answered to DESCRIBE.
pub(super) struct Described {
    connection: Connection,
    pub(super) description: Description,
    /// The URL that those of tracks are relative to.
    base: String,
}

impl RtspSource {
    /// The input of a worker; times are counted from `epoch`. Fails if its TLS can't be set up.
    pub(crate) fn new(config: &Config, epoch: Instant) -> Result<Self> {
        let url = config.input.clone();
        let tls = url
            .is_tls
            .then(|| tls::connector(url.host(), config.reads_server))
            .transpose()?;
        Ok(Self {
            url,
            transport: config.transport,
            epoch,
            tls,
            closing: Rc::default(),
            losses: Rc::default(),
        })
    }

    /// What got lost so far, in all sessions.
    pub(crate) fn losses(&self) -> Losses {
        self.losses.get()
    }

    /// Starts playing.
    pub(crate) async fn open(&self) -> Result<Session, SourceError> {
        let described = self.in_time(self.describe(&self.url)).await?;
        // Over TLS datagrams would go beside it, in the clear.
        if self.transport != Transport::Auto || self.url.is_tls {
            return self.in_time(self.play(described, self.transport)).await;
        }
        if let Ok(mut session) = self.in_time(self.play(described, Transport::Udp)).await
            && session.brings_packets(UDP_TRIAL).await
        {
            return Ok(session);
        }
        log::info!("no media over UDP, reading over TCP");
        // Some cameras have room for one session.
        self.close().await;
        let described = self.in_time(self.describe(&self.url)).await?;
        self.in_time(self.play(described, Transport::Tcp)).await
    }

    /// Waits until the server heard of the end of dropped sessions, as far as it listens.
    pub(crate) async fn close(&self) {
        let mut closing = std::mem::take(&mut *self.closing.borrow_mut());
        while closing.join_next().await.is_some() {}
    }

    /// A step of opening a session. It takes a moment, if it succeeds.
    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let limit = match self.url.credentials() {
            Some(_) => LOGIN_TIMEOUT,
            None => OPEN_TIMEOUT,
        };
        let ended = timeout(limit, step).await;
        ended.unwrap_or(Err(SourceError::Timeout(limit)))
    }

    async fn play(
        &self,
        described: Described,
        transport: Transport,
    ) -> Result<Session, SourceError> {
        let Described {
            connection,
            description,
            base,
        } = described;
        let control = control_url(&base, description.control.as_deref());
        let (chosen, left_out) = choose(description);
        if chosen.is_empty() {
            return Err(SourceError::Unsupported(left_out.join(", ")));
        }
        let mut played = Played::new(connection, control, self.closing.clone());
        let mut datagrams = (transport == Transport::Udp).then(Datagrams::new);
        let mut receivers = Vec::new();
        for (number, chosen) in chosen.into_iter().enumerate() {
            let channel = 2 * number as u8;
            let url = control_url(&base, chosen.media.control.as_deref());
            let channels = match &mut datagrams {
                None => set_up_tcp(&mut played, &url, channel).await?,
                Some(datagrams) => set_up_udp(&mut played, &url, channel, datagrams).await?,
            };
            receivers.push(Receiver::new(chosen, url, channels, datagrams.is_some()));
        }
        let headers = vec![("Range", "npt=0.000-".to_owned())];
        let control = played.control.clone();
        let answer = check(played.call("PLAY", &control, headers).await?)?;
        if let Some(info) = answer.headers.get("RTP-Info") {
            relate(&mut receivers, info);
        }
        Ok(Session::new(
            played,
            datagrams,
            receivers,
            left_out,
            self.epoch,
            self.losses.clone(),
        ))
    }

    /// Asks what there is, wherever the server sends us for it (section 11.3).
    async fn describe(&self, url: &RtspUrl) -> Result<Described, SourceError> {
        const REDIRECTS: usize = 3;
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            match self.describe_at(&url).await? {
                Ok(described) => return Ok(described),
                Err(elsewhere) => {
                    log::info!("the server sends us to {elsewhere}");
                    url = elsewhere;
                }
            }
        }
        Err(SourceError::Protocol(
            "the server sends us from one place to another without end".to_owned(),
        ))
    }

    /// Asks at one place; fails inside with where the server sends us instead.
    pub(super) async fn describe_at(
        &self,
        url: &RtspUrl,
    ) -> Result<Result<Described, RtspUrl>, SourceError> {
        let connection = Connection::open(url, self.tls.as_ref()).await?;
        Self::describe_over(connection, url).await
    }

    async fn describe_over(
        mut connection: Connection,
        url: &RtspUrl,
    ) -> Result<Result<Described, RtspUrl>, SourceError> {
        let text = url.to_request();
        let headers = vec![("Accept", "application/sdp".to_owned())];
        let answer = connection.call("DESCRIBE", &text, headers).await;
        let answer = answer.map_err(|error| match error {
            SourceError::Closed | SourceError::Broken(_) if !url.is_tls => SourceError::Protocol(
                "the server closed the connection instead of answering: is it rtsps:// there?"
                    .to_owned(),
            ),
            error => error,
        });
        if let Ok(answer) = &answer
            && (300..400).contains(&answer.status)
            && let Some(elsewhere) = answer.headers.get("Location")
        {
            let elsewhere = url.redirected(elsewhere);
            return elsewhere.map(Err).ok_or(SourceError::Status(answer.status));
        }
        let has_colon = url
            .credentials()
            .is_some_and(|(_, password)| password.contains(':'));
        let answer = answer.and_then(check).map_err(|error| match error {
            // It splits what Basic sends at each of them (gortsplib's `pkg/headers/authorization.go`).
            SourceError::Unauthorized(_) if has_colon => SourceError::Unauthorized(
                "check the user and the password of the input; with rtspAuthMethods: [basic], which is the default, \
                 MediaMTX takes no password with a colon",
            ),
            error => error,
        })?;
        let base = answer.headers.get("Content-Base");
        let base = base.or_else(|| answer.headers.get("Content-Location"));
        // Some cameras give a path alone.
        let base = base.filter(|base| base.contains("://")).unwrap_or(&text);
        Ok(Ok(Described {
            connection,
            description: Description::parse(&answer.body),
            base: base.to_owned(),
        }))
    }
}

async fn set_up_tcp(
    connection: &mut Connection,
    url: &str,
    channel: u8,
) -> Result<(u8, u8), SourceError> {
    let transport = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
    let answer = set_up(connection, url, transport).await?;
    // A server may number them in its own way.
    Ok(answer.interleaved.unwrap_or((channel, channel + 1)))
}

async fn set_up_udp(
    connection: &mut Connection,
    url: &str,
    channel: u8,
    datagrams: &mut Datagrams,
) -> Result<(u8, u8), SourceError> {
    let failed = |error: std::io::Error| SourceError::Connect(error.to_string());
    let server = connection.server;
    let port = datagrams.open(server.is_ipv6()).await.map_err(failed)?;
    let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
    let answer = set_up(connection, url, transport).await?;
    if answer.is_tcp {
        return Err(SourceError::Transport("UDP", "tcp"));
    }
    let source = answer
        .source
        .and_then(|source| source.parse::<IpAddr>().ok());
    let ports = answer.server_port;
    datagrams
        .listen(channel, source.unwrap_or(server), ports)
        .await;
    Ok((channel, channel + 1))
}

const UNSUPPORTED_TRANSPORT: u16 = 461;

async fn set_up(
    connection: &mut Connection,
    url: &str,
    transport: String,
) -> Result<headers::Transport, SourceError> {
    let is_tcp = transport.contains("/TCP");
    let answer = connection
        .call("SETUP", url, vec![("Transport", transport)])
        .await?;
    let answer = check(answer).map_err(|error| match error {
        SourceError::Status(UNSUPPORTED_TRANSPORT) if is_tcp => {
            SourceError::Transport("TCP", "udp")
        }
        SourceError::Status(UNSUPPORTED_TRANSPORT) => SourceError::Transport("UDP", "tcp"),
        error => error,
    })?;
    let transport = answer.headers.get("Transport").unwrap_or_default();
    Ok(headers::Transport::parse(transport))
}

/// Takes over at which RTP times tracks start, if the server tells it of all: only then it relates them. MediaMTX leaves
/// out a track that has not sent anything yet.
fn relate(receivers: &mut [Receiver], info: &str) {
    let entries = rtp_info(info);
    let time = |receiver: &Receiver| {
        let found = entries.iter().find(|(url, _)| receiver.has_url(url));
        found.map(|(_, time)| *time)
    };
    let times: Option<Vec<_>> = receivers.iter().map(time).collect();
    for (receiver, time) in receivers.iter_mut().zip(times.into_iter().flatten()) {
        receiver.starts_at = Some(time);
    }
}

fn check(response: Response) -> Result<Response, SourceError> {
    match response.status {
        200..300 => Ok(response),
        401 | 403 => Err(SourceError::Unauthorized(
            "check the user and the password of the input",
        )),
        404 => Err(SourceError::NotFound),
        status => Err(SourceError::Status(status)),
    }
}

#[cfg(test)]
mod mutations;
