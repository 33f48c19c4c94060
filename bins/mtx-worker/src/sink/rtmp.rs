//! Publishing access units over RTMP.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio_rustls::TlsConnector;

use super::carried::{Carried, LeftOut, choose};
use super::connection::Connection;
use super::error::SinkError;
use super::opening::{Opened, Opening};
use super::queue::Queue;
use super::timestamps::{MEDIA_START, Timestamps};
use crate::media::{AccessUnit, Item, TrackId, Tracks};
use crate::rtmp::flv;
use crate::rtmp::url::RtmpUrl;
use crate::tls;

/// While no media flows, for example between two tries to reach the source, a sign of life this often
/// keeps the server from closing the connection (MediaMTX: `readTimeout`, 10 s).
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// A server that closes this soon after it accepted the stream, and has acknowledged none of its media, did not want it.
/// MediaMTX waits up to 4 s after a wrong login (`internal/auth/log_and_delay_error.go`).
const REJECTION: Duration = Duration::from_secs(5);

/// MediaMTX checks the login after it has read the beginning of the stream, which may be long enough for one.
const ACKNOWLEDGEMENTS_OF_MEDIA: u64 = 2;

/// An RTMP output.
pub(crate) struct RtmpSink {
    url: RtmpUrl,
    tls: Option<TlsConnector>,
    /// Whether the server is told which codecs of enhanced RTMP come. It is, unless it did not answer when it was: go2rtc
    /// takes H.265, but does not understand the list.
    announces_codecs: Cell<bool>,
    warnings: Rc<Warnings>,
}

/// What was warned of already at an output.
struct Warnings {
    output: String,
    given: RefCell<Vec<String>>,
}

impl Warnings {
    /// Logs a warning about a codec, once.
    fn warn(&self, codec: &str, warning: String) {
        let mut given = self.given.borrow_mut();
        if !given.contains(&warning) {
            log::warn!(codec = codec, output = self.output.as_str(); "{warning}");
            given.push(warning);
        }
    }
}

/// A published stream.
pub(crate) struct Stream {
    connection: Connection,
    opened: Instant,
    timestamps: Timestamps,
    /// The tracks of which those were chosen that are carried.
    opened_for: Tracks,
    /// The tracks that the server was told of last.
    tracks: Option<Arc<Tracks>>,
    warnings: Rc<Warnings>,
    carried: Vec<Carried>,
    /// `None` once all tracks are there.
    opening: Option<Opening>,
    /// Units that had no place in the stream since this was read last.
    too_early: u64,
    /// The first audio track, if nothing came of it, and the server would not take it any more.
    missing: Option<TrackId>,
}

impl RtmpSink {
    /// An output at `url`; fails if its TLS can't be set up.
    pub(crate) fn new(url: RtmpUrl) -> Result<Self> {
        let tls = url
            .tls
            .then(|| tls::connector(&url.host, url.on_server))
            .transpose()?;
        let warnings = Rc::new(Warnings {
            output: url.to_string(),
            given: RefCell::default(),
        });
        Ok(Self {
            url,
            tls,
            announces_codecs: Cell::new(true),
            warnings,
        })
    }

    /// Connects, and has the server accept a stream of these tracks.
    pub(crate) async fn open(&self, tracks: &Tracks) -> Result<Stream, SinkError> {
        let four_ccs = flv::four_ccs(tracks);
        let announced = if self.announces_codecs.get() {
            four_ccs.clone()
        } else {
            Vec::new()
        };
        let opened = Connection::open(&self.url, self.tls.as_ref(), announced).await;
        if !four_ccs.is_empty() && matches!(opened, Err(SinkError::Timeout(_))) {
            self.announces_codecs.set(!self.announces_codecs.get());
        }
        let connection = opened?;
        let server = connection.publisher.server();
        for code in four_ccs.into_iter().filter(|code| server.lacks(code)) {
            self.warnings.warn(
                code,
                format!(
                    "the server does not list {code} among the codecs that it takes (fourCcList)"
                ),
            );
        }
        let (carried, left_out) = choose(tracks, server);
        for LeftOut { id, codec, reason } in left_out {
            let warning = format!("track left out: {codec}, {id} ({reason})");
            self.warnings.warn(codec, warning);
        }
        Ok(Stream {
            connection,
            opened: Instant::now(),
            timestamps: Timestamps::default(),
            opened_for: tracks.clone(),
            tracks: None,
            warnings: Rc::clone(&self.warnings),
            carried,
            opening: None,
            too_early: 0,
            missing: None,
        })
    }
}

