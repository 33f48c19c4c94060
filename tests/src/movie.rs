//! The samples of an MP4 file with H.264 and AAC, and the RTP packets that carry them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::packets::Kind;

/// So much fits into an RTP packet, as usual.
const MOST: usize = 1_400;

const FU_A: u8 = 28;

/// A coded picture or audio frame. Times are in seconds.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Video or audio.
    pub kind: Kind,
    /// Presentation time.
    pub pts: f64,
    /// Decode time.
    pub dts: f64,
    /// Its RTP payloads (RFC 6184, RFC 3640): key frames with the parameter sets before them.
    pub payloads: Vec<Vec<u8>>,
}

/// The samples of a file, in order of decoding.
///
/// # Panics
/// When the file is not such an MP4, or ffprobe is missing.
#[track_caller]
pub fn samples(file: &Path) -> Vec<Sample> {
    let bytes = fs::read(file).expect("the file is there");
    let parameter_sets = parameter_sets(&bytes);
    let mut samples: Vec<Sample> = packets(file)
        .iter()
        .map(|packet| sample(packet, &bytes, &parameter_sets))
        .collect();
    samples.sort_by(|one, other| one.dts.total_cmp(&other.dts));
    samples
}

fn packets(file: &Path) -> Vec<Value> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-loglevel", "error", "-show_packets", "-of", "json"]);
    let output = ffprobe.arg(file).output().expect("ffprobe is installed");
    let json: Value = serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON");
    json["packets"].as_array().expect("a list").clone()
}

fn sample(packet: &Value, bytes: &[u8], parameter_sets: &[Vec<u8>]) -> Sample {
    let text = |key: &str| packet[key].as_str().unwrap_or_default();
    let number = |key: &str| -> usize { text(key).parse().expect("a number") };
    let seconds = |key: &str| -> f64 { text(key).parse().expect("a time") };
    let data = &bytes[number("pos")..][..number("size")];
    let kind = if text("codec_type") == "video" {
        Kind::Video
    } else {
        Kind::Audio
    };
    let payloads = match kind {
        Kind::Audio => vec![audio_payload(data)],
        Kind::Video if text("flags").starts_with('K') => {
            let sets = parameter_sets.iter().cloned();
            sets.chain(video_payloads(data)).collect()
        }
        Kind::Video => video_payloads(data),
    };
    Sample {
        kind,
        pts: seconds("pts_time"),
        dts: seconds("dts_time"),
        payloads,
    }
}

/// SPS and PPS, by the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
fn parameter_sets(bytes: &[u8]) -> Vec<Vec<u8>> {
    let at = bytes.windows(4).position(|name| name == b"avcC");
    let record = &bytes[at.expect("H.264") + 4..];
    let length = |at: usize| usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    let sps = &record[8..][..length(6)];
    let pps = 8 + sps.len() + 1;
    vec![sps.to_vec(), record[pps + 2..][..length(pps)].to_vec()]
}

/// One frame with its AU header.
fn audio_payload(frame: &[u8]) -> Vec<u8> {
    let size = u16::try_from(frame.len() << 3).expect("AAC frames are short");
    [&[0, 16], &size.to_be_bytes()[..], frame].concat()
}

fn video_payloads(mut access_unit: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = vec![];
    while let Some((length, rest)) = access_unit.split_first_chunk() {
        let (nal, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        access_unit = rest;
        if nal.len() <= MOST {
            payloads.push(nal.to_vec());
            continue;
        }
        let chunks: Vec<&[u8]> = nal[1..].chunks(MOST).collect();
        for (number, chunk) in chunks.iter().enumerate() {
            let start = u8::from(number == 0) << 7;
            let end = u8::from(number + 1 == chunks.len()) << 6;
            let header = [(nal[0] & 0xe0) | FU_A, start | end | (nal[0] & 0x1f)];
            payloads.push([&header[..], chunk].concat());
        }
    }
    payloads
}
