//! Recordings, streams for viewers and pictures: with mtx-lifecycle, and by hand with curl and ffmpeg.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use suite_tests::binaries::suite_binary;
use suite_tests::clips::{Clip, Video};
use suite_tests::lifecycle::{Lifecycle, segments};
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::processes::Spawned;
use suite_tests::procfs;
use suite_tests::waiting::wait_until;
use tempfile::TempDir;

use crate::table::{Table, median, milliseconds, quantile, with_ratio};

const ROUNDS: usize = 15;
const PATIENCE: Duration = Duration::from_secs(60);

/// By hand the source has to be made to stay: nobody reads, and a recording is no reader.
const RECORD: &str = r#"
curl --silent --fail -X PATCH "$API/v3/config/paths/patch/cam" -d '{"record": true, "sourceOnDemand": false}'
until curl --silent "$API/v3/recordings/get/cam" | grep -q '"start"'; do sleep 0.05; done
"#;

/// Somebody has to ask for the stream, and ask again if that comes before the change holds.
const VIEW: &str = r#"
curl --silent --fail -X PATCH "$API/v3/config/paths/patch/cam" -d '{"sourceOnDemandCloseAfter": "300s"}'
until ffmpeg -nostdin -loglevel quiet -rtsp_transport tcp -i "$RTSP/cam" -frames:v 1 -f null -; do sleep 0.05; done &
until curl --silent "$API/v3/paths/get/cam" | grep -q '"ready":true'; do sleep 0.05; done
kill $!
"#;

const PICTURE: &str = r#"
exec ffmpeg -nostdin -loglevel error -y -rtsp_transport tcp -i "$RTSP/live" -frames:v 1 "$PICTURE"
"#;

const RESTORE: &str = r#"
curl --silent --fail -X PATCH "$API/v3/config/paths/patch/cam" \
  -d '{"record": false, "sourceOnDemand": true, "sourceOnDemandCloseAfter": "1s"}'
"#;

#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    arguments: &'static [&'static str],
    by_hand: &'static str,
    is_done: fn(&Setup) -> bool,
}

const TASKS: [Task; 3] = [
    Task {
        name: "recording",
        arguments: &["start", "recording", "cam"],
        by_hand: RECORD,
        is_done: |setup| !segments(setup.folder.path(), "cam").is_empty(),
    },
    Task {
        name: "viewing",
        arguments: &["start", "viewing", "cam"],
        by_hand: VIEW,
        is_done: |setup| setup.server.path("cam").is_some_and(|path| path.ready()),
    },
    Task {
        name: "picture",
        arguments: &["snapshot", "live", "--output", "picture.jpg"],
        by_hand: PICTURE,
        is_done: |setup| fs::metadata(setup.picture()).is_ok_and(|file| file.len() > 0),
    },
];

#[derive(Clone, Copy)]
enum Contender {
    Suite,
    ByHand,
}

#[derive(Default)]
struct Measured {
    there: Vec<f64>,
    done: Vec<f64>,
    memory: f64,
}

/// A server with a camera that is fetched on demand, and one that runs all the time.
struct Setup {
    folder: TempDir,
    server: MediaMtx,
    lifecycle: Lifecycle,
    _publishers: [Spawned; 2],
    _camera: MediaMtx,
}

pub(crate) fn measure() -> Table {
    let note = format!(
        "A camera that MediaMTX fetches when it is asked to, and which is up (H.264, 720p, a key frame a second): from the \
        command's start until its first recorded file is on the disk (parts of 1 s, MediaMTX's default), until MediaMTX \
        says that the stream is there, until a picture of a running stream is on the disk («there»); and until the command \
        has seen that itself and ends («done»). By hand: a PATCH with curl, and asking every 50 ms; for viewing, ffmpeg asks \
        for the stream; the picture is ffmpeg's -frames:v 1. By hand nobody is spared: on a path with viewers, the same \
        PATCH throws them out. Medians and 95th percentiles of {ROUNDS} rounds, alternating. Memory: the most that \
        all processes of a command had at a time (what they share counts once; the suite's picture is mtx-worker's work). In brackets, how many times what \
        mtx-lifecycle takes."
    );
    let header = ["", "there", "95th", "done", "95th", "memory"];
    let mut table = Table::new("Lifecycle", &note, &header);
    let setup = Setup::start();
    for task in TASKS {
        let measured = [Contender::Suite, Contender::ByHand].map(|_| Measured::default());
        let measured = compare(&setup, task, measured);
        for (name, one) in ["mtx-lifecycle", "curl, ffmpeg"].iter().zip(&measured) {
            let cell =
                |what: fn(&Measured) -> f64, unit| with_ratio(what(one), what(&measured[0]), unit);
            table.row(vec![
                format!("{}, {name}", task.name),
                cell(|one| median(&one.there), "ms"),
                cell(|one| quantile(&one.there, 0.95), "ms"),
                cell(|one| median(&one.done), "ms"),
                cell(|one| quantile(&one.done, 0.95), "ms"),
                cell(|one| one.memory, "MiB"),
            ]);
        }
    }
    table
}

