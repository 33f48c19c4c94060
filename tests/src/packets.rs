//! Packets as a real player receives them: ffprobe's view of a stream.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::processes::{Line, Spawned};
use crate::waiting::poll;

/// Kind of a packet's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Video,
    Audio,
}

/// One received packet. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Video or audio.
    pub kind: Kind,
    /// The number of its track among all of the stream, from 0.
    pub track: usize,
    /// Presentation time, if ffprobe knows it.
    pub pts: Option<i64>,
    /// Decode time, if ffprobe knows it.
    pub dts: Option<i64>,
    /// Whether it is a key frame.
    pub key: bool,
    /// Payload size.
    pub size: usize,
    /// MD5 of the payload.
    pub hash: String,
    /// When ffprobe printed it.
    pub at: Instant,
}

/// A running ffprobe on a live stream.
pub struct Reader {
    url: String,
    process: Spawned,
}

impl Reader {
    /// Starts reading `url` (RTSP over TCP, RTMP or a file).
    #[track_caller]
    pub fn start(url: &str) -> Self {
        // stdbuf: a line comes out as its packet comes in, so that Packet::at means something.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "ffprobe", "-hide_banner", "-loglevel", "error"]);
        if url.starts_with("rtsp:") {
            command.args(["-rtsp_transport", "tcp"]);
        }
        command.args([
            "-analyzeduration",
            "2000000",
            "-show_packets",
            "-show_data_hash",
            "md5",
        ]);
        command.args([
            "-show_entries",
            "packet=stream_index,codec_type,pts_time,dts_time,flags,size,data_hash",
        ]);
        command.args(["-of", "compact=p=0"]).arg(url);
        Self {
            url: url.to_owned(),
            process: Spawned::start(&format!("ffprobe {url}"), command),
        }
    }

    /// The packets received so far.
    pub fn packets(&self) -> Vec<Packet> {
        let mut lines: Vec<Line> = vec![];
        for line in self.process.lines() {
            match lines.last_mut() {
                // ffprobe breaks the line after a packet's side data.
                Some(last) if line.text.starts_with('|') => last.text += &line.text,
                _ => lines.push(line),
            }
        }
        lines.iter().filter_map(parse).collect()
    }

    /// The packets received so far of one kind.
    pub fn packets_of(&self, kind: Kind) -> Vec<Packet> {
        self.packets()
            .into_iter()
            .filter(|packet| packet.kind == kind)
            .collect()
    }

    /// The packets received so far of one track.
    pub fn packets_of_track(&self, track: usize) -> Vec<Packet> {
        let mut packets = self.packets();
        packets.retain(|packet| packet.track == track);
        packets
    }

    /// Reads until `count` packets of `kind` have come, and returns all.
    ///
    /// # Panics
    /// When they have not come within `timeout`.
    #[track_caller]
    pub fn collect(&self, kind: Kind, count: usize, timeout: Duration) -> Vec<Packet> {
        let full = poll(timeout, || {
            (self.packets_of(kind).len() >= count).then_some(())
        });
        let packets = self.packets();
        if full.is_err() {
            let seen = packets.iter().filter(|packet| packet.kind == kind).count();
            let said: Vec<Line> = self
                .process
                .lines()
                .into_iter()
                .filter(|line| parse(line).is_none())
                .collect();
            panic!(
                "{}: {seen} of {count} {kind:?} packets in {timeout:?}; ffprobe said {said:?}",
                self.url
            );
        }
        packets
    }

    /// Whether ffprobe has ended, which it does when its stream ends.
    pub fn ended(&mut self) -> bool {
        self.process.try_wait().is_some()
    }
}

/// All packets of a file.
///
/// # Panics
/// When it can't be read to its end.
#[track_caller]
pub fn read_file(file: &std::path::Path) -> Vec<Packet> {
    let mut reader = Reader::start(&file.display().to_string());
    reader.process.wait(Duration::from_secs(30));
    reader.packets()
}

/// `codec_type=video|stream_index=0|pts_time=1.000|dts_time=0.960|size=123|flags=K__|data_hash=MD5:…`
fn parse(line: &Line) -> Option<Packet> {
    let mut packet = Packet {
        kind: Kind::Video,
        track: 0,
        pts: None,
        dts: None,
        key: false,
        size: 0,
        hash: String::new(),
        at: line.at,
    };
    for field in line.text.split('|') {
        let (name, value) = field.split_once('=')?;
        match name {
            "codec_type" if value == "video" => packet.kind = Kind::Video,
            "codec_type" if value == "audio" => packet.kind = Kind::Audio,
            "codec_type" => return None,
            "stream_index" => packet.track = value.parse().ok()?,
            "pts_time" => packet.pts = microseconds(value),
            "dts_time" => packet.dts = microseconds(value),
            "size" => packet.size = value.parse().ok()?,
            "flags" => packet.key = value.starts_with('K'),
            "data_hash" => value.clone_into(&mut packet.hash),
            _ => {}
        }
    }
    (!packet.hash.is_empty()).then_some(packet)
}

/// ffprobe prints six decimals.
fn microseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.')?;
    let sign = if seconds.starts_with('-') { -1 } else { 1 };
    Some(seconds.parse::<i64>().ok()? * 1_000_000 + sign * fraction.parse::<i64>().ok()?)
}
