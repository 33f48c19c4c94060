//! The samples of an MP4 file with H.264, and AAC, Opus or MP3, and the RTP packets that carry them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::packets::Kind;

/// So much fits into an RTP packet, as usual.
const MOST: usize = 1_400;

const FU_A: u8 = 28;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// How audio frames become RTP payloads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AudioPayload {
    /// Behind an AU header (RFC 3640).
    Aac,
    /// As they are (RFC 7587).
    Opus,
    /// Behind four bytes (RFC 2250, section 3.5).
    Mp3,
}

/// A coded picture or audio frame. Times are in seconds.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Video or audio.
    pub kind: Kind,
    /// Presentation time.
    pub pts: f64,
    /// Decode time.
    pub dts: f64,
    /// The NAL units of a picture, key frames with the parameter sets before them; or one audio frame.
    pub units: Vec<Vec<u8>>,
}

impl Sample {
    /// Whether decoding can start here.
    pub fn is_key(&self) -> bool {
        self.kind == Kind::Video && self.units.iter().any(|nal| nal[0] & 0x1f == SPS)
    }

    /// Its RTP payloads; of a picture by RFC 6184.
    pub fn payloads(&self, audio: AudioPayload) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::Audio => self
                .units
                .iter()
                .map(|frame| audio_payload(audio, frame))
                .collect(),
            Kind::Video => self
                .units
                .iter()
                .flat_map(|nal| video_payloads(nal))
                .collect(),
        }
    }

    /// Those of its units that are parameter sets.
    pub fn parameter_sets(&self) -> Vec<Vec<u8>> {
        let units = self.units.iter();
        let sets = units.filter(|nal| matches!(nal[0] & 0x1f, SPS | PPS));
        sets.cloned().collect()
    }

    /// A picture as byte stream in one payload, as no RFC has it.
    pub fn byte_stream(&self) -> Vec<u8> {
        let units = self.units.iter();
        units
            .flat_map(|nal| [&[0, 0, 0, 1], &nal[..]].concat())
            .collect()
    }
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
    let units = match kind {
        Kind::Audio => vec![data.to_vec()],
        Kind::Video if text("flags").starts_with('K') => {
            let sets = parameter_sets.iter().cloned();
            sets.chain(nal_units(data)).collect()
        }
        Kind::Video => nal_units(data),
    };
    Sample {
        kind,
        pts: seconds("pts_time"),
        dts: seconds("dts_time"),
        units,
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

fn audio_payload(audio: AudioPayload, frame: &[u8]) -> Vec<u8> {
    match audio {
        AudioPayload::Aac => {
            let size = u16::try_from(frame.len() << 3).expect("AAC frames are short");
            [&[0, 16], &size.to_be_bytes()[..], frame].concat()
        }
        AudioPayload::Opus => frame.to_vec(),
        AudioPayload::Mp3 => [&[0; 4], frame].concat(),
    }
}

/// Those of an access unit with lengths in four bytes.
fn nal_units(mut access_unit: &[u8]) -> Vec<Vec<u8>> {
    let mut nals = vec![];
    while let Some((length, rest)) = access_unit.split_first_chunk() {
        let (nal, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        access_unit = rest;
        nals.push(nal.to_vec());
    }
    nals
}

fn video_payloads(nal: &[u8]) -> Vec<Vec<u8>> {
    if nal.len() <= MOST {
        return vec![nal.to_vec()];
    }
    let chunks: Vec<&[u8]> = nal[1..].chunks(MOST).collect();
    let fragment = |(number, chunk): (usize, &&[u8])| {
        let start = u8::from(number == 0) << 7;
        let end = u8::from(number + 1 == chunks.len()) << 6;
        let header = [(nal[0] & 0xe0) | FU_A, start | end | (nal[0] & 0x1f)];
        [&header[..], chunk].concat()
    };
    chunks.iter().enumerate().map(fragment).collect()
}
