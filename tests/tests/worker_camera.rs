//! Cameras that misbehave: every frame comes out, or is counted and told.

use std::process::Command;
use std::thread;
use std::time::Duration;

use suite_tests::camera::{Answers, Camera, Habits, Network, Packets};
use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::compare::assert_decodable_order;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Packet, Reader};
use suite_tests::stack::{OUT, SOON};
use suite_tests::worker::{Event, Worker};

const RATE: usize = 25;
const SECONDS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(40);

fn clip() -> Clip {
    Clip::new(Video::H264, Audio::Aac)
}

struct Seen {
    packets: Vec<Packet>,
    stats: Event,
    states: Vec<String>,
    log: String,
}

/// Passes a camera's stream on and reads it for some seconds.
#[track_caller]
fn pass_on(camera: &Camera, transport: &str) -> Seen {
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start_with(&camera.rtsp(), &server.rtmp(OUT), |command| {
        command.args(["--stats-interval", "500ms", "--transport", transport]);
    });
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    let reader = Reader::start(&server.rtmp(OUT));
    let packets = reader.collect(Kind::Video, SECONDS * RATE, PATIENCE);
    assert_decodes(&server.rtmp(OUT));
    let mark = worker.process().mark();
    let stats = worker.wait_event(mark, "statistics", SOON, |event| {
        event.text("message") == "stats"
    });
    Seen {
        packets,
        stats,
        states: worker.states(),
        log: worker.process().output(),
    }
}

/// A decoder has nothing to say about two seconds of the stream.
#[track_caller]
fn assert_decodes(url: &str) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "error", "-i", url, "-t", "2"]);
    let decoded = ffmpeg
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let errors = String::from_utf8_lossy(&decoded.stderr).into_owned();
    assert!(
        decoded.status.success() && !errors.contains("decod"),
        "{errors}"
    );
}

/// Frames that arrive in a second, from the first quarter on, since ffprobe prints what it analysed first in one go.
fn rate(packets: &[Packet]) -> f64 {
    let video = packets.iter().filter(|packet| packet.kind == Kind::Video);
    let video: Vec<&Packet> = video.collect();
    let (from, last) = (video.len() / 4, video.len() - 1);
    (last - from) as f64 / (video[last].at - video[from].at).as_secs_f64()
}

#[track_caller]
fn assert_all_frames(what: &str, seen: &Seen) {
    for kind in [Kind::Video, Kind::Audio] {
        assert_decodable_order(kind, &seen.packets);
    }
    let rate = rate(&seen.packets);
    assert!(
        (24.0..26.0).contains(&rate),
        "{what}: {rate} frames a second"
    );
    for field in ["dropped", "lost", "damaged", "reconnects"] {
        let count = seen.stats.number(field);
        assert_eq!(count, 0.0, "{what}: {field} in {:?}", seen.stats.json);
    }
    assert_eq!(seen.states, ["connecting", "streaming"], "{what}");
}

