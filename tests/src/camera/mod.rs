//! A camera that misbehaves on demand: an RTSP server with real RTP, in the connection or as datagrams.

mod answers;
mod habits;
mod play;
mod second_set;
mod track;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::clips::{Audio, Clip};
use crate::movie::{self, AudioPayload, Sample};
use answers::Conversation;
use play::{Play, play};

pub use habits::{Answers, Habits, Network, Packets, Reports};

/// What a camera shows, and how.
struct Film {
    samples: Vec<Sample>,
    /// Those of the clip that comes in turn.
    others: Vec<Sample>,
    audio: AudioPayload,
    habits: Habits,
    lost: AtomicU64,
}

/// A running camera; it plays a clip from its beginning to whoever comes.
pub struct Camera {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    film: Arc<Film>,
}

impl Camera {
    /// Serves a clip of H.264, and AAC, Opus or MP3.
    ///
    /// # Panics
    /// When there is no free port.
    #[track_caller]
    pub fn start(clip: Clip, habits: Habits) -> Self {
        let others = habits.other.map(|(_, clip)| movie::samples(&clip.file()));
        let film = Arc::new(Film {
            samples: movie::samples(&clip.file()),
            others: others.unwrap_or_default(),
            audio: match clip.audio {
                Some(Audio::Opus) => AudioPayload::Opus,
                Some(Audio::Mp3) => AudioPayload::Mp3,
                _ => AudioPayload::Aac,
            },
            habits,
            lost: AtomicU64::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let streams = Arc::new(Mutex::new(vec![]));
        let (open, shown) = (Arc::clone(&streams), Arc::clone(&film));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (Ok(kept), film) = (stream.try_clone(), Arc::clone(&shown)) else {
                    continue;
                };
                open.lock().expect("no holder panics").push(kept);
                // It ends with its connection.
                thread::spawn(move || {
                    let gone = Arc::new(AtomicBool::new(false));
                    serve(stream, &film, &gone);
                    gone.store(true, Ordering::Relaxed);
                });
            }
        });
        Self {
            address,
            streams,
            film,
        }
    }

    /// URL of its stream.
    pub fn rtsp(&self) -> String {
        let login = match self.film.habits.answers {
            Answers::StaleNonce => "user:password@",
            _ => "",
        };
        format!("rtsp://{login}{}/camera", self.address)
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many datagrams got lost on their way.
    pub fn lost(&self) -> u64 {
        self.film.lost.load(Ordering::Relaxed)
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
fn serve(stream: TcpStream, film: &Arc<Film>, gone: &Arc<AtomicBool>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut requests = BufReader::new(stream.try_clone().ok()?);
    let mut conversation =
        Conversation::new(film.habits.answers, film.audio, stream.peer_addr().ok()?);
    let writer = Arc::new(Mutex::new(stream));
    loop {
        let mut head = vec![];
        loop {
            let mut line = vec![];
            if requests.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        // A receiver report in front of it ends without a line break.
        let start = head.first()?;
        let method = answers::METHODS.iter().find(|name| start.contains(**name));
        let Some(method) = method else { continue };
        let answer = conversation.answer(method, &head);
        writer.lock().ok()?.write_all(answer.as_bytes()).ok()?;
        if *method == "PLAY" && answer.contains(" 200 ") {
            let ways = conversation.ways();
            let play_to = Play::new(
                Arc::clone(&writer),
                ways,
                Arc::clone(film),
                Arc::clone(gone),
            );
            thread::spawn(move || play(play_to));
        }
    }
}