impl Stream {
    /// Whether video goes to the server.
    pub(crate) fn carries_video(&self) -> bool {
        self.carried.iter().any(Carried::is_video)
    }

    /// Sends what `queue` yields, until the server is lost or the queue is closed and empty. Calls `sent` for each unit, and
    /// whether the server is known to take the media by then.
    ///
    /// Returns tracks that this RTMP stream can't take, since a codec changed or a track begins late: it has to be published
    /// anew.
    pub(crate) async fn run(
        &mut self,
        queue: &Queue,
        mut sent: impl FnMut(&AccessUnit, bool),
    ) -> Result<Option<Arc<Tracks>>, SinkError> {
        loop {
            self.connection.check_acknowledged().await?;
            tokio::select! {
                biased;
                item = queue.pop() => {
                    let Some(item) = item else {
                        return Ok(None);
                    };
                    let item = match item {
                        Item::Unit(unit) if self.missing == Some(unit.track) => {
                            log::info!("{} begins: publishing anew, since this server takes no track that begins late", unit.track);
                            queue.restart_with(unit);
                            return Ok(Some(queue.tracks().await));
                        }
                        item => item,
                    };
                    let tracks = self.send(item, &mut sent).await;
                    queue.count(std::mem::take(&mut self.too_early));
                    if let Some(tracks) = tracks.map_err(|error| self.explain(error))? {
                        return Ok(Some(tracks));
                    }
                }
                received = self.connection.receive() => {
                    received.map_err(|error| self.explain(error))?;
                    let flushed = self.connection.flush().await;
                    flushed.map_err(|error| self.explain(error))?;
                }
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    self.connection.publisher.keep_alive();
                    let flushed = self.connection.flush().await;
                    flushed.map_err(|error| self.explain(error))?;
                }
            }
        }
    }

    /// Ends the stream in an orderly way.
    pub(crate) async fn close(self) {
        self.connection.close().await;
    }

    async fn send(
        &mut self,
        item: Item,
        sent: &mut impl FnMut(&AccessUnit, bool),
    ) -> Result<Option<Arc<Tracks>>, SinkError> {
        match item {
            Item::Tracks(tracks) => {
                // While the output opened, the queue may have lost the tracks that it was opened for.
                let before = self.tracks.as_deref().unwrap_or(&self.opened_for);
                if !before.continues(&tracks) {
                    return Ok(Some(tracks));
                }
                self.describe(tracks);
                self.connection.flush().await?;
            }
            Item::Unit(unit) if !self.carries(unit.track) => {}
            Item::Unit(unit) => {
                let Some(opening) = &mut self.opening else {
                    self.pass(&unit, sent).await?;
                    return Ok(None);
                };
                if let Some(opened) = opening.push(unit) {
                    self.opening = None;
                    self.start(opened, sent).await?;
                }
            }
        }
        Ok(None)
    }

    fn carries(&self, track: TrackId) -> bool {
        self.carried.iter().any(|carried| carried.id == track)
    }

    /// Sends what the opening held.
    async fn start(
        &mut self,
        opened: Opened,
        sent: &mut impl FnMut(&AccessUnit, bool),
    ) -> Result<(), SinkError> {
        opened.start(&mut self.timestamps);
        self.leave_out(&opened.missing);
        for (place, unit) in opened.units.iter().enumerate() {
            let track = self.carried.iter().find(|track| track.id == unit.track);
            if let Some(track) = track.filter(|track| place < opened.firsts && track.is_further())
                && let Some(header) = track.sequence_header()
            {
                let now = self.timestamps.latest();
                self.connection
                    .publisher
                    .audio(now, &[&header], &Bytes::new());
            }
            self.pass(unit, sent).await?;
        }
        Ok(())
    }

    /// Goes on without tracks that brought nothing.
    fn leave_out(&mut self, missing: &[TrackId]) {
        self.carried.retain(|track| {
            if !missing.contains(&track.id) {
                return true;
            }
            let (id, codec) = (track.id, track.codec());
            if track.is_further() {
                log::warn!(codec = codec; "track left out: {codec}, {id} (nothing came of it in the first second)");
                return false;
            }
            if track.must_not_be_late() {
                log::warn!(codec = codec; "track left out for now: {codec}, {id} (nothing came of it in the first second; when it begins, the stream is published anew)");
                self.missing = Some(id);
            }
            true
        });
    }

    async fn pass(
        &mut self,
        unit: &AccessUnit,
        sent: &mut impl FnMut(&AccessUnit, bool),
    ) -> Result<(), SinkError> {
        if self.unit(unit) {
            self.connection.flush().await?;
            sent(unit, self.is_taken());
        }
        Ok(())
    }

    /// Sends the metadata and the sequence headers.
    fn describe(&mut self, tracks: Arc<Tracks>) {
        if self.tracks.as_ref() == Some(&tracks) {
            return;
        }
        if self.tracks.is_none() {
            let metadata = flv::metadata(&tracks);
            self.connection.publisher.metadata(metadata);
        }
        for carried in &mut self.carried {
            let track = tracks.iter().find(|track| track.id == carried.id);
            if let Some(track) = track {
                carried.update(&track.description);
            }
        }
        for track in self.carried.iter().filter(|track| track.lacks_sets()) {
            let (id, codec) = (track.id, track.codec());
            self.warnings.warn(codec, format!("this server keeps one parameter set of each kind: pictures of the {id} that name another can't be decoded there"));
        }
        // A change applies to what follows, so it carries the time of what went before.
        let now = self.timestamps.latest();
        let is_first = self.tracks.replace(tracks).is_none();
        for track in &self.carried {
            // The header of a further audio track goes with its first frame, without which MediaMTX refuses it.
            let is_starting = is_first || self.opening.is_some();
            let is_early = is_starting && track.is_further() && !track.is_video();
            let is_wanted = !is_early && (is_first || track.takes_second_header());
            if let Some(header) = track.sequence_header().filter(|_| is_wanted) {
                send(&mut self.connection, track, now, &[&header], &Bytes::new());
            }
        }
        if is_first {
            self.open();
        }
    }

    fn open(&mut self) {
        let late = self.carried.iter();
        let late = late.filter(|track| track.is_known_by_its_first_frame());
        let late: Vec<_> = late.map(|track| track.id).collect();
        if late.is_empty() {
            self.announce();
        } else if self.carried.len() > 1 {
            self.opening = Some(Opening::new(late));
        }
    }

    /// Repeats a sequence header where media starts: MediaMTX shows the path at once, and need not wait
    /// for the next key frame. H.265's header is spared, since it may come only once.
    fn announce(&mut self) {
        let tracks = || self.carried.iter().filter(|track| !track.is_further());
        let h264 = tracks().find(|track| track.has_h264());
        let announced = h264.or_else(|| tracks().find(|track| !track.is_video()));
        if let Some(track) = announced
            && let Some(header) = track.sequence_header()
        {
            send(
                &mut self.connection,
                track,
                MEDIA_START as u32,
                &[&header],
                &Bytes::new(),
            );
        }
    }

    fn unit(&mut self, unit: &AccessUnit) -> bool {
        let track = self.carried.iter_mut().find(|track| track.id == unit.track);
        let Some(track) = track.filter(|_| self.tracks.is_some()) else {
            return false;
        };
        let Some((timestamp, composition_time)) = self.timestamps.stamp(unit) else {
            self.too_early += 1;
            return false;
        };
        let key = unit.entry.is_key();
        let header = track.frame_header(key, composition_time);
        let changed = if key && track.is_video() {
            track.take_changed_sets()
        } else {
            Vec::new()
        };
        let head = [&header[..], &changed];
        send(&mut self.connection, track, timestamp, &head, &unit.data);
        true
    }

    /// Whether the server acknowledges media, or, since some never do, has not closed the connection for long enough.
    fn is_taken(&self) -> bool {
        self.connection.publisher.acknowledgements() >= ACKNOWLEDGEMENTS_OF_MEDIA
            || self.opened.elapsed() >= REJECTION
    }

    /// A connection that ends at once after the publish command was refused by what MediaMTX does not
    /// say over RTMP.
    fn explain(&self, error: SinkError) -> SinkError {
        match error {
            SinkError::Closed | SinkError::Broken(_) if !self.is_taken() => SinkError::Rejected,
            error => error,
        }
    }
}

/// Queues a message of a track.
fn send(
    connection: &mut Connection,
    track: &Carried,
    timestamp: u32,
    head: &[&[u8]],
    frame: &Bytes,
) {
    let publisher = &mut connection.publisher;
    if track.is_video() {
        publisher.video(timestamp, head, frame);
    } else {
        publisher.audio(timestamp, head, frame);
    }
}