fn compare(setup: &Setup, task: Task, mut measured: [Measured; 2]) -> [Measured; 2] {
    for round in 1..=ROUNDS {
        eprintln!("lifecycle: {}, round {round} of {ROUNDS}", task.name);
        for (contender, measured) in [Contender::Suite, Contender::ByHand]
            .into_iter()
            .zip(&mut measured)
        {
            let (there, done) = setup.time(contender, task);
            measured.there.push(milliseconds(there));
            measured.done.push(milliseconds(done));
        }
    }
    for (contender, measured) in [Contender::Suite, Contender::ByHand]
        .into_iter()
        .zip(&mut measured)
    {
        measured.memory = setup.memory(contender, task);
    }
    measured
}

impl Setup {
    fn start() -> Self {
        let clip = Clip::new(Video::H264, None).in_720p();
        let camera = MediaMtx::start(Config::default());
        let folder = tempfile::tempdir().expect("a temp folder");
        let settings = format!(
            "source: {}\nsourceOnDemand: yes\nsourceOnDemandCloseAfter: 1s\nrecordPath: {}/%path/%Y-%m-%d_%H-%M-%S-%f",
            camera.rtsp("1"),
            folder.path().display()
        );
        let server = MediaMtx::start(Config::default().path("cam", &settings));
        let publishers = [
            clip.publish(&camera.rtsp("1")),
            clip.publish(&server.rtsp("live")),
        ];
        camera.wait_ready("1", PATIENCE);
        server.wait_ready("live", PATIENCE);
        Self {
            lifecycle: Lifecycle::of(&server),
            folder,
            server,
            _publishers: publishers,
            _camera: camera,
        }
    }

    fn picture(&self) -> PathBuf {
        self.folder.path().join("picture.jpg")
    }

    fn command(&self, contender: Contender, task: Task) -> Command {
        let mut command = match contender {
            Contender::Suite => {
                let mut command = self.lifecycle.command(task.arguments);
                command.env("MTX_WORKER", suite_binary("mtx-worker"));
                command
            }
            Contender::ByHand => self.script(task.by_hand),
        };
        command.current_dir(self.folder.path());
        command
    }

    fn script(&self, text: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", text])
            .env("API", self.server.api(""))
            .env("RTSP", self.server.rtsp("").trim_end_matches('/'))
            .env("PICTURE", self.picture());
        command
    }

    /// How long it takes until a task's result is there, and until the command is done.
    fn time(&self, contender: Contender, task: Task) -> (Duration, Duration) {
        let command = self.command(contender, task);
        let start = Instant::now();
        let mut process = Spawned::start(task.name, command);
        let (mut there, mut done) = (None, None);
        while there.is_none() || done.is_none() {
            assert!(
                start.elapsed() < PATIENCE,
                "{}: {}",
                task.name,
                process.output()
            );
            if there.is_none() && (task.is_done)(self) {
                there = Some(start.elapsed());
            }
            if done.is_none() && process.try_wait().is_some() {
                done = Some(start.elapsed());
            }
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(process.wait_code(PATIENCE), 0, "{}", process.output());
        drop(process);
        self.restore(contender);
        (there.unwrap_or_default(), done.unwrap_or_default())
    }

    /// The most memory in MiB that the command and all it has started have at a time, as far as looking can tell.
    fn memory(&self, contender: Contender, task: Task) -> f64 {
        let mut process = Spawned::start(task.name, self.command(contender, task));
        let mut most = 0;
        while process.try_wait().is_none() {
            let mut all = procfs::descendants(process.pid());
            all.push(process.pid());
            let now = all.into_iter().filter_map(procfs::memory_share_kib).sum();
            most = most.max(now);
        }
        drop(process);
        self.restore(contender);
        most as f64 / 1024.0
    }

    /// Everything as it was: the camera asleep, no recording, no picture.
    fn restore(&self, contender: Contender) {
        match contender {
            Contender::Suite => drop(self.lifecycle.ok(&["rollback", "0", "--force"])),
            Contender::ByHand => {
                let status = self.script(RESTORE).output().expect("sh runs").status;
                assert!(status.success(), "the settings are restored");
            }
        }
        wait_until("the camera to sleep", PATIENCE, || {
            self.server
                .path("cam")
                .is_none_or(|path| !path.ready() && path.readers() == 0)
        });
        let _ = fs::remove_dir_all(self.folder.path().join("cam"));
        let _ = fs::remove_file(self.picture());
    }
}