/// Each of these cameras at once: none costs a frame.
#[track_caller]
fn cost_no_frames(habits: &[Habits], transport: &str) {
    thread::scope(|scope| {
        let tests = habits.iter().map(|habits| {
            scope.spawn(move || {
                let camera = Camera::start(clip(), *habits);
                assert_all_frames(&format!("{habits:?}"), &pass_on(&camera, transport));
            })
        });
        for test in tests.collect::<Vec<_>>() {
            if let Err(panic) = test.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

fn answering(answers: Answers) -> Habits {
    Habits {
        answers,
        ..Habits::default()
    }
}

fn sending(packets: Packets) -> Habits {
    Habits {
        packets,
        ..Habits::default()
    }
}

#[test]
fn sessions_and_headers_as_cameras_have_them_cost_no_frames() {
    let answers = [
        Answers::Right,
        Answers::SessionEach,
        Answers::OwnChannels,
        Answers::WithoutSequence,
    ];
    cost_no_frames(&answers.map(answering), "tcp");
}

#[test]
fn urls_and_logins_as_cameras_have_them_cost_no_frames() {
    let answers = [
        Answers::LowerCase,
        Answers::ForeignBase,
        Answers::StaleNonce,
        Answers::WithoutRtpTime,
    ];
    cost_no_frames(&answers.map(answering), "tcp");
}

#[test]
fn packets_as_cameras_send_them_cost_no_frames() {
    let packets = [
        Packets::Padded,
        Packets::Unmarked,
        Packets::ByteStream,
        Packets::BetweenGarbage,
    ];
    cost_no_frames(&packets.map(sending), "tcp");
}

#[test]
fn datagrams_that_come_late_or_twice_cost_no_frames() {
    let late = Network {
        late: 0.1,
        ..Network::default()
    };
    let doubled = Network {
        doubled: 0.1,
        ..Network::default()
    };
    let habits = [late, doubled].map(|network| Habits {
        network,
        ..Habits::default()
    });
    cost_no_frames(&habits, "udp");
}

#[test]
fn what_datagrams_lose_is_counted_and_told() {
    for lost in [0.02, 0.1] {
        let network = Network {
            lost,
            ..Network::default()
        };
        let camera = Camera::start(
            clip(),
            Habits {
                network,
                ..Habits::default()
            },
        );
        let seen = pass_on(&camera, "udp");
        assert_decodable_order(Kind::Video, &seen.packets);
        let (counted, damaged) = (seen.stats.number("lost"), seen.stats.number("damaged"));
        let rate = rate(&seen.packets);
        println!(
            "{rate} frames a second, {counted} of {} packets counted, {damaged} units",
            camera.lost()
        );
        // Those of the last moments are not missed yet.
        assert!(
            (counted - camera.lost() as f64).abs() <= 4.0 + counted / 5.0,
            "{counted} of {}",
            camera.lost()
        );
        assert!(
            damaged > 0.0 && rate > 15.0,
            "{rate} frames a second, {damaged} damaged"
        );
        assert!(
            seen.log.contains("packets of the input got lost"),
            "{}",
            seen.log
        );
        assert_eq!(seen.states, ["connecting", "streaming"]);
    }
}

/// MediaMTX keeps one PPS of a stream; nginx keeps the sequence header as it is.
#[test]
fn pictures_that_name_two_parameter_sets_can_be_decoded() {
    let clip = Clip::new(Video::H264Cavlc, Audio::Aac);
    let camera = Camera::start(clip, sending(Packets::TwoSets));
    let server = Nginx::start();
    let url = server.rtmp("out");
    thread::scope(|scope| {
        // From the first frame on, since nginx lets readers begin anywhere.
        let decoder = scope.spawn(|| assert_decodes(&url));
        let worker = Worker::start(&camera.rtsp(), &url);
        worker.wait_state("streaming", SOON);
        if let Err(panic) = decoder.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn parameter_sets_that_mediamtx_does_not_keep_are_told() {
    let clip = Clip::new(Video::H264Cavlc, Audio::Aac);
    let camera = Camera::start(clip, sending(Packets::TwoSets));
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start(&camera.rtsp(), &server.rtmp(OUT));
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    let warning = "this server keeps one parameter set of each kind";
    worker.process().wait_for_line(warning, SOON);
    Reader::start(&server.rtmp(OUT)).collect(Kind::Audio, RATE, SOON);
}

#[test]
fn audio_that_comes_late_joins() {
    let camera = Camera::start(
        clip(),
        Habits {
            silent_for: 5.0,
            ..Habits::default()
        },
    );
    let seen = pass_on(&camera, "tcp");
    assert_all_frames("late audio", &seen);
    let audio = seen
        .packets
        .iter()
        .filter(|packet| packet.kind == Kind::Audio);
    assert!(audio.count() > RATE, "hardly any audio");
}

#[test]
fn another_resolution_in_the_stream_is_followed() {
    let camera = Camera::start(
        clip(),
        Habits {
            other: Some((6.0, clip().in_720p())),
            ..Habits::default()
        },
    );
    let server = MediaMtx::start(Config::default());
    let worker = Worker::start_with(&camera.rtsp(), &server.rtmp(OUT), |_| {});
    worker.wait_state("streaming", SOON);
    server.wait_ready(OUT, SOON);
    let size = || {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-loglevel", "error", "-analyzeduration", "500000"]);
        ffprobe.args(["-rtsp_transport", "tcp", "-select_streams", "v"]);
        ffprobe.args(["-show_entries", "stream=width", "-of", "csv=p=0"]);
        let output = ffprobe
            .arg(server.rtsp(OUT))
            .output()
            .expect("ffprobe is installed");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut sizes: Vec<String> = vec![];
    suite_tests::waiting::wait_until("both sizes", PATIENCE, || {
        sizes.push(size());
        ["320", "1280"]
            .iter()
            .all(|wanted| sizes.iter().any(|size| size.starts_with(wanted)))
    });
    assert!(!worker.states().contains(&"retrying".to_owned()));
}

/// The video of such a camera never comes out, so nothing does that would look like health.
#[test]
fn audio_alone_of_a_stream_with_video_is_no_health() {
    let cases = [
        (Packets::WithoutKeys, "its parameter sets do not come"),
        (
            Packets::SetsWithoutKeys,
            "no picture comes at which decoding can start",
        ),
        (Packets::Damaged, "no complete picture"),
        (Packets::Absent, "no complete picture"),
    ];
    thread::scope(|scope| {
        for (packets, reason) in cases {
            scope.spawn(move || {
                let camera = Camera::start(clip(), sending(packets));
                let server = MediaMtx::start(Config::default());
                let worker = Worker::start(&camera.rtsp(), &server.rtmp(OUT));
                let lost = worker.wait_event(0, "retry", 2 * SOON, |event| {
                    event.text("message").contains("input lost")
                });
                assert!(
                    lost.text("reason").contains(reason),
                    "{packets:?}: {}",
                    lost.json
                );
                worker.wait_state("retrying", SOON);
                assert!(
                    !worker.states().contains(&"streaming".to_owned()),
                    "{packets:?}"
                );
            });
        }
    });
}
