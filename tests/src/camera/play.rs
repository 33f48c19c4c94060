//! Playing: samples become packets when their time has come.

use std::io::Write;
use std::iter;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Film;
use super::habits::{Packets, Reports};
use super::second_set::with_second_set;
use super::track::{Track, Way, interleaved};
use crate::movie::{AudioPayload, Sample};
use crate::packets::Kind;
use crate::random::Random;

const REPORTS_EVERY: Duration = Duration::from_secs(2);
/// Seconds that a frame of a clip lasts.
const FRAME: f64 = 0.04;

const GARBAGE_EVERY: Duration = Duration::from_millis(100);

/// Seconds from the start of NTP's count, 1900, to the start of Unix'.
const NTP_TO_UNIX: f64 = 2_208_988_800.0;

/// One client that the film is played to.
pub(super) struct Play {
    connection: Arc<Mutex<TcpStream>>,
    ways: [Option<Way>; 2],
    film: Arc<Film>,
    /// Whether the client closed the connection.
    gone: Arc<AtomicBool>,
    random: Random,
    /// Of each track, a datagram that the next one overtakes.
    overtaken: [Option<Vec<u8>>; 2],
    next_garbage: Duration,
}

impl Play {
    pub(super) fn new(
        connection: Arc<Mutex<TcpStream>>,
        ways: [Option<Way>; 2],
        film: Arc<Film>,
        gone: Arc<AtomicBool>,
    ) -> Self {
        Self {
            connection,
            ways,
            film,
            gone,
            random: Random::new(1),
            overtaken: [None, None],
            next_garbage: Duration::ZERO,
        }
    }

    /// Sends a packet of video (0) or audio (1); `port` is 0 for RTP, 1 for RTCP.
    fn send(&mut self, track: usize, port: u8, packet: &[u8]) -> Option<()> {
        match &self.ways[track] {
            None => {}
            Some(Way::Interleaved(channel)) => {
                let bytes = interleaved(channel + port, packet);
                self.connection.lock().ok()?.write_all(&bytes).ok()?;
            }
            Some(Way::Datagrams(rtp, _)) if port == 0 => {
                let network = self.film.habits.network;
                let random = &mut self.random;
                if random.chance(network.lost) {
                    self.film.lost.fetch_add(1, Ordering::Relaxed);
                    return Some(());
                }
                let copies = 1 + usize::from(random.chance(network.doubled));
                let overtaken = self.overtaken[track].take();
                if overtaken.is_none() && random.chance(network.late) {
                    self.overtaken[track] = Some(packet.to_vec());
                    return Some(());
                }
                let packets = iter::repeat_n(packet, copies).chain(overtaken.as_deref());
                for packet in packets {
                    // A port that nobody reads yet is no end.
                    let _ = rtp.send(packet);
                }
            }
            Some(Way::Datagrams(_, rtcp)) => {
                let _ = rtcp.send(packet);
            }
        }
        Some(())
    }

    fn send_sample(&mut self, sample: &Sample, track: &mut Track, rtp: u32) -> Option<()> {
        let index = usize::from(sample.kind == Kind::Audio);
        let packets = match sample.kind {
            Kind::Video => self.film.habits.packets,
            Kind::Audio => Packets::Right,
        };
        let audio = self.film.audio;
        let payloads = match packets {
            Packets::ByteStream => vec![sample.byte_stream()],
            Packets::Absent => return Some(()),
            Packets::SetsWithoutKeys if sample.is_key() => sample.parameter_sets(),
            Packets::WithoutKeys if sample.is_key() => return Some(()),
            Packets::TwoSets => {
                let is_odd = (sample.pts / FRAME).round() as u64 % 2 == 1;
                with_second_set(sample, is_odd).payloads(audio)
            }
            _ => sample.payloads(audio),
        };
        let last = payloads.len() - 1;
        for (at, payload) in payloads.iter().enumerate() {
            let marker = at == last && packets != Packets::Unmarked;
            let packet = track.packet(rtp, payload, marker, packets == Packets::Padded);
            if packets != Packets::Damaged || at != last {
                self.send(index, 0, &packet)?;
            }
        }
        Some(())
    }

