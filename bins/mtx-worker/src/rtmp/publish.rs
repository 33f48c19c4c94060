//! The publishing side of an RTMP connection: handshake, `connect`, `createStream`, `publish`,
//! media, and an orderly end (Adobe RTMP 1.0, sections 5.2 and 7.2).

use bytes::Bytes;
use thiserror::Error;

use super::acknowledgements::{ACKNOWLEDGED_EVERY, Acknowledgements};
use super::amf0::{self, Amf0Error, Value};
use super::chunk::{self, ChunkError, Header, Message, OUT_CHUNK_SIZE, kind};
use super::outgoing::Outgoing;
use super::server::Server;
use super::url::RtmpUrl;

const PROGRAM: &str = concat!("mtx-worker/", env!("CARGO_PKG_VERSION"));

const HANDSHAKE: usize = 1536;
const VERSION: u8 = 3;

/// Chunk streams, as encoders commonly number them.
const CONTROL: u8 = 2;
const COMMAND: u8 = 3;
const AUDIO: u8 = 4;
const VIDEO: u8 = 6;

/// A server that reads nothing gets no more answers than fit in here, in bytes.
const MOST_UNSENT: usize = 64 * 1024;

/// Transaction ids of our commands (section 7.1.1).
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

/// Why a server does not take our stream.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum PublishError {
    #[error("the server speaks RTMP version {0}, not 3: is this an RTMP port?")]
    Version(u8),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("the server's command can't be read: {0}")]
    Command(#[from] Amf0Error),
    #[error("somebody already publishes there ({0})")]
    Taken(String),
    #[error("the server refused the stream key or the login ({0})")]
    Unauthorized(String),
    #[error("the server refused to {what} ({reason})")]
    Refused {
        /// The command it refused.
        what: &'static str,
        /// Its code and description.
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Handshake,
    Connect,
    CreateStream,
    Publish,
    Publishing,
}

/// One publish session. Feed it with [`receive`](Self::receive), send what
/// [`take_output`](Self::take_output) yields.
pub(crate) struct Publisher {
    url: RtmpUrl,
    /// Four-character codes of the stream's codecs.
    four_ccs: Vec<&'static str>,
    stage: Stage,
    server: Server,
    /// Bytes of the handshake, until all of S0, S1 and S2 are here.
    handshake: Vec<u8>,
    reader: chunk::Reader,
    out: Outgoing,
    stream_id: u32,
    received: u64,
    acknowledged: u64,
    window: u64,
    sent: u64,
    acknowledgements: Acknowledgements,
}

impl Publisher {
    /// A session that will publish to `url` a stream whose codecs have these four-character codes; its first output is
    /// C0 and C1.
    pub(crate) fn new(url: RtmpUrl, four_ccs: Vec<&'static str>) -> Self {
        let mut out = Outgoing::default();
        out.extend_from_slice(&[VERSION, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&(0..HANDSHAKE - 8).map(filler).collect::<Vec<_>>());
        Self {
            url,
            four_ccs,
            stage: Stage::Handshake,
            server: Server::default(),
            handshake: Vec::with_capacity(1 + 2 * HANDSHAKE),
            reader: chunk::Reader::default(),
            out,
            stream_id: 0,
            received: 0,
            acknowledged: 0,
            // Common default of servers, until this one says its own.
            window: 2_500_000,
            sent: 0,
            acknowledgements: Acknowledgements::default(),
        }
    }

    /// Whether the server accepted the stream, so that media may be sent.
    pub(crate) fn is_publishing(&self) -> bool {
        self.stage == Stage::Publishing
    }

    /// What the server said of itself when it was connected to.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Bytes for the server.
    pub(crate) fn take_output(&mut self) -> Outgoing {
        self.sent += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// How often the server acknowledged what it got. Some never do.
    pub(crate) fn acknowledgements(&self) -> u64 {
        self.acknowledgements.count()
    }

    /// Whether much more has been sent since the last acknowledgement than this server usually lets pass.
    pub(crate) fn is_owed_acknowledgement(&self) -> bool {
        self.acknowledgements.is_owed(self.sent)
    }

    /// Takes in what the server sent.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), PublishError> {
        self.received += bytes.len() as u64;
        if self.stage == Stage::Handshake {
            self.handshake.extend_from_slice(bytes);
            let Some(rest) = self.finish_handshake()? else {
                return Ok(());
            };
            self.reader.push(&rest);
        } else {
            self.reader.push(bytes);
        }
        while let Some(message) = self.reader.next()? {
            self.message(&message)?;
        }
        if self.received - self.acknowledged >= self.window {
            self.keep_alive();
        }
        Ok(())
    }

    /// Sends an acknowledgement, which servers take as a sign of life while no media flows.
    pub(crate) fn keep_alive(&mut self) {
        self.acknowledged = self.received;
        let sequence = (self.received as u32).to_be_bytes();
        self.control(kind::ACKNOWLEDGEMENT, &sequence);
    }

    /// Sends the body of an FLV audio tag, the parts of `head` and then `frame`, at `timestamp` ms.
    pub(crate) fn audio(&mut self, timestamp: u32, head: &[&[u8]], frame: &Bytes) {
        self.media(AUDIO, kind::AUDIO, timestamp, head, frame);
    }

    /// Sends the body of an FLV video tag, likewise.
    pub(crate) fn video(&mut self, timestamp: u32, head: &[&[u8]], frame: &Bytes) {
        self.media(VIDEO, kind::VIDEO, timestamp, head, frame);
    }

    /// Sends `onMetaData`.
    pub(crate) fn metadata(&mut self, properties: Vec<(String, Value)>) {
        let body = amf0::encode(&[
            Value::string("@setDataFrame"),
            Value::string("onMetaData"),
            Value::EcmaArray(properties),
        ]);
        self.media(AUDIO, kind::DATA_AMF0, 0, &[&body], &Bytes::new());
    }

    /// Ends the stream in an orderly way: `FCUnpublish`, then `deleteStream`.
    pub(crate) fn close(&mut self) {
        if self.stage == Stage::Publishing {
            let key = Value::string(self.url.stream_key.as_str());
            self.command(&[
                Value::string("FCUnpublish"),
                Value::Number(6.0),
                Value::Null,
                key,
            ]);
            let stream = Value::Number(self.stream_id.into());
            self.command(&[
                Value::string("deleteStream"),
                Value::Number(7.0),
                Value::Null,
                stream,
            ]);
        }
    }

    fn finish_handshake(&mut self) -> Result<Option<Vec<u8>>, PublishError> {
        match self.handshake.first() {
            Some(&VERSION) | None => {}
            Some(&version) => return Err(PublishError::Version(version)),
        }
        if self.handshake.len() < 1 + 2 * HANDSHAKE {
            return Ok(None);
        }
        let rest = self.handshake.split_off(1 + 2 * HANDSHAKE);
        // C2 echoes S1.
        self.out.extend_from_slice(&self.handshake[1..=HANDSHAKE]);
        self.handshake = Vec::new();
        self.control(kind::SET_CHUNK_SIZE, &(OUT_CHUNK_SIZE as u32).to_be_bytes());
        self.connect();
        self.stage = Stage::Connect;
        Ok(Some(rest))
    }

    fn connect(&mut self) {
        let text = |name: &str, value: &str| (name.to_owned(), Value::string(value));
        let mut properties = vec![
            text("app", &self.url.app),
            text("type", "nonprivate"),
            text("flashVer", &self.url.via.user_agent(PROGRAM)),
            text("tcUrl", &self.url.tc_url()),
        ];
        // go2rtc knows no strict arrays, and leaves a command that has one without an answer.
        if !self.four_ccs.is_empty() {
            let codes = self.four_ccs.iter().copied().map(Value::string).collect();
            properties.push(("fourCcList".to_owned(), Value::StrictArray(codes)));
        }
        self.command(&[
            Value::string("connect"),
            Value::Number(CONNECT),
            Value::Object(properties),
        ]);
    }

    fn create_stream(&mut self) {
        let key = || Value::string(self.url.stream_key.as_str());
        let release = [
            Value::string("releaseStream"),
            Value::Number(2.0),
            Value::Null,
            key(),
        ];
        let announce = [
            Value::string("FCPublish"),
            Value::Number(3.0),
            Value::Null,
            key(),
        ];
        self.command(&release);
        self.command(&announce);
        self.command(&[
            Value::string("createStream"),
            Value::Number(CREATE_STREAM),
            Value::Null,
        ]);
        self.stage = Stage::CreateStream;
    }

    fn publish(&mut self, stream_id: u32) {
        self.stream_id = stream_id;
        let body = amf0::encode(&[
            Value::string("publish"),
            Value::Number(5.0),
            Value::Null,
            Value::string(self.url.stream_key.as_str()),
            Value::string("live"),
        ]);
        self.media(AUDIO, kind::COMMAND_AMF0, 0, &[&body], &Bytes::new());
        self.stage = Stage::Publish;
    }

    fn message(&mut self, message: &Message) -> Result<(), PublishError> {
        match message.header.kind {
            kind::WINDOW_ACK_SIZE => {
                if let Some(size) = message.payload.first_chunk() {
                    self.window = u64::from(u32::from_be_bytes(*size)).max(1);
                }
                Ok(())
            }
            kind::ACKNOWLEDGEMENT => {
                if let Some(sequence) = message.payload.first_chunk() {
                    self.acknowledgements
                        .take(u32::from_be_bytes(*sequence), self.sent);
                }
                Ok(())
            }
            kind::USER_CONTROL => {
                self.user_control(&message.payload);
                Ok(())
            }
            kind::COMMAND_AMF0 => self.answer(&amf0::decode(&message.payload)?),
            _ => Ok(()),
        }
    }

    /// Answers a ping request (section 7.1.7); other user control messages are for players.
    fn user_control(&mut self, payload: &[u8]) {
        // While nothing can be sent, one answer among the many is enough.
        if let [0, 6, a, b, c, d, ..] = *payload
            && self.out.len() < MOST_UNSENT
        {
            self.control(kind::USER_CONTROL, &[0, 7, a, b, c, d]);
        }
    }

    fn answer(&mut self, values: &[Value]) -> Result<(), PublishError> {
        let [Value::String(name), transaction, rest @ ..] = values else {
            return Ok(());
        };
        let is = |id: f64| *transaction == Value::Number(id);
        let info = rest.last();
        match name.as_str() {
            "_result" if is(CONNECT) && self.stage == Stage::Connect => {
                self.server = Server::from_answer(rest);
                self.control(kind::WINDOW_ACK_SIZE, &ACKNOWLEDGED_EVERY.to_be_bytes());
                self.create_stream();
            }
            "_result" if is(CREATE_STREAM) && self.stage == Stage::CreateStream => {
                let id = match info {
                    Some(Value::Number(id)) => *id as u32,
                    _ => 1,
                };
                self.publish(id);
            }
            "_error" if is(CONNECT) => return Err(refused("connect", info)),
            "_error" if is(CREATE_STREAM) => return Err(refused("createStream", info)),
            "onStatus" => return self.status(info),
            "close" => return Err(refused("go on", info)),
            _ => {}
        }
        Ok(())
    }

    fn status(&mut self, info: Option<&Value>) -> Result<(), PublishError> {
        let property = |key| info.and_then(|info| info.property(key)).unwrap_or_default();
        if property("code") == "NetStream.Publish.Start" {
            self.stage = Stage::Publishing;
        } else if property("level") == "error" {
            return Err(refused("publish", info));
        }
        Ok(())
    }

    fn control(&mut self, kind: u8, payload: &[u8]) {
        self.send((CONTROL, 0), kind, 0, &[payload], &Bytes::new());
    }

    fn command(&mut self, values: &[Value]) {
        let body = amf0::encode(values);
        self.send((COMMAND, 0), kind::COMMAND_AMF0, 0, &[&body], &Bytes::new());
    }

    fn media(&mut self, chunk_stream: u8, kind: u8, timestamp: u32, head: &[&[u8]], frame: &Bytes) {
        let streams = (chunk_stream, self.stream_id);
        self.send(streams, kind, timestamp, head, frame);
    }

    fn send(
        &mut self,
        (chunk_stream, stream_id): (u8, u32),
        kind: u8,
        timestamp: u32,
        head: &[&[u8]],
        body: &Bytes,
    ) {
        let header = Header {
            chunk_stream,
            timestamp,
            kind,
            stream_id,
        };
        // Our own announcement of the chunk size travels in small messages, so it may be used at once.
        chunk::write(header, head, body, OUT_CHUNK_SIZE, &mut self.out);
    }
}

/// C1 wants bytes that tell two connections apart; they need no secrecy (section 5.2.3).
fn filler(index: usize) -> u8 {
    (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]
}

fn refused(what: &'static str, info: Option<&Value>) -> PublishError {
    let property = |key| info.and_then(|info| info.property(key)).unwrap_or_default();
    let (code, description) = (property("code"), property("description"));
    let reason = [code, description]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(": ");
    let lower = reason.to_lowercase();
    if code == "NetStream.Publish.BadName" || lower.contains("already publishing") {
        PublishError::Taken(reason)
    } else if ["unauthorized", "auth", "denied"]
        .iter()
        .any(|word| lower.contains(word))
    {
        PublishError::Unauthorized(reason)
    } else {
        PublishError::Refused { what, reason }
    }
}

#[cfg(test)]
mod tests {
    mod damaged;

    use super::*;
    use proptest::prelude::*;

    fn publisher() -> Publisher {
        publisher_of(Vec::new())
    }

    fn publisher_of(four_ccs: Vec<&'static str>) -> Publisher {
        let url = RtmpUrl::parse("rtmp://host/live/x/out", None).unwrap();
        let mut publisher = Publisher::new(url, four_ccs);
        publisher.take_output();
        publisher
    }

    fn message(chunk_stream: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            chunk_stream,
            timestamp: 0,
            kind,
            stream_id: 0,
        };
        let mut out = Outgoing::default();
        chunk::write(header, &[payload], &Bytes::new(), 128, &mut out);
        out.to_vec()
    }

    fn server_says(values: &[Value]) -> Vec<u8> {
        message(3, kind::COMMAND_AMF0, &amf0::encode(values))
    }

    fn status(level: &str, code: &str) -> Vec<u8> {
        let info =
            [("level", level), ("code", code)].map(|(k, v)| (k.to_owned(), Value::string(v)));
        server_says(&[
            Value::string("onStatus"),
            Value::Number(0.0),
            Value::Null,
            Value::Object(info.to_vec()),
        ])
    }

    fn result(transaction: f64, value: Value) -> Vec<u8> {
        server_says(&[
            Value::string("_result"),
            Value::Number(transaction),
            Value::Null,
            value,
        ])
    }

    fn handshake() -> Vec<u8> {
        [vec![VERSION], vec![9; 2 * HANDSHAKE]].concat()
    }

    #[test]
    fn a_server_that_agrees_gets_a_stream() {
        let mut publisher = publisher();
        publisher.receive(&handshake()).unwrap();
        assert_eq!(
            publisher.take_output().to_vec()[..HANDSHAKE],
            [9; HANDSHAKE],
            "C2 echoes S1"
        );
        publisher.receive(&result(CONNECT, Value::Null)).unwrap();
        publisher
            .receive(&result(CREATE_STREAM, Value::Number(1.0)))
            .unwrap();
        assert!(!publisher.is_publishing());
        publisher
            .receive(&status("status", "NetStream.Publish.Start"))
            .unwrap();
        assert!(publisher.is_publishing());
    }

    /// go2rtc does not answer a `connect` with a strict array.
    #[test]
    fn four_character_codes_are_announced_only_if_the_stream_has_some() {
        const STRICT_ARRAY: u8 = 0x0a;
        let connect = |four_ccs| {
            let mut publisher = publisher_of(four_ccs);
            publisher.receive(&handshake()).unwrap();
            publisher.take_output().to_vec().split_off(HANDSHAKE)
        };
        let announced = |sent: Vec<u8>| {
            let list = b"fourCcList";
            let at = sent.windows(list.len()).position(|part| part == list)?;
            sent.get(at + list.len()..at + list.len() + 12)
                .map(<[u8]>::to_vec)
        };
        assert_eq!(announced(connect(vec![])), None);
        let list = [&[STRICT_ARRAY, 0, 0, 0, 1, 2, 0, 4][..], b"hvc1"].concat();
        assert_eq!(announced(connect(vec!["hvc1"])), Some(list));
    }

    #[test]
    fn a_taken_name_a_refused_key_and_other_refusals_are_told_apart() {
        let answer = |code: &str| {
            let mut publisher = publisher();
            publisher.receive(&handshake()).unwrap();
            publisher.receive(&status("error", code)).unwrap_err()
        };
        assert!(matches!(
            answer("NetStream.Publish.BadName"),
            PublishError::Taken(_)
        ));
        assert!(matches!(
            answer("NetStream.Publish.Denied"),
            PublishError::Unauthorized(_)
        ));
        assert!(matches!(
            answer("NetStream.Failed"),
            PublishError::Refused {
                what: "publish",
                ..
            }
        ));
    }

    #[test]
    fn a_web_server_is_recognised_as_no_rtmp_server() {
        let error = publisher()
            .receive(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap_err();
        assert_eq!(error, PublishError::Version(b'H'));
    }

    #[test]
    fn a_ping_is_answered() {
        let mut publisher = publisher();
        publisher.receive(&handshake()).unwrap();
        publisher.take_output();
        let ping = message(2, kind::USER_CONTROL, &[0, 6, 1, 2, 3, 4]);
        publisher.receive(&ping).unwrap();
        assert_eq!(publisher.take_output().to_vec()[12..], [0, 7, 1, 2, 3, 4]);
    }

    #[test]
    fn pings_of_a_server_that_reads_nothing_take_no_memory() {
        let mut publisher = publisher();
        publisher.receive(&handshake()).unwrap();
        let long = [&[0, 6][..], &[1; 100]].concat();
        let pings = message(2, kind::USER_CONTROL, &long).repeat(10_000);
        publisher.receive(&pings).unwrap();
        assert!(publisher.take_output().len() < MOST_UNSENT + 1_000);
    }

    proptest! {
        #[test]
        fn any_answer_is_taken_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..1024), shake: bool) {
            let mut publisher = publisher();
            if shake {
                publisher.receive(&handshake()).unwrap();
            }
            let _ = publisher.receive(&bytes);
        }
    }
}
