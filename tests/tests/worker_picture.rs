//! mtx-worker takes a picture: `--output FILE.jpg`.

use std::fs;
use std::path::Path;
use std::process::Command;

use suite_tests::binaries::suite_binary;
use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::mediamtx::Config;
use suite_tests::packets::{Kind, Reader};
use suite_tests::stack::{IN, SOON, Stack};
use suite_tests::worker::Worker;

/// Decibels; the same picture as JPEG has some 40, the clip's next key frame some 20.
const ALIKE: f64 = 32.0;

/// How much the picture resembles the key frame of the clip that it resembles most.
#[track_caller]
fn likeness(picture: &Path, clip: Clip) -> f64 {
    let stats = picture.with_extension("stats");
    let filter = format!("[0:v][1:v]psnr=shortest=1:stats_file={}", stats.display());
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-loglevel", "error"])
        .args(["-skip_frame", "nokey", "-i"])
        .arg(clip.file())
        .args(["-loop", "1", "-i"])
        .arg(picture)
        .args([
            "-lavfi",
            &filter,
            "-vsync",
            "passthrough",
            "-f",
            "null",
            "-",
        ])
        .output()
        .expect("ffmpeg is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let stats = fs::read_to_string(stats).expect("ffmpeg wrote them");
    let values = stats.split_whitespace();
    let values = values.filter_map(|word| word.strip_prefix("psnr_avg:")?.parse::<f64>().ok());
    values.fold(0.0, f64::max)
}

fn worker(input: &str, picture: &Path) -> Worker {
    Worker::start(input, picture.to_str().expect("a plain name"))
}

#[test]
fn a_picture_is_the_next_key_frame_and_disturbs_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    for video in [Video::H264, Video::H264BFrames] {
        let clip = Clip::new(video, Audio::Aac).in_720p();
        let stack = Stack::start_with(Config::default(), clip);
        let reader = Reader::start(&stack.input());
        reader.collect(Kind::Video, 10, SOON);
        let picture = folder.path().join("picture.jpg");
        let mut worker = worker(&stack.input(), &picture);
        assert_eq!(worker.wait_code(SOON), 0, "{}", worker.process().output());
        let alike = likeness(&picture, clip);
        assert!(alike > ALIKE, "{video:?}: {alike} dB");
        let names = fs::read_dir(folder.path()).expect("the folder is there");
        let names: Vec<_> = names.flatten().map(|entry| entry.file_name()).collect();
        assert!(
            names
                .iter()
                .all(|name| !name.display().to_string().contains("part")),
            "{names:?}"
        );
        stack.server.wait_readers(IN, 1, SOON);
        fs::remove_file(&picture).expect("it was taken");
    }
}

#[test]
fn what_can_t_be_pictured_is_said_and_leaves_the_old_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("picture.jpeg");
    fs::write(&picture, "the old one").expect("the folder is writable");
    let refused = |input: &str, expected: &str| {
        let mut worker = worker(input, &picture);
        assert_eq!(worker.wait_code(SOON), 1);
        let output = worker.process().output();
        assert!(output.contains(expected), "{output}");
        let kept = fs::read_to_string(&picture).expect("it is there");
        assert_eq!(kept, "the old one");
    };
    let stack = Stack::start_with(Config::default(), Clip::new(Video::H265, None));
    refused(&stack.input(), "H.265");
    refused(&stack.server.rtsp("live/other/in"), "404");
    let stack = Stack::start_with(Config::default(), Clip::new(None, Audio::Aac));
    refused(&stack.input(), "no video");
}

#[test]
fn a_place_where_no_picture_can_be_written_is_refused_before_the_stream_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(name("folder.jpg")).expect("the folder is writable");
    fs::write(name("file"), "").expect("the folder is writable");
    for (output, expected) in [
        (name("missing/{name}.jpg"), "No such file"),
        (name("file/{name}.jpg"), "not a folder"),
        (name("folder.jpg"), "is a folder: name a file"),
    ] {
        for options in [&["--check"][..], &[]] {
            let mut command = Command::new(suite_binary("mtx-worker"));
            command.args(["--input", "rtsp://127.0.0.1:1/cam", "--output", &output]);
            let ended = command.args(options).output().expect("it runs");
            let text =
                String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(2), "{text}");
            let named = output.replace("{name}", "cam");
            assert!(text.contains(&named) && text.contains(expected), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}
