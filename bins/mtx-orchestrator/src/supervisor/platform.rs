//! What differs from one system to the other.

use std::process::{Child, Command};

/// What a worker may take, enforced by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Private memory, in bytes.
    pub(crate) memory: u64,
    pub(crate) open_files: u64,
    /// Percent of one processor, over a while; looked after by the supervisor.
    pub(crate) cpu: u64,
}

/// Makes the worker die with this process, however that ends, and keep to its limits.
///
/// The kernel means the *thread* that starts the worker, so that has to be one that lasts.
#[cfg(target_os = "linux")]
pub(super) fn confine(command: &mut Command, limits: Limits) {
    use std::os::unix::process::CommandExt;

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
#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn confine(command: &mut Command, limits: Limits) {
    use std::os::unix::process::CommandExt;

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

/// A worker started here is told to end only by an orderly shutdown, and has no limits.
#[cfg(not(unix))]
pub(super) fn confine(_: &mut Command, limits: Limits) {
    let _ = (limits.memory, limits.open_files);
}

/// Asks a worker to end.
#[cfg(unix)]
pub(super) fn terminate(child: &mut Child) {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    if let Ok(pid) = i32::try_from(child.id()) {
        // It is not reaped yet, so the id is still its own; ended already is as good.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// There is no way to ask.
#[cfg(not(unix))]
pub(super) fn terminate(child: &mut Child) {
    let _ = child.kill();
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
#[cfg(unix)]
pub(super) fn signal(status: std::process::ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;

    let number = status.signal()?;
    let name = nix::sys::signal::Signal::try_from(number).map(nix::sys::signal::Signal::as_str);
    Some(name.map_or_else(|_| format!("signal {number}"), str::to_owned))
}

/// There are none.
#[cfg(not(unix))]
pub(super) fn signal(_: std::process::ExitStatus) -> Option<String> {
    None
}
