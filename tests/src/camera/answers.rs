//! A camera's answers to requests (RFC 2326).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::habits::Answers;
use super::track::Way;
use crate::movie::AudioPayload;

pub(super) const METHODS: [&str; 5] = ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"];

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n";

/// Its parameter sets come in-band only.
const VIDEO: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:video\r\n\
    a=fmtp:96 packetization-mode=1";

/// Parameter sets of another picture, 1280x720.
const OTHER_SETS: &str = ";sprop-parameter-sets=Z0IAH5WoFAFuQA==,aM48gA==";

const AAC: &str = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\na=control:audio\r\n\
    a=fmtp:97 streamtype=5; profile-level-id=1; mode=AAC-hbr; config=1190; sizelength=13; indexlength=3; \
    indexdeltalength=3\r\n";

const OPUS: &str = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=control:audio\r\na=fmtp:97 sprop-stereo=1\r\n";

const MP3: &str = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPA/90000\r\na=control:audio\r\n";

/// What the server side of a connection remembers.
pub(super) struct Conversation {
    answers: Answers,
    audio: AudioPayload,
    client: SocketAddr,
    nonce: u32,
    ways: [Option<Way>; 2],
    sessions: u32,
}

impl Conversation {
    pub(super) fn new(answers: Answers, audio: AudioPayload, client: SocketAddr) -> Self {
        Self {
            answers,
            audio,
            client,
            nonce: 1,
            ways: [None, None],
            sessions: 0,
        }
    }

    /// Where video and audio go, as far as they were set up.
    pub(super) fn ways(&mut self) -> [Option<Way>; 2] {
        std::mem::take(&mut self.ways)
    }

    pub(super) fn answer(&mut self, method: &str, head: &[String]) -> String {
        if self.answers == Answers::StaleNonce
            && let Some(challenge) = self.challenge(head)
        {
            return self.finish("401 Unauthorized", head, &challenge, "");
        }
        let sdp = self.sdp();
        let (headers, body) = match method {
            "OPTIONS" => ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".to_owned(), ""),
            "DESCRIBE" => (self.described(), sdp.as_str()),
            "SETUP" => match self.set_up(head) {
                Some(headers) => (headers, ""),
                None => return self.finish("461 Unsupported Transport", head, "", ""),
            },
            _ => (self.started(), ""),
        };
        self.finish("200 OK", head, &headers, body)
    }

    fn finish(&self, status: &str, head: &[String], headers: &str, body: &str) -> String {
        let sequence = match self.answers {
            Answers::WithoutSequence => String::new(),
            _ => format!("{}\r\n", header(head, "cseq:")),
        };
        let length = body.len();
        let mut headers = format!("{sequence}{headers}Content-Length: {length}\r\n");
        if self.answers == Answers::LowerCase {
            let lines = headers.lines().filter_map(|line| line.split_once(':'));
            let lines = lines.map(|(name, value)| format!("{}:{value}\r\n", name.to_lowercase()));
            headers = lines.collect();
        }
        format!("RTSP/1.0 {status}\r\n{headers}\r\n{body}")
    }

    fn sdp(&self) -> String {
        let sets = match self.answers {
            Answers::OtherSets => OTHER_SETS,
            _ => "",
        };
        let audio = match self.audio {
            AudioPayload::Aac => AAC,
            AudioPayload::Opus => OPUS,
            AudioPayload::Mp3 => MP3,
        };
        format!("{SDP}{VIDEO}{sets}\r\n{audio}")
    }

    fn described(&self) -> String {
        let base = match self.answers {
            Answers::ForeignBase => "Content-Base: rtsp://camera.invalid:9/elsewhere/\r\n",
            _ => "",
        };
        format!("{base}Content-Type: application/sdp\r\n")
    }

    fn started(&self) -> String {
        let info = match self.answers {
            Answers::WithoutRtpTime => "RTP-Info: url=video;seq=1,url=audio;seq=1\r\n",
            _ => "",
        };
        format!("Session: 1\r\n{info}")
    }

    /// Asks for a login (RFC 2617) when there is none, or one with a nonce that was used before.
    fn challenge(&mut self, head: &[String]) -> Option<String> {
        let login = header(head, "authorization:");
        if login.contains(&format!("nonce=\"{}\"", self.nonce)) {
            assert!(login.contains("username=\"user\""), "{login}");
            self.nonce += 1;
            return None;
        }
        let stale = if login.is_empty() { "" } else { ", stale=true" };
        let nonce = self.nonce;
        Some(format!(
            "WWW-Authenticate: Digest realm=\"camera\", nonce=\"{nonce}\"{stale}\r\n"
        ))
    }

    fn set_up(&mut self, head: &[String]) -> Option<String> {
        let track = usize::from(head.first()?.contains("/audio"));
        let wanted = header(head, "transport:");
        let parameter = |name: &str| {
            let value = wanted
                .split(';')
                .find_map(|part| part.trim().strip_prefix(name));
            value?.split('-').next()?.parse::<u16>().ok()
        };
        let transport = if let Some(port) = parameter("client_port=") {
            let (rtp, rtcp) = pair()?;
            let ports = (
                rtp.local_addr().ok()?.port(),
                rtcp.local_addr().ok()?.port(),
            );
            rtp.connect((self.client.ip(), port)).ok()?;
            rtcp.connect((self.client.ip(), port + 1)).ok()?;
            self.ways[track] = Some(Way::Datagrams(rtp, rtcp));
            format!("{wanted};server_port={}-{}", ports.0, ports.1)
        } else {
            let mut channel = u8::try_from(parameter("interleaved=")?).ok()?;
            if self.answers == Answers::OwnChannels {
                channel = 11 - channel;
            }
            self.ways[track] = Some(Way::Interleaved(channel));
            let next = channel + 1;
            format!("Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{next}")
        };
        self.sessions += 1;
        let session = match self.answers {
            Answers::SessionEach => self.sessions,
            _ => 1,
        };
        Some(format!("{transport}\r\nSession: {session}\r\n"))
    }
}

/// Two sockets of which the first has an even port.
fn pair() -> Option<(UdpSocket, UdpSocket)> {
    (0..50).find_map(|_| {
        let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let port = rtp.local_addr().ok()?.port();
        let rtcp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port.checked_add(1)?)).ok()?;
        (port % 2 == 0).then_some((rtp, rtcp))
    })
}

fn header(head: &[String], name: &str) -> String {
    let line = head
        .iter()
        .find(|line| line.to_lowercase().starts_with(name));
    line.cloned().unwrap_or_default()
}
