//! Conversations whose bytes were damaged on the way, from DESCRIBE to the last unit.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

use super::{Connection, RtspSource, SourceError, Transport};
use crate::codec::av1::tests::A_SEQUENCE_HEADER;
use crate::codec::vp9::tests::A_KEY_FRAME;
use crate::codec::{h264, h265};
use crate::damage::{self, RATES, Random};
use crate::media::TrackId;
use crate::net;
use crate::source::SourceItem;
use crate::time::Splice;

const USUAL_COUNT: u64 = 400;

/// Video frames of one conversation, each with one of audio.
const FRAMES: u32 = 60;

/// Longer than all time-outs together.
const PATIENCE: Duration = Duration::from_secs(60);

/// A video codec with the payloads of its frames.
struct Video {
    map: &'static str,
    frame: fn(u32) -> Vec<Vec<u8>>,
}

struct Audio {
    map: &'static str,
    clock_rate: u32,
    frame: fn(u32) -> Vec<u8>,
}

const VIDEO: [Video; 4] = [
    Video {
        map: "H264/90000",
        frame: h264_frame,
    },
    Video {
        map: "H265/90000",
        frame: h265_frame,
    },
    Video {
        map: "AV1/90000",
        frame: av1_frame,
    },
    Video {
        map: "VP9/90000",
        frame: vp9_frame,
    },
];

const AUDIO: [Audio; 4] = [
    Audio {
        map: "mpeg4-generic/48000/2\r\na=fmtp:97 mode=AAC-hbr;config=1190;sizelength=13;indexlength=3;indexdeltalength=3",
        clock_rate: 48_000,
        frame: |number| {
            let size = (200 + number as u16 % 50) << 3;
            let header = [[0, 16], size.to_be_bytes()].concat();
            [header, vec![number as u8; usize::from(size >> 3)]].concat()
        },
    },
    Audio {
        map: "opus/48000/2",
        clock_rate: 48_000,
        frame: |number| vec![number as u8 | 0xf8; 120],
    },
    Audio {
        map: "MPA/90000",
        clock_rate: 90_000,
        frame: |number| {
            [
                &[0, 0, 0, 0, 0xff, 0xfb, 0x90, 0][..],
                &vec![number as u8; 413],
            ]
            .concat()
        },
    },
    Audio {
        map: "PCMU/8000",
        clock_rate: 8_000,
        frame: |number| vec![number as u8; 320],
    },
];

fn is_key(number: u32) -> bool {
    number.is_multiple_of(20)
}

fn bytes(number: u32) -> Vec<u8> {
    let count = if is_key(number) { 6_000 } else { 900 };
    (0..count).map(|at: u32| (at * 31 + number) as u8).collect()
}

/// The pieces of a large unit, and whether each is the first and the last one.
fn pieces(data: &[u8]) -> impl Iterator<Item = (&[u8], bool, bool)> {
    let pieces: Vec<_> = data.chunks(1_200).collect();
    let last = pieces.len() - 1;
    let pieces = pieces.into_iter().enumerate();
    pieces.map(move |(number, piece)| (piece, number == 0, number == last))
}

fn h264_frame(number: u32) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let kind = if is_key(number) { 0x65 } else { 0x41 };
    if is_key(number) {
        payloads.extend([
            h264::tests::X264_B_FRAMES.to_vec(),
            h264::tests::A_PPS.to_vec(),
        ]);
    }
    let slice = [vec![0x88], bytes(number)].concat();
    payloads.extend(pieces(&slice).map(|(piece, first, last)| {
        let header = [
            kind & 0xe0 | 28,
            u8::from(first) << 7 | u8::from(last) << 6 | kind & 0x1f,
        ];
        [&header[..], piece].concat()
    }));
    payloads
}

