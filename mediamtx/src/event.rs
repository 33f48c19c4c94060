//! The events of MediaMTX as the suite sends them: `POST /v1/mediamtx/events/<name>` with a JSON body.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::hook::{HookEnvironment, HookError};
use crate::path::{PathName, StreamId};
use common::fields::{FieldError, Fields};
use common::timestamp::Timestamp;

/// Where the orchestrator takes events; the event's name follows.
pub const ENDPOINT: &str = "/v1/mediamtx/events/";

/// The kinds of events, one for each hook of MediaMTX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "described by name() and setting()")]
pub enum EventName {
    Ready,
    NotReady,
    Online,
    Offline,
    Demand,
    Undemand,
    Init,
    Read,
    Unread,
    Connect,
    Disconnect,
    SegmentCreate,
    SegmentComplete,
}

impl EventName {
    /// Every one of them.
    pub const ALL: [Self; 13] = [
        Self::Ready,
        Self::NotReady,
        Self::Online,
        Self::Offline,
        Self::Demand,
        Self::Undemand,
        Self::Init,
        Self::Read,
        Self::Unread,
        Self::Connect,
        Self::Disconnect,
        Self::SegmentCreate,
        Self::SegmentComplete,
    ];

    /// The last segment of the event's URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Demand => "demand",
            Self::Undemand => "undemand",
            Self::Init => "init",
            Self::Read => "read",
            Self::Unread => "unread",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::SegmentCreate => "segment-create",
            Self::SegmentComplete => "segment-complete",
        }
    }

    /// The setting of MediaMTX that the event's hook goes into.
    #[must_use]
    pub fn setting(self) -> &'static str {
        match self {
            Self::Ready => "runOnAvailable (before v1.19.3: runOnReady)",
            Self::NotReady => "runOnUnavailable (before v1.19.3: runOnNotReady)",
            Self::Online => "runOnOnline",
            Self::Offline => "runOnOffline",
            Self::Demand => "runOnDemand",
            Self::Undemand => "runOnUnDemand",
            Self::Init => "runOnInit",
            Self::Read => "runOnRead",
            Self::Unread => "runOnUnread",
            Self::Connect => "runOnConnect",
            Self::Disconnect => "runOnDisconnect",
            Self::SegmentCreate => "runOnRecordSegmentCreate",
            Self::SegmentComplete => "runOnRecordSegmentComplete",
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventName {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| EventError::Name(common::excerpt(text, 40)))
    }
}

/// Why a request is no event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// No hook of MediaMTX goes by this name.
    #[error(
        "{0:?} is not an event: ready, not-ready, online, offline, demand, undemand, init, read, unread, connect, disconnect, segment-create or segment-complete"
    )]
    Name(String),
    /// The body lacks something, or has something malformed.
    #[error("not the body of a {0} event: {1}")]
    Body(EventName, #[source] FieldError),
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When the hook was started. Hooks overtake one another; this tells their order.
    pub timestamp: Timestamp,
    /// The server's RTSP port, where it has one.
    pub rtsp_port: Option<u16>,
    /// What the groups of the path's regular expression matched.
    pub groups: Vec<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened, and to what.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "described by EventName")]
pub enum EventKind {
    Ready(OfSource),
    NotReady(OfSource),
    Online(OfSource),
    Offline(OfSource),
    Demand(OfDemand),
    Undemand(OfDemand),
    Init(OfPath),
    Read(OfReader),
    Unread(OfReader),
    Connect(OfConnection),
    Disconnect(OfConnection),
    SegmentCreate(OfSegment),
    SegmentComplete(OfCompleteSegment),
}

/// A stream came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfSource {
    /// Where.
    pub path: PathName,
    /// The publisher's query, as it wrote it.
    pub query: String,
    /// MediaMTX's name for the kind of source, for example `rtmpConn`; none on an `alwaysAvailable` path that became
    /// available without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
    /// MediaMTX's id of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
}

/// Somebody asked for a stream that is made on demand, or nobody does any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfDemand {
    /// Where.
    pub path: PathName,
    /// The first reader's query, as it wrote it.
    pub query: String,
}

/// A path came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfPath {
    /// Which.
    pub path: PathName,
}

/// A reader came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfReader {
    /// Where.
    pub path: PathName,
    /// The reader's query, as it wrote it.
    pub query: String,
    /// MediaMTX's name for the kind of reader, for example `rtspSession`.
    pub reader_type: String,
    /// MediaMTX's id of the reader.
    pub reader_id: String,
}

/// A client came or went, before or without saying which path it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfConnection {
    /// MediaMTX's name for the kind of connection, for example `rtspConn`.
    pub conn_type: String,
    /// MediaMTX's id of the connection.
    pub conn_id: String,
}

/// A recording has begun a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfSegment {
    /// Of which stream.
    pub path: PathName,
    /// The file, as the server names it.
    pub segment_path: String,
}

/// A recording has finished a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfCompleteSegment {
    /// Of which stream.
    pub path: PathName,
    /// The file, as the server names it.
    pub segment_path: String,
    /// How much it holds; seconds in JSON.
    #[serde(serialize_with = "seconds")]
    pub segment_duration: Duration,
}

