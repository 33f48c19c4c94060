//! What coded frames hold, whatever carries them: RTSP readers see start codes and RTMP readers lengths, servers add and
//! leave out parameter sets, and the same frame is still the same.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::clips::Video;
use crate::packets::{Kind, Packet};
use crate::processes::{Line, Spawned};
use crate::waiting::poll;

/// FFmpeg's own mark for a time that it does not know.
const NO_TIME: i64 = i64::MIN;

/// A running ffmpeg that takes frames out of their container and prints a checksum of each.
pub struct PayloadReader {
    url: String,
    process: Spawned,
}

impl PayloadReader {
    /// Starts reading `url` (RTSP over TCP, RTMP or a file), whose picture is coded as `video`.
    #[track_caller]
    pub fn start(url: &str, video: Option<Video>) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-loglevel", "error", "-copyts"]);
        if url.starts_with("rtsp:") {
            command.args(["-rtsp_transport", "tcp"]);
        }
        command.args(["-analyzeduration", "2000000", "-i", url, "-c", "copy"]);
        command.args(["-map", "0:v?", "-map", "0:a?"]);
        // Of VP9 in RTP it does not say which frames are key frames.
        command.arg("-copyinkf");
        if let Some(filter) = plain_frames(video) {
            command.args(["-bsf:v", filter]);
        }
        command.args(["-flush_packets", "1", "-f", "framemd5", "-"]);
        Self {
            url: url.to_owned(),
            process: Spawned::start(&format!("ffmpeg {url}"), command),
        }
    }

    /// The packets received so far; which of them are key frames is not known.
    pub fn packets(&self) -> Vec<Packet> {
        let mut streams: Vec<Stream> = vec![];
        let mut packets = vec![];
        for line in self.process.lines() {
            if let Some(header) = line.text.strip_prefix('#') {
                describe(header, &mut streams);
            } else if let Some(packet) = parse(&line, &streams) {
                packets.push(packet);
            }
        }
        packets
    }

    /// Reads until `count` packets of `kind` have come, and returns all.
    ///
    /// # Panics
    /// When they have not come within `timeout`.
    #[track_caller]
    pub fn collect(&self, kind: Kind, count: usize, timeout: Duration) -> Vec<Packet> {
        let full = poll(timeout, || {
            let packets = self.packets();
            let same = packets.iter().filter(|packet| packet.kind == kind);
            (same.count() >= count).then_some(packets)
        });
        full.unwrap_or_else(|waited| {
            panic!(
                "{}: no {count} {kind:?} packets in {waited:.1?}; ffmpeg wrote:\n{}",
                self.url,
                self.process.output()
            )
        })
    }
}

/// All packets of a file whose picture is coded as `video`.
///
/// # Panics
/// When it can't be read to its end.
#[track_caller]
pub fn read_file(file: &Path, video: Option<Video>) -> Vec<Packet> {
    let mut reader = PayloadReader::start(&file.display().to_string(), video);
    reader.process.wait(Duration::from_secs(30));
    reader.packets()
}

/// FFmpeg's filters that leave nothing of a frame but its slices, with start codes.
fn plain_frames(video: Option<Video>) -> Option<&'static str> {
    match video? {
        Video::H264
        | Video::H264BFrames
        | Video::H264Cavlc
        | Video::H264RareKeyFrames
        | Video::H264OneKeyFrame => Some("h264_mp4toannexb,filter_units=remove_types=6-9"),
        Video::H265 => Some("hevc_mp4toannexb,filter_units=remove_types=32-35|39|40"),
        Video::Vp9 | Video::Av1 => None,
    }
}

#[derive(Clone, Copy, Default)]
struct Stream {
    kind: Option<Kind>,
    /// A time stamp's unit in seconds, as a fraction.
    unit: (i64, i64),
}

/// `#tb 0: 1/90000` and `#media_type 0: video`.
fn describe(header: &str, streams: &mut Vec<Stream>) {
    let words: Vec<&str> = header
        .split([' ', ':'])
        .filter(|word| !word.is_empty())
        .collect();
    let [name, index, value] = words[..] else {
        return;
    };
    let Ok(index) = index.parse::<usize>() else {
        return;
    };
    streams.resize(streams.len().max(index + 1), Stream::default());
    let stream = &mut streams[index];
    match (name, value) {
        ("media_type", "video") => stream.kind = Some(Kind::Video),
        ("media_type", "audio") => stream.kind = Some(Kind::Audio),
        ("tb", unit) => {
            let (ticks, second) = unit.split_once('/').expect("ffmpeg writes a fraction");
            let number = |text: &str| text.parse::<i64>().expect("ffmpeg writes a number");
            stream.unit = (number(ticks), number(second));
        }
        _ => {}
    }
}

/// `0, 160, 160, 40, 48082, 37dec4…`: stream, DTS, PTS, duration, size, checksum.
fn parse(line: &Line, streams: &[Stream]) -> Option<Packet> {
    let fields: Vec<&str> = line.text.split(',').map(str::trim).collect();
    let [index, dts, pts, _, size, hash] = fields[..] else {
        return None;
    };
    let track = index.parse::<usize>().ok()?;
    let stream = streams.get(track)?;
    let (ticks, second) = stream.unit;
    let time = |text: &str| {
        let time = text.parse::<i64>().ok().filter(|time| *time != NO_TIME)?;
        let time = i128::from(time) * 1_000_000 * i128::from(ticks) / i128::from(second);
        i64::try_from(time).ok()
    };
    Some(Packet {
        track,
        kind: stream.kind?,
        pts: time(pts),
        dts: time(dts),
        key: false,
        size: size.parse().ok()?,
        hash: hash.to_owned(),
        at: line.at,
    })
}
