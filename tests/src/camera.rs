//! A camera that misbehaves on demand: an RTSP server over TCP with real RTP, whose clocks do as they are told.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clips::Clip;
use crate::movie::{self, Sample};
use crate::packets::Kind;

const REPORTS_EVERY: Duration = Duration::from_secs(2);

/// Seconds from the start of NTP's count, 1900, to the start of Unix'.
const NTP_TO_UNIX: f64 = 2_208_988_800.0;

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:video\r\n\
    m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\n\
    a=fmtp:97 streamtype=5; profile-level-id=1; mode=AAC-hbr; config=1190; sizelength=13; indexlength=3; \
    indexdeltalength=3\r\na=control:audio\r\n";

/// What the RTCP sender reports of a camera tell.
#[derive(Clone, Copy, Debug, Default)]
pub enum Reports {
    /// There are none.
    #[default]
    None,
    /// The truth.
    Right,
    /// Another wrong relation of the tracks each time.
    Wrong,
}

/// How the clocks of a camera go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// After each of so many seconds RTP time stamps jump, by so many seconds.
    pub jumps: Option<(f64, f64)>,
    /// By what share RTP clocks are too fast.
    pub too_fast: f64,
    /// Its sender reports.
    pub reports: Reports,
}

/// A running camera; it plays a clip from its beginning to whoever comes.
pub struct Camera {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Camera {
    /// Serves a clip of H.264 and AAC.
    ///
    /// # Panics
    /// When there is no free port.
    #[track_caller]
    pub fn start(clip: Clip, habits: Habits) -> Self {
        let samples = Arc::new(movie::samples(&clip.file()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let streams = Arc::new(Mutex::new(vec![]));
        let open = Arc::clone(&streams);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (Ok(kept), samples) = (stream.try_clone(), Arc::clone(&samples)) else {
                    continue;
                };
                open.lock().expect("no holder panics").push(kept);
                // It ends with its connection.
                thread::spawn(move || serve(stream, &samples, habits));
            }
        });
        Self { address, streams }
    }

    /// URL of its stream.
    pub fn rtsp(&self) -> String {
        format!("rtsp://{}/camera", self.address)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        for stream in self.streams.lock().expect("no holder panics").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers requests (RFC 2326) until the client is gone.
fn serve(stream: TcpStream, samples: &Arc<Vec<Sample>>, habits: Habits) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut requests = BufReader::new(stream.try_clone().ok()?);
    let writer = Arc::new(Mutex::new(stream));
    loop {
        let mut head = vec![];
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let method = head.first()?.split(' ').next()?.to_owned();
        let answer = answer(&method, &head);
        writer.lock().ok()?.write_all(answer.as_bytes()).ok()?;
        if method == "PLAY" {
            let (writer, samples) = (Arc::clone(&writer), Arc::clone(samples));
            thread::spawn(move || play(&writer, &samples, habits));
        }
    }
}

fn answer(method: &str, head: &[String]) -> String {
    let header = |name: &str| {
        let line = head
            .iter()
            .find(|line| line.to_lowercase().starts_with(name));
        line.cloned().unwrap_or_default()
    };
    let (headers, body) = match method {
        "OPTIONS" => ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n".to_owned(), ""),
        "DESCRIBE" => ("Content-Type: application/sdp\r\n".to_owned(), SDP),
        "SETUP" => (format!("{}\r\nSession: 1\r\n", header("transport:")), ""),
        _ => ("Session: 1\r\n".to_owned(), ""),
    };
    let (cseq, length) = (header("cseq:"), body.len());
    format!("RTSP/1.0 200 OK\r\n{cseq}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// The RTP state of one track.
struct Track {
    channel: u8,
    payload_type: u8,
    clock: f64,
    first_rtp: u32,
    sequence: u16,
}

impl Track {
    fn rtp(&self, seconds: f64) -> u32 {
        self.first_rtp
            .wrapping_add((seconds * self.clock).round() as i64 as u32)
    }

    /// A packet in its interleaved frame (RFC 2326, section 10.12).
    fn packet(&mut self, rtp: u32, payload: &[u8], is_last: bool) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, u8::from(is_last) << 7 | self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(rtp.to_be_bytes());
        packet.extend(u32::from(self.payload_type).to_be_bytes());
        packet.extend(payload);
        interleaved(self.channel, &packet)
    }

    /// A sender report (RFC 3550, section 6.4.1).
    fn report(&self, rtp: u32, wall: f64) -> Vec<u8> {
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend(u32::from(self.payload_type).to_be_bytes());
        packet.extend(((wall * 2_f64.powi(32)) as u64).to_be_bytes());
        packet.extend(rtp.to_be_bytes());
        packet.extend([0; 8]);
        interleaved(self.channel + 1, &packet)
    }
}

fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("packets are short");
    [&[b'$', channel], &length.to_be_bytes()[..], packet].concat()
}

/// Sends the samples again and again, each at its decode time, until the client is gone.
fn play(writer: &Mutex<TcpStream>, samples: &[Sample], habits: Habits) -> Option<()> {
    let track = |channel, payload_type, clock, first_rtp| Track {
        channel,
        payload_type,
        clock,
        first_rtp,
        sequence: 0,
    };
    let mut video = track(0, 96, 90_000.0, 3_000_000_000);
    let mut audio = track(2, 97, 48_000.0, 5_000_000);
    let start = Instant::now();
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_secs_f64()
        + NTP_TO_UNIX;
    let first = samples.first()?.dts;
    let length = samples
        .iter()
        .map(|sample| sample.dts)
        .fold(0.0, f64::max)
        .round();
    let mut next_report = REPORTS_EVERY;
    for (round, sample) in (0..).flat_map(|round| samples.iter().map(move |it| (round, it))) {
        let offset = f64::from(round) * length - first;
        let due = Duration::from_secs_f64((sample.dts + offset).max(0.0));
        thread::sleep((start + due).saturating_duration_since(Instant::now()));
        let jumps = habits
            .jumps
            .map_or(0.0, |(every, by)| (due.as_secs_f64() / every).floor() * by);
        let stamp = |moment: f64| moment * (1.0 + habits.too_fast) + jumps;
        let track = if sample.kind == Kind::Video {
            &mut video
        } else {
            &mut audio
        };
        let rtp = track.rtp(stamp(sample.pts + offset));
        let count = sample.payloads.len();
        let packets = sample.payloads.iter().enumerate();
        let packets = packets.flat_map(|(at, payload)| track.packet(rtp, payload, at + 1 == count));
        let bytes: Vec<u8> = packets.collect();
        writer.lock().ok()?.write_all(&bytes).ok()?;
        if due >= next_report {
            next_report += REPORTS_EVERY;
            let now = due.as_secs_f64();
            let wrong = match habits.reports {
                Reports::None => continue,
                Reports::Right => 0.0,
                Reports::Wrong => (now * 0.37).fract(),
            };
            let reports = [
                video.report(video.rtp(stamp(now)), wall + now + wrong),
                audio.report(audio.rtp(stamp(now)), wall + now),
            ];
            writer.lock().ok()?.write_all(&reports.concat()).ok()?;
        }
    }
    None
}