/// The body: what every event has, beside what its kind has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<T> {
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtsp_port: Option<u16>,
    /// Follows from the path: what a sender says is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<StreamId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(flatten)]
    kind: T,
}

impl Event {
    /// The event that MediaMTX has started a hook for.
    pub fn from_hook(
        name: EventName,
        hook: &HookEnvironment,
        timestamp: Timestamp,
    ) -> Result<Self, HookError> {
        Ok(Self {
            timestamp,
            rtsp_port: hook.rtsp_port()?,
            groups: hook.groups()?,
            kind: EventKind::from_hook(name, hook)?,
        })
    }

    /// Reads the body of a request to [`ENDPOINT`]`<name>`. Fields it does not know are left alone.
    pub fn from_json(name: EventName, body: &[u8]) -> Result<Self, EventError> {
        let event = Fields::read(body).and_then(|fields| Self::from_fields(name, fields));
        event.map_err(|error| EventError::Body(name, error))
    }

    fn from_fields(name: EventName, mut fields: Fields) -> Result<Self, FieldError> {
        Ok(Self {
            timestamp: needed("timestamp", fields.parse("timestamp")?)?,
            rtsp_port: fields.whole_or_null("rtspPort", "a port, 0 to 65535")?,
            groups: fields
                .texts("groups", "a list of texts")?
                .unwrap_or_default(),
            kind: EventKind::from_fields(name, &mut fields)?,
        })
    }

    /// The body of the request.
    #[must_use]
    pub fn to_json(&self) -> String {
        use EventKind as Kind;
        match &self.kind {
            Kind::Ready(kind) | Kind::NotReady(kind) => self.write(kind),
            Kind::Online(kind) | Kind::Offline(kind) => self.write(kind),
            Kind::Demand(kind) | Kind::Undemand(kind) => self.write(kind),
            Kind::Init(kind) => self.write(kind),
            Kind::Read(kind) | Kind::Unread(kind) => self.write(kind),
            Kind::Connect(kind) | Kind::Disconnect(kind) => self.write(kind),
            Kind::SegmentCreate(kind) => self.write(kind),
            Kind::SegmentComplete(kind) => self.write(kind),
        }
    }

