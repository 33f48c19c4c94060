//! An inherited socket, by the number of its descriptor.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{UnixAddr, getsockname};

/// Takes over a descriptor that is a Unix socket; to be called once for each.
pub(crate) fn inherited_socket(number: RawFd) -> Result<UnixStream> {
    if number <= 2 {
        bail!("--control-fd {number}: 0, 1 and 2 are stdin, stdout and stderr");
    }
    match getsockname::<UnixAddr>(number) {
        Ok(_) => {}
        Err(Errno::EBADF) => bail!("--control-fd {number}: no such descriptor was inherited"),
        Err(_) => bail!("--control-fd {number}: that descriptor is no Unix socket"),
    }
    #[expect(
        unsafe_code,
        reason = "a number is all that is known of an inherited descriptor"
    )]
    // SAFETY: it is open, as was just seen, and nothing else in this process owns it: standard streams are refused, and
    // the caller takes each number once, before any other socket is opened.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let socket = UnixStream::from(socket);
    let prepared = socket.set_nonblocking(true);
    prepared.with_context(|| format!("--control-fd {number}"))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_inherited_socket_is_refused_with_its_number() {
        for (number, expected) in [
            (-1, "stdin"),
            (1, "stdin"),
            (9_999, "no such descriptor was inherited"),
        ] {
            let message = inherited_socket(number).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(&number.to_string()), "{message}");
        }
    }
}
