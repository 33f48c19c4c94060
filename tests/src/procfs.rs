//! What Linux tells of a process.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

/// Peak resident memory in KiB, or `None` when the process is gone.
pub fn peak_memory_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmHWM:")
}

/// Resident memory in KiB, or `None` when the process is gone.
pub fn memory_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS:")
}

/// Resident memory in KiB where a page that several processes share counts for each of them only in part, or `None`
/// when the process is gone.
pub fn memory_share_kib(pid: u32) -> Option<u64> {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn status_kib(pid: u32, name: &str) -> Option<u64> {
    kib(&format!("/proc/{pid}/status"), name)
}

fn kib(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// How many files and sockets it has open; 0 when it is gone.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How many threads it has; 0 when it is gone.
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// User and system CPU time spent so far, or `None` when the process is gone. Its own clock is exact, where
/// `/proc` counts in hundredths of a second.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    clock.now().ok().map(Duration::from)
}

/// The command line, its arguments joined by spaces, or `None` when the process is gone.
pub fn command_line(pid: u32) -> Option<String> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&raw).replace('\0', " "))
}

/// Every process below `pid`, whatever its process group.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for child in all_processes() {
        if let Some(parent) = stat_fields(child).and_then(|fields| fields[1].parse().ok()) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![];
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        found.extend(&below);
        open.extend(below);
    }
    found
}

/// The ids of all processes this user may see.
pub fn all_processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The fields of `/proc/<pid>/stat` after the command name (which may hold spaces): state, ppid, pgrp, …
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