    fn write<T: Serialize>(&self, kind: &T) -> String {
        let body = Body {
            timestamp: self.timestamp,
            rtsp_port: self.rtsp_port,
            stream_id: self.kind.stream_id(),
            groups: self.groups.clone(),
            kind,
        };
        // Only maps with keys that are no text fail, and there are none.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

/// A field that there has to be.
fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, FieldError> {
    value.ok_or(FieldError::Missing(field))
}

fn text(fields: &mut Fields, field: &'static str) -> Result<String, FieldError> {
    needed(field, fields.text(field)?)
}

fn path(fields: &mut Fields) -> Result<PathName, FieldError> {
    needed("path", fields.parse("path")?)
}

impl EventKind {
    fn from_hook(name: EventName, hook: &HookEnvironment) -> Result<Self, HookError> {
        use EventName as Name;
        Ok(match name {
            Name::Ready => Self::Ready(OfSource::from_hook(hook)?),
            Name::NotReady => Self::NotReady(OfSource::from_hook(hook)?),
            Name::Online => Self::Online(OfSource::from_hook(hook)?),
            Name::Offline => Self::Offline(OfSource::from_hook(hook)?),
            Name::Demand => Self::Demand(OfDemand::from_hook(hook)?),
            Name::Undemand => Self::Undemand(OfDemand::from_hook(hook)?),
            Name::Init => Self::Init(OfPath { path: hook.path()? }),
            Name::Read => Self::Read(OfReader::from_hook(hook)?),
            Name::Unread => Self::Unread(OfReader::from_hook(hook)?),
            Name::Connect => Self::Connect(OfConnection::from_hook(hook)?),
            Name::Disconnect => Self::Disconnect(OfConnection::from_hook(hook)?),
            Name::SegmentCreate => Self::SegmentCreate(OfSegment {
                path: hook.path()?,
                segment_path: hook.segment_path()?,
            }),
            Name::SegmentComplete => Self::SegmentComplete(OfCompleteSegment {
                path: hook.path()?,
                segment_path: hook.segment_path()?,
                segment_duration: hook.segment_duration()?,
            }),
        })
    }

    fn from_fields(name: EventName, fields: &mut Fields) -> Result<Self, FieldError> {
        use EventName as Name;
        Ok(match name {
            Name::Ready => Self::Ready(OfSource::from_fields(fields)?),
            Name::NotReady => Self::NotReady(OfSource::from_fields(fields)?),
            Name::Online => Self::Online(OfSource::from_fields(fields)?),
            Name::Offline => Self::Offline(OfSource::from_fields(fields)?),
            Name::Demand => Self::Demand(OfDemand::from_fields(fields)?),
            Name::Undemand => Self::Undemand(OfDemand::from_fields(fields)?),
            Name::Init => Self::Init(OfPath {
                path: path(fields)?,
            }),
            Name::Read => Self::Read(OfReader::from_fields(fields)?),
            Name::Unread => Self::Unread(OfReader::from_fields(fields)?),
            Name::Connect => Self::Connect(OfConnection::from_fields(fields)?),
            Name::Disconnect => Self::Disconnect(OfConnection::from_fields(fields)?),
            Name::SegmentCreate => Self::SegmentCreate(OfSegment {
                path: path(fields)?,
                segment_path: text(fields, "segmentPath")?,
            }),
            Name::SegmentComplete => Self::SegmentComplete(OfCompleteSegment {
                path: path(fields)?,
                segment_path: text(fields, "segmentPath")?,
                segment_duration: duration(fields)?,
            }),
        })
    }

    /// Which hook it came from.
    #[must_use]
    pub fn name(&self) -> EventName {
        match self {
            Self::Ready(_) => EventName::Ready,
            Self::NotReady(_) => EventName::NotReady,
            Self::Online(_) => EventName::Online,
            Self::Offline(_) => EventName::Offline,
            Self::Demand(_) => EventName::Demand,
            Self::Undemand(_) => EventName::Undemand,
            Self::Init(_) => EventName::Init,
            Self::Read(_) => EventName::Read,
            Self::Unread(_) => EventName::Unread,
            Self::Connect(_) => EventName::Connect,
            Self::Disconnect(_) => EventName::Disconnect,
            Self::SegmentCreate(_) => EventName::SegmentCreate,
            Self::SegmentComplete(_) => EventName::SegmentComplete,
        }
    }

    /// The path it is about; connections are not about one.
    #[must_use]
    pub fn path(&self) -> Option<&PathName> {
        match self {
            Self::Ready(of) | Self::NotReady(of) | Self::Online(of) | Self::Offline(of) => {
                Some(&of.path)
            }
            Self::Demand(of) | Self::Undemand(of) => Some(&of.path),
            Self::Init(of) => Some(&of.path),
            Self::Read(of) | Self::Unread(of) => Some(&of.path),
            Self::SegmentCreate(of) => Some(&of.path),
            Self::SegmentComplete(of) => Some(&of.path),
            Self::Connect(_) | Self::Disconnect(_) => None,
        }
    }

    /// The stream, where the path follows the suite's scheme.
    #[must_use]
    pub fn stream_id(&self) -> Option<StreamId> {
        Some(self.path()?.stream()?.id)
    }

    /// The field that says whose event it is, and MediaMTX's id of it.
    #[must_use]
    pub fn id(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Ready(of) | Self::NotReady(of) | Self::Online(of) | Self::Offline(of) => {
                Some(("sourceId", of.source_id.as_deref()?))
            }
            Self::Read(of) | Self::Unread(of) => Some(("readerId", &of.reader_id)),
            Self::Connect(of) | Self::Disconnect(of) => Some(("connId", &of.conn_id)),
            _ => None,
        }
    }
}

impl OfSource {
    fn from_fields(fields: &mut Fields) -> Result<Self, FieldError> {
        Ok(Self {
            path: path(fields)?,
            query: text(fields, "query")?,
            source_type: fields.text_or_null("sourceType")?,
            source_id: fields.text_or_null("sourceId")?,
        })
    }

    fn from_hook(hook: &HookEnvironment) -> Result<Self, HookError> {
        Ok(Self {
            path: hook.path()?,
            query: hook.query()?,
            source_type: hook.source_type()?,
            source_id: hook.source_id()?,
        })
    }
}

impl OfDemand {
    fn from_fields(fields: &mut Fields) -> Result<Self, FieldError> {
        Ok(Self {
            path: path(fields)?,
            query: text(fields, "query")?,
        })
    }

    fn from_hook(hook: &HookEnvironment) -> Result<Self, HookError> {
        Ok(Self {
            path: hook.path()?,
            query: hook.query()?,
        })
    }
}

impl OfReader {
    fn from_fields(fields: &mut Fields) -> Result<Self, FieldError> {
        Ok(Self {
            path: path(fields)?,
            query: text(fields, "query")?,
            reader_type: text(fields, "readerType")?,
            reader_id: text(fields, "readerId")?,
        })
    }

    fn from_hook(hook: &HookEnvironment) -> Result<Self, HookError> {
        Ok(Self {
            path: hook.path()?,
            query: hook.query()?,
            reader_type: hook.reader_type()?,
            reader_id: hook.reader_id()?,
        })
    }
}

impl OfConnection {
    fn from_fields(fields: &mut Fields) -> Result<Self, FieldError> {
        Ok(Self {
            conn_type: text(fields, "connType")?,
            conn_id: text(fields, "connId")?,
        })
    }

    fn from_hook(hook: &HookEnvironment) -> Result<Self, HookError> {
        Ok(Self {
            conn_type: hook.conn_type()?,
            conn_id: hook.conn_id()?,
        })
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn duration(fields: &mut Fields) -> Result<Duration, FieldError> {
    const FIELD: &str = "segmentDuration";
    let seconds = needed(FIELD, fields.number(FIELD)?)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| FieldError::malformed(FIELD, &error))
}

#[cfg(test)]
mod tests;
