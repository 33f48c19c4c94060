//! What differs from one system to the other.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// What a worker may take, enforced by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Private memory, in bytes.
    pub(crate) memory: u64,
    pub(crate) open_files: u64,
    /// Percent of one processor, over a while; looked after by the supervisor.
    pub(crate) cpu: u64,
}

impl Limits {
    /// Whether a process that was started with these is still right.
    pub(super) fn suit_process_of(self, other: Self) -> bool {
        (self.memory, self.open_files) == (other.memory, other.open_files)
    }
}

/// Makes the worker die with this process, however that ends, and keep to its limits.
///
/// The kernel means the *thread* that starts the worker, so that has to be one that lasts.
#[cfg(target_os = "linux")]
pub(crate) fn confine(command: &mut Command, limits: Limits) {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    use nix::unistd::{Pid, getppid};

    let parent = Pid::this();
    let confine = move || {
        // This process waits for its signals; a worker has to be interrupted by them.
        SigSet::empty().thread_set_mask()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            // It died before the line above.
            return Err(nix::errno::Errno::ESRCH.into());
        }
        setrlimit(Resource::RLIMIT_DATA, limits.memory, limits.memory)?;
        setrlimit(
            Resource::RLIMIT_NOFILE,
            limits.open_files,
            limits.open_files,
        )?;
        Ok(())
    };
    #[expect(
        unsafe_code,
        reason = "pre_exec is the only way to run code in the child"
    )]
    // SAFETY: pthread_sigmask, prctl, getppid and setrlimit are async-signal-safe and touch no memory of this process.
    unsafe {
        command.pre_exec(confine);
    }
}

/// A worker started here is told to end only by an orderly shutdown, and has no limits.
#[cfg(not(target_os = "linux"))]
pub(crate) fn confine(command: &mut Command, limits: Limits) {
    use nix::sys::signal::SigSet;

    let _ = (limits.memory, limits.open_files);
    #[expect(
        unsafe_code,
        reason = "pre_exec is the only way to run code in the child"
    )]
    // SAFETY: pthread_sigmask is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
}

/// Has the worker inherit a socket, and tells it the number of its descriptor by this option.
pub(super) fn inherit(command: &mut Command, option: &str, socket: UnixStream) {
    command.args([option, &socket.as_raw_fd().to_string()]);
    #[expect(
        unsafe_code,
        reason = "pre_exec is the only way to run code in the child"
    )]
    // SAFETY: fcntl is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(move || {
            fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
            Ok(())
        });
    }
}

/// What can be read from when a process has ended; `None` where the kernel does not offer that (Linux before 5.3).
#[cfg(target_os = "linux")]
pub(super) fn end_of(pid: u32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;

    use nix::libc::{SYS_pidfd_open, syscall};

    let pid = i32::try_from(pid).ok()?;
    #[expect(unsafe_code, reason = "nix has no pidfd_open")]
    // SAFETY: the call has no pointers, and what it returns is a descriptor that nobody else owns, or negative.
    let fd = unsafe {
        let fd = i32::try_from(syscall(SYS_pidfd_open, pid, 0)).ok()?;
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    };
    fd
}

/// Not offered here.
#[cfg(not(target_os = "linux"))]
pub(super) fn end_of(_: u32) -> Option<OwnedFd> {
    None
}

/// Waits until one of these can be read from, or is at its end; which ones. Without a time, it waits as long as it takes.
pub(super) fn poll<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> [bool; N] {
    let present = fds.iter().flatten();
    let mut polled: Vec<PollFd<'_>> = present
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
        PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)
    });
    // A signal interrupts it, and the caller looks again.
    let is_any = nix::poll::poll(&mut polled, timeout).is_ok_and(|count| count > 0);
    let mut polled = polled.into_iter();
    fds.map(|fd| {
        let found = fd.and_then(|_| polled.next());
        is_any && found.is_some_and(|fd| fd.any().unwrap_or(true))
    })
}

/// Lets this process open as many files as it may: a worker takes three, and a request one.
pub(super) fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        log::warn!(reason:% = error; "the limit of open files stays as it is");
    }
}

/// Asks a worker to end.
pub(super) fn terminate(child: &mut Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    if let Ok(pid) = i32::try_from(child.id()) {
        // It is not reaped yet, so the id is still its own; ended already is as good.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// Resident memory of a process.
#[cfg(target_os = "linux")]
pub(super) fn memory_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn memory_bytes(_: u32) -> Option<u64> {
    None
}

/// Time that a process has spent on the processors.
#[cfg(target_os = "linux")]
pub(super) fn cpu_time(pid: u32) -> Option<std::time::Duration> {
    use nix::time::ClockId;
    use nix::unistd::Pid;

    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    clock.now().ok().map(Into::into)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn cpu_time(_: u32) -> Option<std::time::Duration> {
    None
}

/// The name of a signal.
pub(super) fn signal(status: std::process::ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;

    let number = status.signal()?;
    let name = nix::sys::signal::Signal::try_from(number).map(nix::sys::signal::Signal::as_str);
    Some(name.map_or_else(|_| format!("signal {number}"), str::to_owned))
}
