//! Short test clips, encoded once and then only copied, because encoding is what costs CPU time.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use crate::processes::Spawned;

const RATE: u32 = 25;

/// Codec of a clip's picture.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are the codecs")]
pub enum Video {
    H264,
    /// With two B-frames between the others, in closed groups of pictures.
    H264BFrames,
    /// Without CABAC.
    H264Cavlc,
    /// With a key frame every 10 s only.
    H264RareKeyFrames,
    /// With a key frame at the clip's beginning only.
    H264OneKeyFrame,
    H265,
    Vp9,
    Av1,
}

/// Codec of a clip's sound.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are the codecs")]
pub enum Audio {
    Aac,
    Opus,
    Pcma,
    Pcmu,
    /// At a rate for which RTMP has no room.
    PcmuAt16kHz,
    Mp3,
    /// MPEG audio, layer 2.
    Mp2,
}

/// A test pattern with noise: every frame and every audio packet has a payload of its own, so that a payload
/// identifies its packet wherever it turns up again.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// The picture, if any.
    pub video: Option<Video>,
    /// The sound, if any.
    pub audio: Option<Audio>,
    /// Its length; a publisher repeats it.
    pub seconds: u32,
    size: &'static str,
    kilobits: u32,
}

impl Clip {
    /// A clip of 40 s, which is longer than any comparison of packets takes.
    pub fn new(video: impl Into<Option<Video>>, audio: impl Into<Option<Audio>>) -> Self {
        Self {
            video: video.into(),
            audio: audio.into(),
            seconds: 40,
            size: "320x180",
            kilobits: 300,
        }
    }

    /// The same as large as people publish: 720p at 2 Mbit a second.
    #[must_use]
    pub fn in_720p(self) -> Self {
        Self {
            size: "1280x720",
            kilobits: 2000,
            ..self
        }
    }

    /// The usual: H.264 without B-frames, and AAC.
    pub fn h264_aac() -> Self {
        Self::new(Video::H264, Audio::Aac)
    }

    /// The clip's file, encoded on first use and kept beside the compiled tests.
    ///
    /// # Panics
    /// When ffmpeg is missing or can't encode it.
    pub fn file(&self) -> PathBuf {
        static ENCODING: Mutex<()> = Mutex::new(());
        let arguments = self.encoder_arguments();
        let mut hasher = DefaultHasher::new();
        arguments.hash(&mut hasher);
        // MP4 keeps the time stamps exactly, Matroska takes every codec.
        let kind = if matches!(
            self.audio,
            Some(Audio::Pcma | Audio::Pcmu | Audio::PcmuAt16kHz)
        ) {
            "mkv"
        } else {
            "mp4"
        };
        let file = folder().join(format!("{:016x}.{kind}", hasher.finish()));
        let _one_at_a_time = ENCODING
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if !file.exists() {
            let draft = file.with_extension(format!("{}.{kind}", std::process::id()));
            let mut ffmpeg = ffmpeg();
            ffmpeg.args(arguments).arg("-y").arg(&draft);
            let output = ffmpeg.output().expect("ffmpeg is installed");
            assert!(
                output.status.success(),
                "ffmpeg: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            fs::rename(draft, &file).expect("both lie in one folder");
        }
        file
    }

    fn encoder_arguments(&self) -> Vec<String> {
        let Self { size, kilobits, .. } = self;
        let mut line = String::new();
        if self.video.is_some() {
            line += &format!("-f lavfi -i testsrc2=size={size}:rate={RATE},noise=alls=8:allf=t ");
        }
        if self.audio.is_some() {
            line += "-f lavfi -i anoisesrc=amplitude=0.1:color=pink:seed=1:sample_rate=48000 ";
        }
        line += match self.video {
            None => "-vn ",
            Some(Video::H264) => "-c:v libx264 -preset veryfast -bf 0 -g 25 -sc_threshold 0 ",
            Some(Video::H264BFrames) => {
                "-c:v libx264 -preset veryfast -bf 2 -b_strategy 0 -g 25 -sc_threshold 0 "
            }
            Some(Video::H264Cavlc) => {
                "-c:v libx264 -preset veryfast -bf 0 -g 25 -sc_threshold 0 -coder 0 "
            }
            Some(Video::H264RareKeyFrames) => {
                "-c:v libx264 -preset veryfast -bf 0 -g 250 -sc_threshold 0 "
            }
            Some(Video::H264OneKeyFrame) => {
                "-c:v libx264 -preset veryfast -bf 0 -g 10000 -sc_threshold 0 "
            }
            Some(Video::H265) => {
                "-c:v libx265 -preset ultrafast -x265-params log-level=error:keyint=25:bframes=2:b-adapt=0:open-gop=0 -tag:v hvc1 "
            }
            Some(Video::Vp9) => "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 ",
            Some(Video::Av1) => "-c:v libsvtav1 -preset 12 -g 25 ",
        };
        if self.video.is_some() {
            line += &format!("-b:v {kilobits}k -pix_fmt yuv420p ");
        }
        line += match self.audio {
            None => "-an ",
            Some(Audio::Aac) => "-c:a aac -b:a 64k -ac 2 ",
            Some(Audio::Opus) => "-c:a libopus -b:a 64k -ac 2 ",
            Some(Audio::Pcma) => "-c:a pcm_alaw -ar 8000 -ac 1 ",
            Some(Audio::Pcmu) => "-c:a pcm_mulaw -ar 8000 -ac 1 ",
            Some(Audio::PcmuAt16kHz) => "-c:a pcm_mulaw -ar 16000 -ac 1 ",
            Some(Audio::Mp3) => "-c:a libmp3lame -b:a 64k -ac 2 ",
            Some(Audio::Mp2) => "-c:a mp2 -b:a 64k -ac 2 ",
        };
        line += &format!("-t {}", self.seconds);
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Publishes the clip in real time, again and again, over the protocol of `url` (`rtmp` or `rtsp`).
    #[track_caller]
    pub fn publish(&self, url: &str) -> Spawned {
        publish(&[*self], url)
    }
}

/// Publishes all tracks of several clips as one stream, likewise.
#[track_caller]
pub fn publish(clips: &[Clip], url: &str) -> Spawned {
    let mut command = ffmpeg();
    for clip in clips {
        command
            .args(["-re", "-stream_loop", "-1", "-i"])
            .arg(clip.file());
    }
    // Pictures first, as MediaMTX lists them of what is published over RTMP.
    for kind in ["v", "a"] {
        for number in 0..clips.len() {
            command.args(["-map", &format!("{number}:{kind}?")]);
        }
    }
    command.args(["-c", "copy"]);
    // Early players of a live stream want neither a duration nor waiting for the other track's first packet.
    if url.starts_with("rtsp") {
        command.args([
            "-strict",
            "experimental",
            "-f",
            "rtsp",
            "-rtsp_transport",
            "tcp",
        ]);
    } else {
        command.args(["-f", "flv", "-flvflags", "no_duration_filesize"]);
    }
    Spawned::start("publisher", {
        command.arg(url);
        command
    })
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-loglevel", "warning"]);
    command
}

fn folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let folder = test.parent().expect("it lies in a folder").join("clips");
    fs::create_dir_all(&folder).expect("cargo's target folder is writable");
    folder
}
