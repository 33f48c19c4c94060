//! GStreamer's RTSP server: an RTSP server that is not MediaMTX.

use std::process::Command;
use std::time::Duration;

use crate::clips::{Audio, Clip, Video};
use crate::ports;
use crate::processes::Spawned;

const SCRIPT: &str = include_str!("gst_rtsp_server.py");

/// How the server asks for a user and a password.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "RFC 7617 and RFC 7616")]
pub enum Auth {
    Basic,
    Digest,
}

/// A running RTSP server that plays a clip from its beginning to whoever comes first.
pub struct GstRtspServer {
    port: u16,
    process: Spawned,
}

impl GstRtspServer {
    /// Serves a clip (H.264 or H.265, with or without AAC, Opus, MP3 or G.711).
    ///
    /// # Panics
    /// When GStreamer's Python bindings are not installed.
    #[track_caller]
    pub fn start(clip: Clip) -> Self {
        Self::launch(&pipeline(clip, ""), &[])
    }

    /// Serves a clip to those who know user and password.
    ///
    /// # Panics
    /// When GStreamer's Python bindings are not installed.
    #[track_caller]
    pub fn start_with_auth(clip: Clip, auth: Auth, user: &str, password: &str) -> Self {
        let method = match auth {
            Auth::Basic => "basic",
            Auth::Digest => "digest",
        };
        Self::launch(&pipeline(clip, ""), &[method, user, password])
    }

    /// Serves a clip whose RTP time stamps begin at `offset`, for instance just before they wrap.
    ///
    /// # Panics
    /// When GStreamer's Python bindings are not installed.
    #[track_caller]
    pub fn start_at(clip: Clip, offset: u32) -> Self {
        Self::launch(&pipeline(clip, &format!("timestamp-offset={offset}")), &[])
    }

    #[track_caller]
    fn launch(pipeline: &str, credentials: &[&str]) -> Self {
        let port = ports::tcp();
        // Debian's own Python, because its bindings are Debian packages.
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-c", SCRIPT])
            .arg(port.to_string())
            .arg(pipeline)
            .args(credentials);
        let process = Spawned::start("GStreamer RTSP server", command);
        process.wait_for_line("listening", Duration::from_secs(10));
        Self { port, process }
    }

    /// URL of its stream.
    pub fn rtsp(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }

    /// The server's process: freeze it, thaw it, kill it.
    pub fn process(&self) -> &Spawned {
        &self.process
    }
}

fn pipeline(clip: Clip, payloader_options: &str) -> String {
    let file = clip.file();
    let demuxer = match file.extension() {
        Some(kind) if kind == "mkv" => "matroskademux",
        _ => "qtdemux",
    };
    let mut line = format!("filesrc location={} ! {demuxer} name=d ", file.display());
    let video = match clip.video {
        Some(Video::H264 | Video::H264BFrames) => "h264parse ! rtph264pay pt=96 config-interval=0",
        Some(Video::H265) => "h265parse ! rtph265pay pt=96 config-interval=0",
        other => panic!("this server has no pipeline for {other:?}"),
    };
    line += &format!("d.video_0 ! queue ! {video} {payloader_options} name=pay0 ");
    let audio = match clip.audio {
        None => return format!("( {line})"),
        Some(Audio::Aac) => "aacparse ! rtpmp4gpay pt=97",
        Some(Audio::Opus) => "opusparse ! rtpopuspay pt=97",
        Some(Audio::Mp3) => "mpegaudioparse ! rtpmpapay pt=14",
        Some(Audio::Pcma) => "rtppcmapay pt=8",
        Some(Audio::Pcmu) => "rtppcmupay pt=0",
        other => panic!("this server has no pipeline for {other:?}"),
    };
    line += &format!("d.audio_0 ! queue ! {audio} {payloader_options} name=pay1 ");
    format!("( {line})")
}
