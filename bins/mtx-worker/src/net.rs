//! TCP connections.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// `localhost` is this machine whatever files and name servers say (RFC 6761, 6.3), and MediaMTX's image has neither.
const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// How long an address may be silent before the next one is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// A machine that confirms nothing of what was sent for so many milliseconds is gone, and with it the connection.
#[cfg(target_os = "linux")]
const UNCONFIRMED: u32 = 4_500;

/// The moment by the runtime's clock, which tests can set.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// A connection, with TLS or without.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Connects to a host by its name or address. Of several addresses the first one that answers counts: one that is
/// silent, as IPv6 without a route behind the first router, holds up nobody.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut addresses = addresses(host, port).await?.into_iter();
    let mut tries = FuturesUnordered::new();
    let mut failure = io::Error::new(ErrorKind::NotFound, "the host has no address");
    loop {
        let next = addresses.next();
        let is_last = next.is_none();
        tries.extend(next.map(TcpStream::connect));
        let wait = async {
            match is_last {
                true => std::future::pending().await,
                false => sleep(NEXT_ADDRESS).await,
            }
        };
        tokio::select! {
            biased;
            connected = tries.select_next_some(), if !tries.is_empty() => match connected {
                Ok(socket) => return prepare(socket),
                Err(error) => failure = keep(failure, error),
            },
            () = wait, if !tries.is_empty() => {}
            else => return Err(failure),
        }
    }
}

fn prepare(socket: TcpStream) -> io::Result<TcpStream> {
    // Requests and frames go out one by one; waiting to fill packets would add up to 40 ms.
    socket.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    setsockopt(&socket, sockopt::TcpUserTimeout, &UNCONFIRMED)?;
    Ok(socket)
}

/// Both families in turns, as they came.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(LOOPBACK.map(|host| SocketAddr::new(host, port)).to_vec());
    }
    let found: Vec<_> = lookup_host((host, port)).await?.collect();
    let Some(first) = found.first() else {
        return Ok(found);
    };
    let (one, other): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut turns = Vec::new();
    for number in 0..found.len() {
        turns.extend(one.get(number));
        turns.extend(other.get(number));
    }
    Ok(turns)
}

/// Of two failures the one that tells more: there may just be no IPv6.
fn keep(before: io::Error, now: io::Error) -> io::Error {
    match now.kind() {
        ErrorKind::AddrNotAvailable | ErrorKind::NetworkUnreachable
            if before.kind() != ErrorKind::NotFound =>
        {
            before
        }
        _ => now,
    }
}

/// Whether nobody listens there, or there is no such network here.
pub(crate) fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::AddrNotAvailable | ErrorKind::NetworkUnreachable
    )
}
