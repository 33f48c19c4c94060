//! How much later a frame comes out than it went in, seen by one program that reads both streams.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use retina::client::{
    InitialTimestampPolicy, PlayOptions, Session, SessionOptions, SetupOptions,
    TcpTransportOptions, Transport, UnknownRtcpSsrcPolicy,
};
use retina::codec::{CodecItem, FrameFormat};

use crate::table::milliseconds;

type Arrivals = HashMap<u64, Instant>;

/// Reads both streams (H.264 over RTSP) for `time` and returns by how many milliseconds each frame was late.
pub(crate) fn measure(before: &str, after: &str, time: Duration) -> Vec<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (before, after) =
        runtime.block_on(async { tokio::join!(read(before, time), read(after, time)) });
    let (before, after) = (
        before.expect("the input is readable"),
        after.expect("the output is readable"),
    );
    let late = |(hash, at): (&u64, &Instant)| {
        Some(milliseconds(
            at.saturating_duration_since(*before.get(hash)?),
        ))
    };
    after.iter().filter_map(late).collect()
}

async fn read(url: &str, time: Duration) -> Result<Arrivals, retina::Error> {
    let url = url.parse().expect("a valid URL");
    let mut session = Session::describe(url, SessionOptions::default()).await?;
    let video = session
        .streams()
        .iter()
        .position(|stream| stream.media() == "video")
        .expect("a video track");
    let options = SetupOptions::default().transport(Transport::Tcp(TcpTransportOptions::default()));
    session
        .setup(video, options.frame_format(FrameFormat::MP4))
        .await?;
    let options = PlayOptions::default()
        .initial_timestamp(InitialTimestampPolicy::Permissive)
        .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets);
    let mut frames = session.play(options).await?.demuxed()?;
    let mut arrivals = Arrivals::new();
    let end = tokio::time::sleep(time);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Ok(arrivals),
            item = frames.next() => match item {
                Some(Ok(CodecItem::VideoFrame(frame))) => {
                    arrivals.insert(picture_hash(frame.data()), Instant::now());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(arrivals),
            },
        }
    }
}

/// Hash of the slices alone: a muxer may add or drop parameter sets and delimiters.
fn picture_hash(mut frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    while let Some((length, rest)) = frame.split_first_chunk::<4>() {
        let length = (u32::from_be_bytes(*length) as usize).min(rest.len());
        let (unit, rest) = rest.split_at(length);
        if unit
            .first()
            .is_some_and(|header| (1..=5).contains(&(header & 0x1f)))
        {
            unit.hash(&mut hasher);
        }
        frame = rest;
    }
    hasher.finish()
}
