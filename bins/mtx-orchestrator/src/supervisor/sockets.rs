//! The TCP connections of a worker, as the kernel has them.

use std::net::SocketAddr;

/// One connection: the address of this end, and of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// The established connections of a process; none if it is gone or can't be looked at.
#[cfg(target_os = "linux")]
pub(super) fn connections(pid: u32) -> Vec<Connection> {
    let inodes = linux::socket_inodes(pid);
    let tables = ["tcp", "tcp6"].map(|name| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{name}"));
        table.unwrap_or_default()
    });
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    let rows = rows.filter_map(linux::row);
    rows.filter(|(_, inode)| inodes.contains(inode))
        .map(|(connection, _)| connection)
        .collect()
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn connections(_: u32) -> Vec<Connection> {
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::Connection;

    /// `TCP_ESTABLISHED` in the kernel's `include/net/tcp_states.h`.
    const ESTABLISHED: &str = "01";

    pub(super) fn socket_inodes(pid: u32) -> BTreeSet<u64> {
        let files = fs::read_dir(format!("/proc/{pid}/fd"));
        let files = files.into_iter().flatten().flatten();
        let links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?;
                inode.strip_suffix(']')?.parse().ok()
            })
            .collect()
    }

    /// A line of `/proc/net/tcp` or `tcp6` (proc_net_tcp.txt of the kernel's documentation) with its inode.
    pub(super) fn row(line: &str) -> Option<(Connection, u64)> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, peer, state, inode) = (
            fields.get(1)?,
            fields.get(2)?,
            fields.get(3)?,
            fields.get(9)?,
        );
        if *state != ESTABLISHED {
            return None;
        }
        let local = address(local)?;
        let peer = address(peer)?;
        Some((Connection { local, peer }, inode.parse().ok()?))
    }

    /// Hexadecimal, in words of 32 bits in the machine's byte order.
    fn address(text: &str) -> Option<SocketAddr> {
        let (host, port) = text.split_once(':')?;
        let word = |at: usize| {
            let word = u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        };
        let ip = match host.len() {
            8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
            32 => {
                let mut bytes = [0; 16];
                for (number, part) in bytes.chunks_exact_mut(4).enumerate() {
                    part.copy_from_slice(&word(number * 8)?);
                }
                IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_connections_of_a_process_are_found() {
        for host in ["127.0.0.2:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let peer = listener.local_addr().unwrap();
            let stream = TcpStream::connect(peer).unwrap();
            let local = stream.local_addr().unwrap();
            let found = connections(std::process::id());
            assert!(found.contains(&Connection { local, peer }), "{found:?}");
            drop(stream);
            assert!(!connections(std::process::id()).contains(&Connection { local, peer }));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(text in "\\PC*") {
            let _ = linux::row(&text);
            let _ = linux::row(&format!("0: {text} {text} 01 0 0 0 0 0 1"));
        }
    }
}
