//! RTP and RTCP over UDP (RFC 2326, section 12.39).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::Arrived;
use crate::net;

/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// Datagrams that wait to be read, beyond those that the system keeps.
const WAITING: usize = 1_024;

/// A pair of ports is tried for so often: the even one may be free, and the one behind it not.
const TRIES: usize = 50;

/// Before a socket that failed is read again.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// So much the system is asked to keep, which a key frame of a large picture needs at once.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// The sockets of one session, read by tasks of their own. They end with it.
pub(super) struct Datagrams {
    sender: mpsc::Sender<Arrived>,
    receiver: mpsc::Receiver<Arrived>,
    tasks: JoinSet<()>,
    /// By channel, numbered as if they were interleaved.
    sockets: Vec<(Arc<UdpSocket>, Option<SocketAddr>)>,
}

impl Datagrams {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self {
            sender,
            receiver,
            tasks: JoinSet::new(),
            sockets: Vec::new(),
        }
    }

    /// Opens the ports of the next track; returns the first one, which is even.
    pub(super) async fn open(&mut self, is_ipv6: bool) -> io::Result<u16> {
        let local: IpAddr = if is_ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        for _ in 0..TRIES {
            let rtp = UdpSocket::bind((local, 0)).await?;
            let port = rtp.local_addr()?.port();
            if port % 2 != 0 || port == u16::MAX {
                continue;
            }
            let Ok(rtcp) = UdpSocket::bind((local, port + 1)).await else {
                continue;
            };
            self.sockets
                .extend([rtp, rtcp].map(|socket| (Arc::new(socket), None)));
            return Ok(port);
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Reads what the server sends to the track whose RTP has this channel, from its address and, if it told them, its
    /// ports. A datagram to each of them lets the answers through a firewall on the way.
    pub(super) async fn listen(&mut self, channel: u8, server: IpAddr, ports: Option<(u16, u16)>) {
        let ports = ports.map(|(rtp, rtcp)| [rtp, rtcp]);
        for offset in 0..2 {
            let channel = channel + offset;
            let Some((socket, remote)) = self.sockets.get_mut(usize::from(channel)) else {
                return;
            };
            *remote = ports.map(|ports| SocketAddr::new(server, ports[usize::from(offset)]));
            if let Some(remote) = remote {
                // An empty RTP packet, and an empty report; lost ones do not matter.
                let hello: &[u8] = if offset == 0 {
                    &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
                } else {
                    &[0x80, 201, 0, 1, 0, 0, 0, 0]
                };
                let _ = socket.send_to(hello, *remote).await;
            }
            let port = remote.map(|remote| remote.port());
            let reading = read(socket.clone(), channel, server, port, self.sender.clone());
            self.tasks.spawn(reading);
        }
    }

    /// The next datagram. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Arrived> {
        self.receiver.recv().await
    }

    /// Sends a report, as far as the server told where to.
    pub(super) async fn send(&self, channel: u8, report: &[u8]) {
        if let Some((socket, Some(remote))) = self.sockets.get(usize::from(channel)) {
            let _ = socket.send_to(report, remote).await;
        }
    }
}

/// Reads one port for the rest of the session. Only the server's datagrams count; the first one shows its port if the
/// server did not tell it.
async fn read(
    socket: Arc<UdpSocket>,
    channel: u8,
    server: IpAddr,
    mut port: Option<u16>,
    sender: mpsc::Sender<Arrived>,
) {
    if let Err(error) = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER) {
        log::debug!(reason:% = error; "the receive buffer keeps its size");
    }
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let is_server = from.ip().to_canonical() == server.to_canonical();
        if !is_server || *port.get_or_insert(from.port()) != from.port() {
            continue;
        }
        let arrived = Arrived {
            channel,
            // Many are small, and some wait for long: none keeps a whole buffer.
            data: Bytes::copy_from_slice(&buffer[..length]),
            at: net::now(),
        };
        if sender.send(arrived).await.is_err() {
            return;
        }
    }
}
