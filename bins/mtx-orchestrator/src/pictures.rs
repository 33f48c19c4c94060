//! Pictures of the streams, for the dashboard: taken by a one-shot mtx-worker, only when somebody asks, and a bounded
//! number at a time.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{program, tls};
use serde_json::Value;
use url::Url;

use crate::declaration::Servers;
use crate::stream_key::StreamKey;
use crate::supervisor::{Limits, StreamState, StreamStatus, confine};

/// Each is a process that reads a stream until its next key frame.
const MOST_AT_ONCE: usize = 4;
/// Younger pictures are not taken anew.
const FRESH: Duration = Duration::from_secs(4);
/// What can't be pictured, H.265 for example, is not tried more often.
const FRESH_FAILURE: Duration = Duration::from_secs(30);
/// Nobody gets an older one, and none is kept for longer.
const STALE: Duration = Duration::from_secs(15);
/// A worker gives up after 15 s without a key frame.
const PATIENCE: Duration = Duration::from_secs(20);
/// A picture of 8192 by 4320 as JPEG of any content is smaller.
const LARGEST: u64 = 16 * 1024 * 1024;
const LIMITS: Limits = Limits {
    memory: 512 * 1024 * 1024,
    open_files: 64,
    cpu: 0,
};
/// Memory that looks like a folder; containers have it that have no other place to write to.
const SHARED_MEMORY: &str = "/dev/shm";
/// What the names of its folders for pictures begin with; the process id follows.
const FOLDER: &str = "mtx-picture-";
const HANDED_ON: [&str; 3] = [
    tls::ROOTS_FILE,
    tls::MEDIAMTX_FINGERPRINT,
    "MTX_WORKER_TRANSPORT",
];

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PictureError {
    #[error("no picture: {0}")]
    None(String),
    #[error("{MOST_AT_ONCE} pictures are being taken, or this one is: ask again in a second")]
    Busy,
}

/// A JPEG file, or why there is none.
type Outcome = Result<Arc<[u8]>, PictureError>;

/// Takes pictures, and keeps them for some seconds.
pub(crate) struct Pictures {
    worker: PathBuf,
    servers: Servers,
    shots: Mutex<BTreeMap<StreamKey, Shot>>,
}

#[derive(Default)]
struct Shot {
    is_being_taken: bool,
    latest: Option<(Instant, Outcome)>,
}

impl Pictures {
    pub(crate) fn new(worker: PathBuf, servers: Servers) -> Self {
        remove_leftovers(Path::new(SHARED_MEMORY));
        remove_leftovers(&std::env::temp_dir());
        Self {
            worker,
            servers,
            shots: Mutex::default(),
        }
    }

    /// The stream's picture, taken now if the last one is some seconds old. Returns after 20 s at most.
    pub(crate) fn picture(&self, status: &StreamStatus) -> Outcome {
        let url = self.source(status)?;
        if let Some(known) = begin(&mut self.lock(), &status.id, Instant::now()) {
            return known;
        }
        let outcome = self.take(&url).map_err(PictureError::None);
        let shot = Shot {
            is_being_taken: false,
            latest: Some((Instant::now(), outcome.clone())),
        };
        self.lock().insert(status.id.clone(), shot);
        outcome
    }

    /// The path of MediaMTX's that shows the stream: where it comes in, or where a declared one comes out. A camera is
    /// not asked a second time.
    fn source(&self, status: &StreamStatus) -> Result<Url, PictureError> {
        if status.state != StreamState::Running {
            let why = format!("the stream is {}", status.state);
            return Err(PictureError::None(why));
        }
        let mut outputs = status.outputs.iter();
        let path = status.path.clone();
        let path = path.or_else(|| outputs.find_map(|output| output.path.clone()));
        let why = || "the stream is on no path of MediaMTX's".to_owned();
        let path = path.ok_or_else(|| PictureError::None(why()))?;
        let mut url = self.servers.rtsp.clone();
        url.set_path(path.as_str());
        Ok(url)
    }

    fn take(&self, url: &Url) -> Result<Arc<[u8]>, String> {
        let folder = Folder::new().map_err(|error| format!("no folder to put it in: {error}"))?;
        let file = folder.0.join("picture.jpg");
        let mut worker = self.command(url, &file).spawn();
        let worker = worker
            .as_mut()
            .map_err(|error| format!("can't start {}: {error}", self.worker.display()))?;
        wait(worker)?;
        let size = fs::metadata(&file)
            .map_err(|error| error.to_string())?
            .len();
        if size > LARGEST {
            return Err(format!("it has {size} bytes, more than {LARGEST}"));
        }
        let picture = fs::read(&file).map_err(|error| error.to_string())?;
        Ok(picture.into())
    }

