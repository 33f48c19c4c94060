//! The harness itself: what the other tests lean on.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use suite_tests::clips::{Audio, Clip, Video};
use suite_tests::gstreamer::GstRtspServer;
use suite_tests::mediamtx::{Config, MediaMtx};
use suite_tests::nginx::Nginx;
use suite_tests::packets::{Kind, Reader};
use suite_tests::processes::Spawned;
use suite_tests::proxy::{FaultProxy, Mode};
use suite_tests::{procfs, waiting};

#[test]
fn dropping_a_process_ends_everything_below_it() {
    let mut command = Command::new("sh");
    // setsid: as far away as a hook of MediaMTX, in a process group of its own.
    command.args(["-c", "setsid sleep 600 & echo $!; wait"]);
    let spawned = Spawned::start("shell", command);
    spawned.find_line(0, "a process id", Duration::from_secs(5), |line| {
        line.text.parse::<u32>().is_ok()
    });
    let below = waiting::wait_for("the sleep", Duration::from_secs(5), || {
        procfs::descendants(spawned.pid()).pop()
    });
    drop(spawned);
    waiting::wait_until("the end of the sleep", Duration::from_secs(5), || {
        procfs::command_line(below).is_none_or(|line| line.is_empty())
    });
}

#[test]
fn mediamtx_starts_and_starts_again_on_the_same_ports() {
    let mut server = MediaMtx::start(Config::default().path("live/test/in", "record: no"));
    assert!(server.path("live/test/in").is_none_or(|path| !path.ready()));
    server.stop();
    server.start_again();
    assert!(server.metrics("").contains("paths"));
}

#[test]
fn published_clip_is_read_packet_by_packet() {
    let server = MediaMtx::start(Config::default());
    let _publisher =
        Clip::new(Video::H264BFrames, Audio::Aac).publish(&server.rtmp("live/test/in"));
    let state = server.wait_ready("live/test/in", Duration::from_secs(10));
    assert_eq!(state.tracks(), ["H264", "MPEG-4 Audio"]);
    for url in [server.rtsp("live/test/in"), server.rtmp("live/test/in")] {
        let packets = Reader::start(&url).collect(Kind::Video, 50, Duration::from_secs(10));
        let distinct: HashSet<_> = packets.iter().map(|packet| &packet.hash).collect();
        assert_eq!(
            distinct.len(),
            packets.len(),
            "every payload of the clip is unique"
        );
        assert!(packets.iter().any(|packet| packet.kind == Kind::Audio));
    }
}

#[test]
fn nginx_takes_a_stream_and_gives_it_back() {
    let nginx = Nginx::start();
    let _publisher = Clip::h264_aac().publish(&nginx.rtmp("test"));
    waiting::wait_until("the publisher", Duration::from_secs(10), || {
        nginx.has_publisher("test")
    });
    Reader::start(&nginx.rtmp("test")).collect(Kind::Video, 25, Duration::from_secs(10));
}

#[test]
fn gstreamer_serves_a_clip() {
    let server = GstRtspServer::start(Clip::h264_aac());
    let packets = Reader::start(&server.rtsp()).collect(Kind::Video, 50, Duration::from_secs(10));
    assert!(packets.iter().any(|packet| packet.kind == Kind::Audio));
}

#[test]
fn a_frozen_proxy_lets_nothing_pass_until_it_thaws() {
    let server = MediaMtx::start(Config::default());
    let _publisher = Clip::h264_aac().publish(&server.rtsp("live/test/in"));
    server.wait_ready("live/test/in", Duration::from_secs(10));
    let proxy = FaultProxy::start(server.ports.rtsp);
    let reader = Reader::start(&format!("rtsp://127.0.0.1:{}/live/test/in", proxy.port()));
    reader.collect(Kind::Video, 25, Duration::from_secs(10));
    proxy.set(Mode::Freeze);
    std::thread::sleep(Duration::from_millis(300));
    let before = reader.packets().len();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(reader.packets().len(), before);
    proxy.set(Mode::Pass);
    reader.collect(Kind::Video, before + 10, Duration::from_secs(10));
}
