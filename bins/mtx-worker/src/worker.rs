//! A worker's life: the source feeds the hub, over all its sessions, until one of both is lost.

use std::cell::Cell;
use std::convert::Infallible;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use tokio::sync::watch;

use crate::config::Config;
use crate::control::{Channel, Outputs, inherited_socket};
use crate::failures::Failures;
use crate::hub::{Hub, LastLost, OutputSpec};
use crate::media::Item;
use crate::reconnect::Reconnect;
use crate::rtmp::url::RtmpUrl;
use crate::source::{RtspSource, Session, SourceError, SourceItem};
use crate::state::{Link, State, Status};
use crate::stop::requested;
use crate::time::Splice;

/// Why a worker ended.
enum Ending {
    /// It was told to.
    Told,
    /// The source was lost, and none of the retries brought it back.
    SourceLost(SourceError),
    /// Likewise the last output that was left.
    OutputLost(LastLost),
    /// No output is left, and the control channel is closed.
    NoOutput,
}

impl Ending {
    /// Whether that is how a worker should end which did, or did not, get to stream.
    fn is_good(&self, streamed: bool) -> bool {
        match self {
            Self::Told => true,
            Self::SourceLost(_) | Self::NoOutput => streamed,
            Self::OutputLost(_) => false,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Told => "told to end".to_owned(),
            Self::SourceLost(error) => format!("the input is gone: {error}"),
            Self::NoOutput => "there is no output, and the control channel is closed".to_owned(),
            Self::OutputLost(LastLost { output, error }) if error.is_taken() => {
                format!("{} is taken: {error}", output.url)
            }
            Self::OutputLost(LastLost { output, error }) if output.url.lacks_key() => format!(
                "the output {} is gone: {error} (its URL has no stream key, and RTMP_STREAM_KEY is not set)",
                output.url
            ),
            Self::OutputLost(LastLost { output, error }) => {
                format!("the output {} is gone: {error}", output.url)
            }
        }
    }
}

/// One stream's worker.
pub(crate) struct Worker {
    config: Config,
    source: Rc<RtspSource>,
    /// Those of the start.
    outputs: Vec<OutputSpec>,
    hub: Hub,
    control: Option<UnixStream>,
    status: Rc<Status>,
    input_failures: Failures,
    /// Breaks in the source's time stamps.
    discontinuities: Cell<u64>,
}

impl Worker {
    /// Fails if the TLS of the input or of an output can't be set up, or the control channel is none.
    pub(crate) fn new(config: Config, outputs: Vec<RtmpUrl>) -> Result<Self> {
        let epoch = Instant::now();
        let control = config.control_fd.map(inherited_socket).transpose()?;
        let outputs = outputs
            .into_iter()
            .zip(1..)
            .map(|(url, number)| OutputSpec::new(&config, number.to_string(), url));
        let outputs = outputs.collect::<Result<_>>()?;
        let source = Rc::new(RtspSource::new(&config, epoch)?);
        let status = Rc::new(Status::new());
        Ok(Self {
            hub: Hub::new(
                &config,
                control.is_some(),
                Rc::clone(&source),
                Rc::clone(&status),
                epoch,
            ),
            control,
            source,
            outputs,
            status,
            input_failures: config.input_failures("stream"),
            discontinuities: Cell::default(),
            config,
        })
    }

    /// From where to where, without secrets.
    pub(crate) fn plan(&self) -> String {
        let outputs = self.outputs.iter().map(|output| output.url().to_string());
        let mut outputs: Vec<_> = outputs.collect();
        if self.control.is_some() {
            outputs.push("what the control channel names".to_owned());
        }
        format!("{} goes to {}", self.config.input, outputs.join(", "))
    }

