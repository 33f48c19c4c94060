//! Free loopback ports.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

// Below Linux' ephemeral range (32768 and up): no outgoing connection can take a port between its being chosen
// here and its being listened on by the server it is for.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The next candidates, starting elsewhere in each test process, so that two of them rarely meet.
fn candidates() -> impl Iterator<Item = u16> {
    let offset = std::process::id().wrapping_mul(97);
    std::iter::repeat_with(move || {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(step) % COUNT;
        u16::try_from(port).expect("the range ends below 65536")
    })
}

/// A TCP port nobody listens on.
pub fn tcp() -> u16 {
    candidates()
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("candidates never end")
}

/// An even UDP port that is free together with the odd one after it: what RTP and RTCP want. Returns the even one.
pub fn udp_pair() -> u16 {
    let free = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    candidates()
        .find(|port| port % 2 == 0 && free(*port) && free(*port + 1))
        .expect("candidates never end")
}