    /// Bytes of no protocol, with a `$` among them.
    fn send_garbage(&mut self, now: Duration) -> Option<()> {
        if self.film.habits.packets != Packets::BetweenGarbage || now < self.next_garbage {
            return Some(());
        }
        self.next_garbage = now + GARBAGE_EVERY;
        let mut bytes: Vec<u8> = (0..9).map(|_| self.random.next() as u8 | 0x80).collect();
        bytes[4] = b'$';
        self.connection.lock().ok()?.write_all(&bytes).ok()
    }
}

/// Sends the samples again and again, each at its decode time, until the client is gone.
pub(super) fn play(mut play: Play) -> Option<()> {
    let film = Arc::clone(&play.film);
    let habits = film.habits;
    let track = |payload_type, clock, first_rtp| Track {
        payload_type,
        clock,
        first_rtp,
        sequence: 0,
    };
    let audio_clock = match film.audio {
        AudioPayload::Mp3 => 90_000.0,
        AudioPayload::Aac | AudioPayload::Opus => 48_000.0,
    };
    let mut tracks = [
        track(96, 90_000.0, 3_000_000_000),
        track(97, audio_clock, 5_000_000),
    ];
    let start = Instant::now();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let wall = wall.as_secs_f64() + NTP_TO_UNIX;
    let samples = &film.samples;
    let first = samples.first()?.dts;
    let length = samples.iter().map(|sample| sample.dts);
    let length = length.fold(0.0, f64::max).round();
    let mut next_report = REPORTS_EVERY;
    let places = (0..).flat_map(|round| (0..samples.len()).map(move |place| (round, place)));
    for (round, place) in places {
        let sample = at(&film, f64::from(round) * length, place);
        let offset = f64::from(round) * length - first;
        let due = Duration::from_secs_f64((sample.dts + offset).max(0.0));
        thread::sleep((start + due).saturating_duration_since(Instant::now()));
        if play.gone.load(Ordering::Relaxed) {
            return None;
        }
        let jumps = habits
            .jumps
            .map_or(0.0, |(every, by)| (due.as_secs_f64() / every).floor() * by);
        let stamp = |moment: f64| moment * (1.0 + habits.too_fast) + jumps;
        let is_audio = sample.kind == Kind::Audio;
        if is_audio && due.as_secs_f64() < habits.silent_for {
            continue;
        }
        let track = &mut tracks[usize::from(is_audio)];
        let rtp = track.rtp(stamp(sample.pts + offset));
        play.send_sample(sample, track, rtp)?;
        play.send_garbage(due)?;
        if due >= next_report {
            next_report += REPORTS_EVERY;
            let now = due.as_secs_f64();
            let wrong = match habits.reports {
                Reports::None => continue,
                Reports::Right => 0.0,
                Reports::Wrong => (now * 0.37).fract(),
            };
            let [video, audio] = &tracks;
            let video = video.report(video.rtp(stamp(now)), wall + now + wrong);
            let audio = audio.report(audio.rtp(stamp(now)), wall + now);
            play.send(0, 1, &video)?;
            play.send(1, 1, &audio)?;
        }
    }
    None
}

/// The sample at a place of the film, from the clip whose turn it is. Both have the same frames a second.
fn at(film: &Film, offset: f64, place: usize) -> &Sample {
    let sample = &film.samples[place];
    let Some((every, _)) = film.habits.other else {
        return sample;
    };
    let is_other = ((offset + sample.dts) / every) as u64 % 2 == 1;
    let other = film
        .others
        .get(place)
        .filter(|other| other.kind == sample.kind);
    match other {
        Some(other) if is_other => other,
        _ => sample,
    }
}
