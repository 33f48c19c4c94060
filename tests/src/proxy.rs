//! A TCP proxy that does to a connection what networks do: freeze, reset, cut, slow down, garble, lose.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::random::Random;

const BUFFER: usize = 16 * 1024;

/// What happens to bytes on their way, in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// They pass.
    Pass,
    /// They stay where they are; sockets stay open, as with a machine that hangs.
    Freeze,
    /// They are taken and thrown away, as with a route that is gone.
    Discard,
    /// They pass at so many bytes a second.
    Slow(u64),
    /// They pass, but one in a thousand is another.
    Garble,
    /// Those of the server come flipped, cut, repeated and among others at so many places in a thousand.
    Mutate {
        /// How many places.
        per_thousand: f64,
        /// Which ones.
        seed: u64,
    },
}

struct State {
    mode: Mode,
    refuse: bool,
    accepted: usize,
    streams: Vec<TcpStream>,
}

/// A proxy between a client and the server behind it.
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FaultProxy {
    /// Listens on a free loopback port for connections to 127.0.0.1:`target`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = State {
            mode: Mode::Pass,
            refuse: false,
            accepted: 0,
            streams: vec![],
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                serve(&client, target, &shared);
            }
        });
        Self { address, state }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on bytes fare so.
    pub fn set(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuse: bool) {
        lock(&self.state).refuse = refuse;
    }

    /// How many connections have come so far.
    pub fn accepted(&self) -> usize {
        lock(&self.state).accepted
    }

    /// Closes every connection orderly (FIN).
    pub fn cut(&self) {
        for stream in lock(&self.state).streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Resets every connection (RST).
    pub fn reset(&self) {
        for stream in lock(&self.state).streams.drain(..) {
            // With a linger time of zero, closing means resetting; every clone of the socket shares the setting.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.refuse(true);
        self.set(Mode::Pass);
        self.cut();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().expect("no holder panics")
}

fn serve(client: &TcpStream, target: u16, state: &Arc<Mutex<State>>) {
    lock(state).accepted += 1;
    if lock(state).refuse {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
        return;
    };
    for stream in [client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let copies = (
        client.try_clone(),
        server.try_clone(),
        client.try_clone(),
        server.try_clone(),
    );
    let (Ok(client_in), Ok(server_out), Ok(client_out), Ok(server_in)) = copies else {
        return;
    };
    lock(state).streams.extend(
        [client.try_clone(), server.try_clone()]
            .into_iter()
            .flatten(),
    );
    pump(client_in, server_out, Arc::clone(state), false);
    pump(server_in, client_out, Arc::clone(state), true);
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: Arc<Mutex<State>>, is_server: bool) {
    thread::spawn(move || {
        let mut buffer = [0; BUFFER];
        let mut random = None;
        loop {
            let mode = lock(&state).mode;
            if mode == Mode::Freeze {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            let Ok(count @ 1..) = from.read(&mut buffer) else {
                break;
            };
            // What arrives while frozen stays here until the thaw.
            while lock(&state).mode == Mode::Freeze {
                thread::sleep(Duration::from_millis(20));
            }
            if let Mode::Slow(rate) = mode {
                thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
            }
            if mode == Mode::Garble {
                buffer[..count]
                    .iter_mut()
                    .step_by(1000)
                    .for_each(|byte| *byte ^= 0x55);
            }
            if let Mode::Mutate { per_thousand, seed } = mode
                && is_server
            {
                let random = random.get_or_insert_with(|| Random::new(seed));
                let mutated = random.mutate(&buffer[..count], per_thousand);
                if to.write_all(&mutated).is_err() {
                    break;
                }
                continue;
            }
            if mode != Mode::Discard && to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