    /// Passes the stream through until it ends; returns whether all was well. To be run in a `LocalSet`.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> bool {
        let outputs = std::mem::take(&mut self.outputs);
        self.hub.apply(outputs);
        let mut control = self.control.take().and_then(open_channel);
        let ending = tokio::select! {
            ending = self.pass(&mut stop, control.as_mut()) => ending,
            never = self.report_stats() => match never {},
        };
        if let Some(control) = control {
            control.finish(&self.status).await;
        }
        self.source.close().await;
        self.log_stats(State::Ended);
        let streamed = self.hub.has_streamed();
        let good = ending.is_good(streamed);
        let level = if good {
            log::Level::Info
        } else {
            log::Level::Error
        };
        log::log!(level, state:% = State::Ended, reason = ending.reason().as_str(); "ended");
        let wait = async {
            match ending {
                Ending::OutputLost(lost) => tokio::time::sleep(lost.output.failures.add()).await,
                Ending::SourceLost(_) if !streamed => self.input_failures.hold_back().await,
                _ if streamed => self.input_failures.clear(),
                _ => {}
            }
        };
        tokio::select! {
            biased;
            () = requested(&mut stop), if !good => true,
            () = wait => good,
        }
    }

    /// Until the source or the last output is lost, or the worker is told to end; the outputs have closed then.
    async fn pass(
        &self,
        stop: &mut watch::Receiver<bool>,
        control: Option<&mut Channel>,
    ) -> Ending {
        let ending = tokio::select! {
            error = self.read() => Ending::SourceLost(error),
            lost = self.hub.last_lost() => Ending::OutputLost(lost),
            () = self.steer(control) => Ending::NoOutput,
            () = requested(stop) => Ending::Told,
        };
        self.hub.close().await;
        ending
    }

    /// Changes the outputs as the control channel wants it. Comes back if it is closed while there is none.
    async fn steer(&self, control: Option<&mut Channel>) {
        if let Some(control) = control {
            let served = control.serve(&self.status, |outputs| self.apply(outputs));
            match served.await {
                Ok(()) => log::info!("the control channel is closed, the outputs stay as they are"),
                Err(error) => {
                    log::warn!(reason:% = error; "the control channel broke, the outputs stay as they are");
                }
            }
        }
        if self.hub.len() > 0 {
            std::future::pending().await
        }
    }

    /// All of them, or none if one is wrong.
    fn apply(&self, outputs: &Outputs) -> Result<()> {
        let urls = outputs.values().map(|output| output.url.as_str());
        let urls = self.config.outputs(urls)?;
        let specs = outputs.iter().zip(urls).map(|((id, output), mut url)| {
            url.via.clone_from(&output.via);
            OutputSpec::new(&self.config, id.clone(), url)
        });
        self.hub.apply(specs.collect::<Result<_>>()?);
        Ok(())
    }

    /// Feeds the hub from the source, over all its sessions. Nothing is read before an output is this worker's.
    async fn read(&self) -> SourceError {
        self.hub.claimed().await;
        let mut splice = Splice::default();
        let mut reconnect = Reconnect::new("input".to_owned(), self.config.retry.clone());
        loop {
            splice.start();
            let error = match self.source.open().await {
                Ok(session) => self.pump(session, &mut splice, &mut reconnect).await,
                Err(error) => error,
            };
            self.hub.source_lost();
            let Some(delay) = reconnect.lost(&error.to_string()) else {
                return error;
            };
            self.status.set_source(Link::Waiting);
            tokio::time::sleep(delay).await;
        }
    }

    async fn pump(
        &self,
        mut session: Session,
        splice: &mut Splice,
        reconnect: &mut Reconnect,
    ) -> SourceError {
        for codec in session.left_out() {
            log::warn!(codec = codec.as_str(); "track left out: {codec}");
        }
        let mut has_video = false;
        loop {
            let item = match session.next().await {
                Ok(SourceItem::Tracks(tracks)) => {
                    has_video = tracks.videos().next().is_some();
                    Item::Tracks(tracks)
                }
                Ok(SourceItem::Unit(mut unit)) => {
                    (unit.pts, unit.dts) = splice.place(unit.track, unit.pts, unit.dts);
                    // Sound alone is not what a stream with video is there for.
                    if unit.is_video() || !has_video {
                        reconnect.media(Instant::now());
                        self.status.set_source(Link::Up);
                    }
                    Item::Unit(unit)
                }
                Ok(SourceItem::Discontinuity(discontinuity)) => {
                    splice.start();
                    self.discontinuities.set(self.discontinuities.get() + 1);
                    log::warn!(track:% = discontinuity.track; "{discontinuity}");
                    continue;
                }
                Err(error) => return error,
            };
            self.hub.push(&item);
        }
    }

    async fn report_stats(&self) -> Infallible {
        loop {
            match self.config.stats_interval {
                Some(interval) => tokio::time::sleep(interval).await,
                None => std::future::pending().await,
            }
            self.log_stats(self.status.state());
        }
    }

    fn log_stats(&self, state: State) {
        let report = self.hub.report();
        let totals = report.totals;
        let lost = self.source.losses();
        log::info!(
            state:% = state, frames = totals.frames, videoFrames = totals.video_frames, bytes = totals.bytes,
            bitrate = report.bitrate, dropped = self.hub.dropped(),
            discontinuities = self.discontinuities.get(), lost = lost.packets, damaged = lost.units,
            reconnects = self.status.reconnects(),
            latencyMs = report.latency_ms, latencyMaxMs = report.latency_max_ms,
            outputs = self.hub.len(), outputsUp = self.status.outputs_up();
            "stats"
        );
    }
}

