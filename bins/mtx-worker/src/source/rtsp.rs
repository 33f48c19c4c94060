//! Opening a stream over RTSP (RFC 2326), by retina.

use std::sync::Arc;
use std::time::{Duration, Instant};

use retina::client::{
    Credentials, Described, InitialTimestampPolicy, PlayOptions, SessionGroup, SessionOptions,
    SetupOptions, TcpTransportOptions, UdpTransportOptions, UnknownRtcpSsrcPolicy,
};
use retina::codec::FrameFormat;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::SourceError;
use super::session::Session;
use super::tracks::Chosen;
use super::url::{RtspUrl, Transport};
use crate::localhost;

/// From the name lookup to the answer to PLAY.
const OPEN_TIMEOUT: Duration = Duration::from_secs(4);

/// Told to servers as `User-Agent`.
const USER_AGENT: &str = concat!("mtx-worker/", env!("CARGO_PKG_VERSION"));

/// What a TEARDOWN may take when the worker ends.
const TEARDOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// A stream on an RTSP server.
pub(crate) struct RtspSource {
    url: RtspUrl,
    transport: Transport,
    epoch: Instant,
    sessions: Arc<SessionGroup>,
}

impl RtspSource {
    /// A source at `url`; times are counted from `epoch`.
    pub(crate) fn new(url: RtspUrl, transport: Transport, epoch: Instant) -> Self {
        Self {
            url,
            transport,
            epoch,
            sessions: Arc::default(),
        }
    }

    /// Starts playing.
    pub(crate) async fn open(&self) -> Result<Session, SourceError> {
        if self.transport != Transport::Auto {
            return self.open_over(self.transport).await;
        }
        match self.open_over(Transport::Udp).await {
            Ok(mut session) => {
                if session.brings_something().await {
                    return Ok(session);
                }
            }
            Err(SourceError::Status(_)) => {}
            Err(error) => return Err(error),
        }
        log::info!("no media over UDP, reading over TCP");
        self.open_over(Transport::Tcp).await
    }

    /// Whether somebody publishes to `url`, by a DESCRIBE.
    pub(crate) async fn is_published(&self, url: &RtspUrl) -> bool {
        matches!(timeout(OPEN_TIMEOUT, self.describe(url)).await, Ok(Ok(_)))
    }

    /// Waits until the server heard of the end of dropped sessions, as far as it listens.
    pub(crate) async fn close(&self) {
        // A server that does not answer sees the connection close.
        let _ = timeout(TEARDOWN_TIMEOUT, self.sessions.await_teardown()).await;
    }

    async fn open_over(&self, transport: Transport) -> Result<Session, SourceError> {
        let open = async {
            match self.play(transport, InitialTimestampPolicy::Require).await {
                Err(SourceError::Protocol(text)) if text.contains("rtptime") => {
                    self.play(transport, InitialTimestampPolicy::Ignore).await
                }
                other => other,
            }
        };
        timeout(OPEN_TIMEOUT, open)
            .await
            .unwrap_or(Err(SourceError::Timeout(OPEN_TIMEOUT)))
    }

    /// Plays the stream. Servers may leave `rtptime`, which relates the tracks, out of `RTP-Info`;
    /// MediaMTX does so for a track that has not sent anything yet. retina does not tell whether it was
    /// there, so it is required first.
    async fn play(
        &self,
        transport: Transport,
        rtptime: InitialTimestampPolicy,
    ) -> Result<Session, SourceError> {
        let failed = |error| SourceError::of(&error);
        let mut session = self.describe(&self.url).await?;
        let (chosen, left_out) = Chosen::of(session.streams());
        if chosen.is_empty() {
            return Err(SourceError::Unsupported(left_out.join(", ")));
        }
        for index in chosen.indices() {
            let options = SetupOptions::default()
                .frame_format(FrameFormat::MP4)
                .transport(match transport {
                    Transport::Udp => {
                        retina::client::Transport::Udp(UdpTransportOptions::default())
                    }
                    Transport::Tcp | Transport::Auto => {
                        retina::client::Transport::Tcp(TcpTransportOptions::default())
                    }
                });
            session.setup(index, options).await.map_err(failed)?;
        }
        // Sender reports may carry an SSRC that SETUP did not announce.
        let options = PlayOptions::default()
            .initial_timestamp(rtptime)
            .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets);
        let demuxed = session
            .play(options)
            .await
            .map_err(failed)?
            .demuxed()
            .map_err(failed)?;
        let related = matches!(rtptime, InitialTimestampPolicy::Require);
        Ok(Session::new(demuxed, chosen, left_out, self.epoch, related))
    }

    async fn describe(
        &self,
        url: &RtspUrl,
    ) -> Result<retina::client::Session<Described>, SourceError> {
        let hosts = match localhost::addresses(url.host()) {
            Some(hosts) => hosts.map(|host| host.to_string()).to_vec(),
            None => vec![url.host().to_owned()],
        };
        for host in hosts {
            let described = self.describe_at(&url.with_host(&host)).await;
            let is_protocol_error = matches!(described, Err(SourceError::Protocol(_)));
            if !is_protocol_error || !is_refused(&host, url.port()).await {
                return described;
            }
        }
        Err(SourceError::NobodyListens(url.port()))
    }

    async fn describe_at(
        &self,
        url: &RtspUrl,
    ) -> Result<retina::client::Session<Described>, SourceError> {
        let credentials = url
            .credentials
            .clone()
            .map(|(username, password)| Credentials { username, password });
        let anonymous = credentials.is_none();
        let has_colon = credentials
            .as_ref()
            .is_some_and(|it| it.password.contains(':'));
        let options = SessionOptions::default()
            .creds(credentials)
            .session_group(self.sessions.clone())
            .user_agent(USER_AGENT.to_owned());
        let described = retina::client::Session::describe(url.url.clone(), options).await;
        described.map_err(|error| match SourceError::of(&error) {
            SourceError::Unauthorized(_) if anonymous => SourceError::Unauthorized(
                "the input asks for a user and a password; set RTSP_USERNAME and RTSP_PASSWORD",
            ),
            // It splits what Basic sends at each of them (gortsplib's `pkg/headers/authorization.go`).
            SourceError::Unauthorized(_) if has_colon => SourceError::Unauthorized(
                "check the user and the password of the input; with rtspAuthMethods: [basic], which is the default, \
                 MediaMTX takes no password with a colon",
            ),
            error => error,
        })
    }
}

/// Whether nobody listens there, which retina tells in words only; or there is no IPv6.
async fn is_refused(host: &str, port: u16) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, ConnectionRefused, NetworkUnreachable};
    let connected = TcpStream::connect((host, port)).await;
    connected.is_err_and(|error| {
        matches!(
            error.kind(),
            ConnectionRefused | AddrNotAvailable | NetworkUnreachable
        )
    })
}
