//! Publishing access units over RTMP.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::error::SinkError;
use super::queue::Queue;
use super::timestamps::{MEDIA_START, Timestamps};
use crate::media::{AccessUnit, Item, Medium, Tracks, VideoCodec};
use crate::rtmp::flv;
use crate::rtmp::url::RtmpUrl;
use crate::tls;

/// While no media flows, for example between two tries to reach the source, a sign of life this often
/// keeps the server from closing the connection (MediaMTX: `readTimeout`, 10 s).
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// A server that closes this soon after it accepted the stream did not want it.
const REJECTION: Duration = Duration::from_millis(500);

/// A server learns of a track of G.711 or MP3, which have no sequence header, by its first frame, and MediaMTX of one of
/// Opus, too. It stops looking for tracks at the first message of media. So that frame goes first; this is how long, in
/// nanoseconds, video is held for it.
const AUDIO_FIRST: i64 = 1_000_000_000;

/// An RTMP output.
pub(crate) struct RtmpSink {
    url: RtmpUrl,
    tls: Option<TlsConnector>,
    /// Whether the server is told which codecs of enhanced RTMP come. It is, unless it did not answer when it was: go2rtc
    /// takes H.265, but does not understand the list.
    announces_codecs: Cell<bool>,
}

/// A published stream.
pub(crate) struct Stream {
    connection: Connection,
    opened: Instant,
    timestamps: Timestamps,
    tracks: Option<Arc<Tracks>>,
    /// Video that waits for the first audio, see [`AUDIO_FIRST`]; `None` once it need not.
    held: Option<Vec<AccessUnit>>,
    /// Parameter sets of H.265 that changed, length-prefixed, for the next key frame.
    changed_sets: Vec<u8>,
}

impl RtmpSink {
    /// An output at `url`; fails if its TLS can't be set up.
    pub(crate) fn new(url: RtmpUrl) -> Result<Self> {
        let tls = url.tls.then(|| tls::connector(url.on_server)).transpose()?;
        Ok(Self {
            url,
            tls,
            announces_codecs: Cell::new(true),
        })
    }

    /// Connects, and has the server accept a stream of these tracks.
    pub(crate) async fn open(&self, tracks: &Tracks) -> Result<Stream, SinkError> {
        let mut four_ccs = flv::four_ccs(tracks);
        let has_four_ccs = !four_ccs.is_empty();
        if !self.announces_codecs.get() {
            four_ccs.clear();
        }
        let opened = Connection::open(&self.url, self.tls.as_ref(), four_ccs).await;
        if has_four_ccs && matches!(opened, Err(SinkError::Timeout(_))) {
            self.announces_codecs.set(!self.announces_codecs.get());
        }
        Ok(Stream {
            connection: opened?,
            opened: Instant::now(),
            timestamps: Timestamps::default(),
            tracks: None,
            held: None,
            changed_sets: Vec::new(),
        })
    }
}