/// Without one the worker goes on, with the outputs of the start.
fn open_channel(socket: UnixStream) -> Option<Channel> {
    let opened = Channel::new(socket);
    opened
        .inspect_err(|error| log::error!(reason:% = error; "the control channel can't be used"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use clap::Parser;
    use mediamtx::hook::HookEnvironment;
    use mediamtx::via::Via;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;
    use crate::cli::Cli;
    use crate::config::Destination;
    use crate::control::WantedOutput;
    use crate::lock::OutputLock;
    use crate::media::{AccessUnit, EntryPoint, Medium, TrackId};
    use crate::rtmp::amf0::{self, Value};
    use crate::state::OutputKey;

    fn task(output: &str, env: impl Fn(&str) -> Option<&'static str>) -> (Config, Vec<RtmpUrl>) {
        let input = "rtsp://127.0.0.1:1/x";
        let cli = Cli::parse_from(["mtx-worker", "--input", input, "--output", output]);
        let env = |name: &str| env(name).map(str::to_owned);
        match Config::new(cli, &HookEnvironment::default(), env, &mut Vec::new()) {
            Ok((config, Destination::Outputs(outputs))) => (config, outputs),
            other => panic!("{other:?}"),
        }
    }

    fn wanted(url: &str) -> WantedOutput {
        WantedOutput {
            url: url.to_owned(),
            via: Via::default(),
        }
    }

    #[tokio::test]
    async fn what_only_the_options_know_of_an_output_does_not_make_it_another_one() {
        let with_marks = |name: &str| (name == "MTX_WORKER_VIA").then_some("00000000000000aa");
        let with_key = |name: &str| (name == "RTMP_STREAM_KEY").then_some("k3y");
        for (given, (config, outputs)) in [
            ("rtmp://h/live/k3y", task("rtmp://h/live/k3y", with_marks)),
            (
                "rtmp://127.0.0.1/live/k3y",
                task("rtmp://127.0.0.1/live", with_key),
            ),
        ] {
            let mut worker = Worker::new(config, outputs).unwrap();
            let kept = ("1".to_owned(), wanted(given));
            let new = ("2".to_owned(), wanted("rtmp://h/live/other"));
            let run = async {
                worker.hub.apply(std::mem::take(&mut worker.outputs));
                let before = worker.hub.outputs();
                worker.apply(&Outputs::from([kept, new])).unwrap();
                let after = worker.hub.outputs();
                assert_eq!(after.len(), 2);
                assert!(Rc::ptr_eq(&before[0], &after[0]), "{given}");
            };
            LocalSet::new().run_until(run).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_output_that_is_taken_counts_as_failed() {
        let place = format!("rtmp://127.0.0.1:1/worker-test-{}", std::process::id());
        let (config, outputs) = task(&format!("{place}/a {place}/b"), |_| None);
        let mut locks = Vec::new();
        for output in &outputs {
            locks.push(OutputLock::take(output).await.unwrap().unwrap());
        }
        let mut worker = Worker::new(config, outputs).unwrap();
        let (_stop, mut stopped) = watch::channel(false);
        let pass = async {
            worker.hub.apply(std::mem::take(&mut worker.outputs));
            worker.pass(&mut stopped, None).await
        };
        let ending = LocalSet::new().run_until(pass).await;
        assert!(matches!(ending, Ending::OutputLost(_)));
        let counts = worker.hub.outputs();
        let counts = counts.iter().map(|output| output.failures.count());
        assert_eq!(counts.collect::<Vec<_>>(), [1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_output_is_tried_at_once_when_the_last_other_one_is_removed() {
        let taken = format!("rtmp://127.0.0.1:1/worker-test-{}/lost", std::process::id());
        let (config, outputs) = task(&format!("{taken} {taken}-not"), |_| None);
        let _lock = OutputLock::take(&outputs[0]).await.unwrap().unwrap();
        let mut worker = Worker::new(config, outputs).unwrap();
        let run = async {
            worker.hub.apply(std::mem::take(&mut worker.outputs));
            let lost = worker.hub.outputs()[0].clone();
            while lost.failures.count() == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let removed = tokio::time::Instant::now();
            let left = ("1".to_owned(), wanted(&taken));
            worker.apply(&Outputs::from([left])).unwrap();
            worker.hub.last_lost().await;
            removed.elapsed()
        };
        let took = LocalSet::new().run_until(run).await;
        assert!(took < Duration::from_secs(20), "{took:?}");
    }

    fn sound() -> Item {
        Item::Unit(AccessUnit {
            track: TrackId::first(Medium::Audio),
            pts: 0,
            dts: 0,
            entry: EntryPoint::Closed,
            data: vec![0; 10].into(),
            arrival: 0,
        })
    }

    #[tokio::test]
    async fn an_output_that_refuses_is_not_asked_for_each_piece_of_sound_while_the_input_is_away() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (config, outputs) = task(&format!("rtmp://127.0.0.1:{port}/refused"), |_| None);
        let mut worker = Worker::new(config, outputs).unwrap();
        let mut asked = 0;
        let run = async {
            worker.hub.apply(std::mem::take(&mut worker.outputs));
            worker.hub.push(&Item::Tracks(Arc::default()));
            worker.status.set_source(Link::Waiting);
            let sound = async {
                for _ in 0..40 {
                    worker.hub.push(&sound());
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let refuse = async {
                loop {
                    drop(server.accept().await);
                    asked += 1;
                }
            };
            tokio::select! {
                () = sound => {}
                () = refuse => {}
            }
        };
        LocalSet::new().run_until(run).await;
        assert!((1..=2).contains(&asked), "asked {asked} times");
    }

    /// What a server answers that accepts a stream: the handshake, then the results of `connect`, `createStream` and `publish`.
    fn acceptance() -> Vec<u8> {
        let code = ("code".to_owned(), Value::string("NetStream.Publish.Start"));
        let result = || Value::string("_result");
        let commands = [
            [result(), Value::Number(1.0), Value::Null, Value::Null],
            [
                result(),
                Value::Number(4.0),
                Value::Null,
                Value::Number(1.0),
            ],
            [
                Value::string("onStatus"),
                Value::Number(0.0),
                Value::Null,
                Value::Object(vec![code]),
            ],
        ];
        let mut bytes = vec![3; 1 + 2 * 1536];
        for command in commands {
            let body = amf0::encode(&command);
            bytes.extend([3, 0, 0, 0, 0, 0, body.len() as u8, 20, 0, 0, 0, 0]);
            bytes.extend(body);
        }
        bytes
    }

    #[tokio::test]
    async fn an_output_that_closed_while_the_input_was_away_is_not_streaming_when_it_is_back() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (config, outputs) = task(&format!("rtmp://127.0.0.1:{port}/closed"), |_| None);
        let mut worker = Worker::new(config, outputs).unwrap();
        let run = async {
            worker.hub.apply(std::mem::take(&mut worker.outputs));
            worker.hub.push(&Item::Tracks(Arc::default()));
            let (mut publisher, _) = server.accept().await.unwrap();
            publisher.write_all(&acceptance()).await.unwrap();
            let (mut read, metadata) = (Vec::new(), b"onMetaData");
            while !read.windows(metadata.len()).any(|part| part == metadata) {
                assert!(publisher.read_buf(&mut read).await.unwrap() > 0);
            }
            worker.status.set_source(Link::Up);
            worker.status.set_output(OutputKey(0), Link::Up);
            worker.status.set_source(Link::Waiting);
            drop(publisher);
            while worker.status.outputs_up() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            worker.status.set_source(Link::Up);
            assert_eq!(worker.status.state(), State::Retrying);
            let before = worker.status.reconnects();
            worker.status.set_output(OutputKey(0), Link::Up);
            assert_eq!(worker.status.reconnects(), before + 1);
        };
        let run = timeout(Duration::from_secs(10), run);
        LocalSet::new().run_until(run).await.unwrap();
    }
}