    fn command(&self, url: &Url, file: &Path) -> Command {
        let mut command = Command::new(&self.worker);
        command
            .arg("--output")
            .arg(file)
            .args(["--log-format", "json"])
            .env_clear()
            .envs(program::handed_on(HANDED_ON))
            .env(
                tls::MEDIAMTX_FINGERPRINT_HOSTS,
                self.servers.hosts().join(" "),
            )
            // Other users of the host see command lines, not environments.
            .env("MTX_WORKER_INPUT", url.as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        confine(&mut command, LIMITS);
        command
    }

    /// No holder leaves anything half done.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Shot>> {
        self.shots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be answered without taking a picture; `None` if the caller is to take one.
fn begin(shots: &mut BTreeMap<StreamKey, Shot>, key: &StreamKey, now: Instant) -> Option<Outcome> {
    shots.retain(|_, shot| {
        let is_kept = |(at, outcome): &(Instant, Outcome)| {
            now.saturating_duration_since(*at)
                < if outcome.is_ok() {
                    STALE
                } else {
                    FRESH_FAILURE
                }
        };
        shot.is_being_taken || shot.latest.as_ref().is_some_and(is_kept)
    });
    let being_taken = shots.values().filter(|shot| shot.is_being_taken).count();
    let shot = shots.get(key);
    let latest = shot.and_then(|shot| shot.latest.clone());
    let is_busy = being_taken >= MOST_AT_ONCE || shot.is_some_and(|shot| shot.is_being_taken);
    match latest {
        Some((_, failure @ Err(_))) => return Some(failure),
        Some((at, picture)) if now.saturating_duration_since(at) < age(is_busy) => {
            return Some(picture);
        }
        _ if is_busy => return Some(Err(PictureError::Busy)),
        _ => {}
    }
    shots.entry(key.clone()).or_default().is_being_taken = true;
    None
}

/// How old a picture may be that is given out.
fn age(is_busy: bool) -> Duration {
    if is_busy { STALE } else { FRESH }
}

/// Waits for a worker's end. Fails with its last words.
fn wait(worker: &mut Child) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = worker.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if Instant::now() >= end {
            let _ = worker.kill();
            let _ = worker.wait();
            return Err(format!("it took longer than {} s", PATIENCE.as_secs()));
        }
        thread::sleep(Duration::from_millis(10));
    };
    if status.success() {
        return Ok(());
    }
    let mut words = String::new();
    if let Some(stderr) = worker.stderr.take() {
        // Whatever could be read is better than nothing.
        let _ = stderr.take(64 * 1024).read_to_string(&mut words);
    }
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    Err(last.map_or_else(|| status.to_string(), reason))
}

/// Why a worker ended, as the last line of its log has it.
fn reason(line: &str) -> String {
    let fields: Value = serde_json::from_str(line).unwrap_or_default();
    let message = fields["message"].as_str().unwrap_or(line);
    match fields["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        None => message.trim_start_matches("no picture: ").to_owned(),
    }
}

/// Removes what an orchestrator has left that was killed.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        let pid = rest.and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok());
        let is_dead = |pid: u32| !Path::new(&format!("/proc/{pid}")).exists();
        // Containers that share the folder do not see each other's processes.
        let is_old = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if pid.is_some_and(is_dead) && is_old().is_some_and(|age| age > 4 * PATIENCE) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder for one picture, which only this user sees, and which goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("{FOLDER}{}-{:016x}", std::process::id(), fastrand::u64(..));
        let make = |parent: &Path| {
            let folder = parent.join(&name);
            let mut builder = DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&folder).map(|()| Self(folder))
        };
        make(Path::new(SHARED_MEMORY)).or_else(|_| make(&std::env::temp_dir()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mediamtx::path::PathName;

    fn key(number: usize) -> StreamKey {
        let path: PathName = format!("cam-{number}").parse().unwrap();
        path.into()
    }

    #[test]
    fn so_many_are_taken_at_a_time_and_each_once() {
        let now = Instant::now();
        let mut shots = BTreeMap::new();
        for number in 0..MOST_AT_ONCE {
            assert_eq!(begin(&mut shots, &key(number), now), None);
            let busy = Some(Err(PictureError::Busy));
            assert_eq!(begin(&mut shots, &key(number), now), busy);
        }
        let one_more = begin(&mut shots, &key(MOST_AT_ONCE), now);
        assert_eq!(one_more, Some(Err(PictureError::Busy)));
    }

    #[test]
    fn a_picture_is_kept_for_seconds_and_a_failure_longer() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let picture: Outcome = Ok(Arc::from([1]));
        let failure: Outcome = Err(PictureError::None("H.265".to_owned()));
        for (outcome, until) in [(picture, 4), (failure, 30)] {
            let mut shots = BTreeMap::new();
            let shot = Shot {
                is_being_taken: false,
                latest: Some((start, outcome.clone())),
            };
            shots.insert(key(0), shot);
            let known = begin(&mut shots, &key(0), after(until - 1));
            assert_eq!(known, Some(outcome));
            assert_eq!(begin(&mut shots, &key(0), after(until)), None);
        }
    }

    #[test]
    fn the_last_words_of_a_worker_tell_why_there_is_no_picture() {
        for (line, expected) in [
            (
                r#"{"message":"no picture","reason":"connection refused"}"#,
                "connection refused",
            ),
            (
                r#"{"message":"no picture: the stream has no video"}"#,
                "the stream has no video",
            ),
            ("killed", "killed"),
        ] {
            assert_eq!(reason(line), expected);
        }
    }
}