impl Stream {
    /// Sends what `queue` yields, and calls `sent` for each unit, until the server is lost.
    ///
    /// Returns tracks with other codecs, which this RTMP stream can't take: it has to be published anew.
    pub(crate) async fn run(
        &mut self,
        queue: &Queue,
        mut sent: impl FnMut(&AccessUnit),
    ) -> Result<Arc<Tracks>, SinkError> {
        loop {
            self.connection.check_acknowledged().await?;
            tokio::select! {
                biased;
                item = queue.pop() => {
                    if let Some(tracks) = self.send(item, &mut sent).await.map_err(|error| self.explain(error))? {
                        return Ok(tracks);
                    }
                }
                received = self.connection.receive() => {
                    received.map_err(|error| self.explain(error))?;
                    self.connection.flush().await?;
                }
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    self.connection.publisher.keep_alive();
                    self.connection.flush().await?;
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
        sent: &mut impl FnMut(&AccessUnit),
    ) -> Result<Option<Arc<Tracks>>, SinkError> {
        match item {
            Item::Tracks(tracks) => {
                if self
                    .tracks
                    .as_ref()
                    .is_some_and(|old| !old.continues(&tracks))
                {
                    return Ok(Some(tracks));
                }
                self.describe(tracks);
                self.connection.flush().await?;
            }
            Item::Unit(unit) => {
                let Some(held) = self.held.take() else {
                    self.pass(&unit, sent).await?;
                    return Ok(None);
                };
                for unit in self.audio_first(held, unit) {
                    self.pass(&unit, sent).await?;
                }
            }
        }
        Ok(None)
    }

    async fn pass(
        &mut self,
        unit: &AccessUnit,
        sent: &mut impl FnMut(&AccessUnit),
    ) -> Result<(), SinkError> {
        if self.unit(unit) {
            self.connection.flush().await?;
            sent(unit);
        }
        Ok(())
    }

    /// Sends the metadata and the sequence headers.
    fn describe(&mut self, tracks: Arc<Tracks>) {
        if self.tracks.as_ref() == Some(&tracks) {
            return;
        }
        // A change applies to what follows, so it carries the time of what went before.
        let now = self.timestamps.latest();
        let first = self.tracks.is_none();
        let publisher = &mut self.connection.publisher;
        let video = tracks.video.as_ref().map(flv::video_sequence_header);
        let audio = tracks.audio.as_ref().and_then(flv::audio_sequence_header);
        if first {
            publisher.metadata(flv::metadata(&tracks));
        }
        if let Some(header) = &video {
            publisher.video(now, &[header]);
        }
        if let Some(header) = &audio {
            publisher.audio(now, &[header]);
        }
        if !first
            && let Some(VideoCodec::H265(sets)) = tracks.video.as_ref().map(|video| &video.codec)
        {
            // MediaMTX takes no second sequence header of H.265, but looks into key frames.
            let prefixed = |nal: &Bytes| [&(nal.len() as u32).to_be_bytes()[..], nal].concat();
            self.changed_sets = sets.iter().flat_map(prefixed).collect();
        }
        if first {
            let is_late = tracks
                .audio
                .as_ref()
                .is_some_and(flv::is_known_by_its_first_frame);
            self.held = (is_late && video.is_some()).then(Vec::new);
            if !is_late {
                self.announce(&tracks, video, audio);
            }
        }
        self.tracks = Some(tracks);
    }

    /// Repeats a sequence header where media starts: MediaMTX shows the path at once, and need not wait
    /// for the next key frame. H.265's header is spared, since it may come only once.
    fn announce(&mut self, tracks: &Tracks, video: Option<Vec<u8>>, audio: Option<Vec<u8>>) {
        let is_h264 = tracks
            .video
            .as_ref()
            .is_some_and(|video| matches!(video.codec, VideoCodec::H264(_)));
        match (video.filter(|_| is_h264), audio) {
            (Some(header), _) => self
                .connection
                .publisher
                .video(MEDIA_START as u32, &[&header]),
            (None, Some(header)) => self
                .connection
                .publisher
                .audio(MEDIA_START as u32, &[&header]),
            (None, None) => {}
        }
    }

    /// Holds video until the first audio. Returns what is held no longer.
    fn audio_first(&mut self, mut held: Vec<AccessUnit>, unit: AccessUnit) -> Vec<AccessUnit> {
        let waited = held.first().map_or(0, |first| unit.arrival - first.arrival);
        if unit.medium == Medium::Video && waited < AUDIO_FIRST {
            held.push(unit);
            self.held = Some(held);
            return Vec::new();
        }
        let place = if unit.medium == Medium::Audio {
            0
        } else {
            held.len()
        };
        held.insert(place, unit);
        held
    }

    fn unit(&mut self, unit: &AccessUnit) -> bool {
        let Some(tracks) = &self.tracks else {
            return false;
        };
        let Some((timestamp, composition_time)) = self.timestamps.stamp(unit) else {
            return false;
        };
        let publisher = &mut self.connection.publisher;
        match (unit.medium, &tracks.video, &tracks.audio) {
            (Medium::Video, Some(video), _) => {
                let key = unit.entry.is_key();
                let header = flv::video_frame_header(&video.codec, key, composition_time);
                let changed = if key {
                    std::mem::take(&mut self.changed_sets)
                } else {
                    Vec::new()
                };
                publisher.video(timestamp, &[&header, &changed, &unit.data]);
            }
            (Medium::Audio, _, Some(audio)) => {
                publisher.audio(timestamp, &[&flv::audio_frame_header(audio), &unit.data]);
            }
            _ => return false,
        }
        true
    }

    /// A connection that ends at once after the publish command was refused by what MediaMTX does not
    /// say over RTMP.
    fn explain(&self, error: SinkError) -> SinkError {
        match error {
            SinkError::Closed | SinkError::Broken(_) if self.opened.elapsed() < REJECTION => {
                SinkError::Rejected
            }
            error => error,
        }
    }
}