fn h265_frame(number: u32) -> Vec<Vec<u8>> {
    use h265::tests::{A_PPS, A_VPS, X265_B_FRAMES};
    let mut payloads = Vec::new();
    let kind = if is_key(number) { 19 } else { 1 };
    if is_key(number) {
        payloads.extend([A_VPS, X265_B_FRAMES, A_PPS].map(<[u8]>::to_vec));
    }
    let slice = [vec![0x80], bytes(number)].concat();
    payloads.extend(pieces(&slice).map(|(piece, first, last)| {
        let header = [
            49 << 1,
            1,
            u8::from(first) << 7 | u8::from(last) << 6 | kind,
        ];
        [&header[..], piece].concat()
    }));
    payloads
}

fn av1_frame(number: u32) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    if is_key(number) {
        payloads.push([&[0x18, 0x08], &A_SEQUENCE_HEADER[2..]].concat());
    }
    let frame = [vec![6 << 3], bytes(number)].concat();
    payloads.extend(pieces(&frame).map(|(piece, first, last)| {
        let header = 1 << 4 | u8::from(!first) << 7 | u8::from(!last) << 6;
        [&[header], piece].concat()
    }));
    payloads
}

fn vp9_frame(number: u32) -> Vec<Vec<u8>> {
    let start = if is_key(number) {
        A_KEY_FRAME
    } else {
        &[0x86, 0]
    };
    let frame = [start, &bytes(number)].concat();
    let packed = pieces(&frame).map(|(piece, first, last)| {
        let flags = 0x80 | u8::from(first) << 3 | u8::from(last) << 2;
        [&[flags, 0x80, number as u8], piece].concat()
    });
    packed.collect()
}

/// What a server sends: its answers, and the packets behind them.
struct Script {
    answers: Vec<Vec<u8>>,
    /// What is sent every 40 ms.
    media: Vec<Vec<u8>>,
}

impl Script {
    /// A stream of two codecs. With `inside` its packets are damaged, and not what stands between them.
    fn new(video: &Video, audio: &Audio, inside: Option<(&mut Random, u64)>) -> Self {
        let description = format!(
            "v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 {}\r\na=control:v\r\n\
             m=audio 0 RTP/AVP 97\r\na=rtpmap:97 {}\r\na=control:a\r\n",
            video.map, audio.map
        );
        let answer = |number: u32, headers: &str, body: &str| {
            let length = body.len();
            let head =
                format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\nSession: 12;timeout=60\r\n{headers}");
            format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
        };
        let transport = |first: u8| {
            format!(
                "Transport: RTP/AVP/TCP;unicast;interleaved={first}-{}\r\n",
                first + 1
            )
        };
        let info =
            "RTP-Info: url=rtsp://h/c/v;seq=0;rtptime=0,url=rtsp://h/c/a;seq=0;rtptime=0\r\n";
        let base = "Content-Base: rtsp://h/c/\r\nContent-Type: application/sdp\r\n";
        Self {
            answers: vec![
                answer(1, base, &description),
                answer(2, &transport(0), ""),
                answer(3, &transport(2), ""),
                answer(4, info, ""),
            ],
            media: media(video, audio, inside),
        }
    }
}

fn media(video: &Video, audio: &Audio, mut inside: Option<(&mut Random, u64)>) -> Vec<Vec<u8>> {
    let mut sequences = [0_u16; 2];
    let mut add =
        |media: &mut Vec<u8>, track: usize, timestamp: u32, payload: &[u8], marker: bool| {
            let mut packet = vec![0x80, u8::from(marker) << 7 | (96 + track as u8)];
            packet.extend(sequences[track].to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend([0, 0, 0, track as u8 + 1]);
            packet.extend(payload);
            sequences[track] += 1;
            if let Some((random, rate)) = &mut inside {
                packet = random.mutate(&packet, *rate);
            }
            media.extend([b'$', track as u8 * 2]);
            media.extend((packet.len() as u16).to_be_bytes());
            media.extend(packet);
        };
    let frame = |number| {
        let mut media = Vec::new();
        let payloads = (video.frame)(number);
        for (at, payload) in payloads.iter().enumerate() {
            let is_last = at + 1 == payloads.len();
            add(&mut media, 0, number * 3_600, payload, is_last);
        }
        let ticks = audio.clock_rate / 25;
        add(&mut media, 1, number * ticks, &(audio.frame)(number), true);
        media
    };
    (0..FRAMES).map(frame).collect()
}

/// Answers one request after the other, then sends the packets, and closes.
async fn serve(mut socket: DuplexStream, script: Script) -> Option<()> {
    let mut requests = Vec::new();
    for answer in script.answers {
        while !requests.ends_with(b"\r\n\r\n") {
            requests.push(socket.read_u8().await.ok()?);
        }
        requests.clear();
        socket.write_all(&answer).await.ok()?;
    }
    for bytes in script.media {
        socket.write_all(&bytes).await.ok()?;
        sleep(Duration::from_millis(40)).await;
    }
    Some(())
}

/// Plays a script to its end; returns the number of units, and why it ended.
async fn play(script: Script) -> (u32, SourceError) {
    let (client, server) = duplex(1 << 20);
    let source = RtspSource {
        url: "rtsp://h/c".parse().unwrap(),
        transport: Transport::Tcp,
        epoch: net::now(),
        tls: None,
        closing: Rc::new(RefCell::default()),
        losses: Rc::default(),
    };
    let connection = Connection::over(
        Box::new(client),
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        &source.url,
    );
    let converse = async {
        let mut units = 0;
        let open = async {
            match RtspSource::describe_over(connection, &source.url).await? {
                Ok(described) => source.play(described, Transport::Tcp).await,
                Err(_) => Err(SourceError::NotFound),
            }
        };
        let mut session = match source.in_time(open).await {
            Ok(session) => session,
            Err(error) => return (units, error),
        };
        let mut splice = Splice::default();
        let mut last: Vec<(TrackId, i64)> = Vec::new();
        loop {
            match session.next().await {
                Ok(SourceItem::Unit(unit)) => {
                    let (pts, dts) = splice.place(unit.track, unit.pts, unit.dts);
                    let mut before = last.iter().filter(|(track, _)| *track == unit.track);
                    assert!(
                        before.all(|(_, last)| dts > *last) && pts >= dts,
                        "times go back"
                    );
                    last.retain(|(track, _)| *track != unit.track);
                    last.push((unit.track, dts));
                    units += 1;
                }
                Ok(SourceItem::Discontinuity(_)) => splice.start(),
                Ok(SourceItem::Tracks(_)) => {}
                Err(error) => return (units, error),
            }
        }
    };
    let served = async {
        serve(server, script).await;
        std::future::pending().await
    };
    let conversation = timeout(PATIENCE, async {
        tokio::select! {
            ended = converse => ended,
            () = served => unreachable!(),
        }
    });
    conversation.await.expect("a conversation without end")
}

/// Time passes as soon as everybody waits.
fn run(script: Script) -> (u32, SourceError) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(play(script))
}

#[test]
fn undamaged_conversations_yield_every_unit() {
    for video in &VIDEO {
        for audio in &AUDIO {
            let (units, error) = run(Script::new(video, audio, None));
            assert!(
                units >= 2 * FRAMES - 2,
                "{} {}: {units}, {error}",
                video.map,
                audio.map
            );
        }
    }
}

#[test]
fn damaged_conversations_end_like_any_lost_input() {
    let mut all_units = 0;
    for seed in 0..damage::count(USUAL_COUNT) {
        let mut random = Random(seed);
        let (video, audio) = (&VIDEO[random.below(4)], &AUDIO[random.below(4)]);
        let rate = RATES[random.below(RATES.len())];
        let script = if seed % 2 == 0 {
            Script::new(video, audio, Some((&mut random, rate)))
        } else {
            let mut script = Script::new(video, audio, None);
            for bytes in script.answers.iter_mut().chain(&mut script.media) {
                *bytes = random.mutate(bytes, rate);
            }
            script
        };
        let played = std::panic::catch_unwind(|| run(script));
        let (units, _) = played.unwrap_or_else(|_| panic!("conversation {seed} panicked"));
        all_units += u64::from(units);
    }
    println!("{all_units} units");
    assert!(all_units > 0);
}
