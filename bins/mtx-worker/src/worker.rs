//! The middle of the worker: the source on one side, the outputs on the other, a queue before each of them.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use crate::config::Config;
use crate::failures::Failures;
use crate::media::Item;
use crate::output::{Output, told};
use crate::reconnect::Reconnect;
use crate::rtmp::url::RtmpUrl;
use crate::sink::SinkError;
use crate::source::{RtspSource, Session, SourceError, SourceItem};
use crate::state::{Link, Side, State, Status};
use crate::stats::Report;
use crate::time::Splice;

/// Why a worker ended.
enum Ending<'a> {
    /// It was told to.
    Told,
    /// The source was lost, and none of the retries brought it back.
    SourceLost(SourceError),
    /// Likewise the last output that was left.
    SinkLost(&'a Output, SinkError),
}

impl Ending<'_> {
    /// Whether that is how a worker should end which did, or did not, get to stream.
    fn is_good(&self, streamed: bool) -> bool {
        match self {
            Self::Told => true,
            Self::SourceLost(_) => streamed,
            Self::SinkLost(..) => false,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Told => "told to end".to_owned(),
            Self::SourceLost(error) => format!("the input is gone: {error}"),
            Self::SinkLost(output, error) if error.is_taken() => {
                format!("{} is taken: {error}", output.url)
            }
            Self::SinkLost(output, error) if output.url.lacks_key() => format!(
                "the output {} is gone: {error} (its URL has no stream key, and RTMP_STREAM_KEY is not set)",
                output.url
            ),
            Self::SinkLost(output, error) => format!("the output {} is gone: {error}", output.url),
        }
    }
}

/// One stream's worker.
pub(crate) struct Worker {
    config: Config,
    source: RtspSource,
    outputs: Vec<Output>,
    status: Status,
    input_failures: Failures,
    /// Breaks in the source's time stamps.
    discontinuities: Cell<u64>,
}

impl Worker {
    /// Fails if an output's TLS can't be set up.
    pub(crate) fn new(config: Config, outputs: Vec<RtmpUrl>) -> Result<Self> {
        let epoch = Instant::now();
        let of = outputs.len();
        let outputs = outputs.into_iter().enumerate().map(|(number, url)| {
            let published_at = config.published_at(&url);
            let failures = config.failures(&url);
            Output::new(url, (number, of), published_at, failures, epoch)
        });
        Ok(Self {
            source: RtspSource::new(&config, epoch)?,
            outputs: outputs.collect::<Result<_>>()?,
            status: Status::new(of),
            input_failures: config.input_failures("stream"),
            discontinuities: Cell::default(),
            config,
        })
    }

    /// From where to where, without secrets.
    pub(crate) fn plan(&self) -> String {
        let outputs = self.outputs.iter().map(|output| output.url.to_string());
        let outputs: Vec<_> = outputs.collect();
        format!("{} goes to {}", self.config.input, outputs.join(", "))
    }

    /// Passes the stream through until it ends; returns whether all was well.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) -> bool {
        let ending = tokio::select! {
            ending = self.pass(stop.clone()) => ending,
            never = self.report_stats() => match never {},
        };
        self.source.close().await;
        self.log_stats(State::Ended);
        let streamed = self
            .outputs
            .iter()
            .any(|output| output.stats.has_streamed());
        let good = ending.is_good(streamed);
        let level = if good {
            log::Level::Info
        } else {
            log::Level::Error
        };
        log::log!(level, state:% = State::Ended, reason = ending.reason().as_str(); "ended");
        let wait = async {
            match ending {
                Ending::SinkLost(output, _) => tokio::time::sleep(output.failures.add()).await,
                Ending::SourceLost(_) if !streamed => self.input_failures.hold_back().await,
                _ if streamed => self.input_failures.clear(),
                _ => {}
            }
        };
        tokio::select! {
            biased;
            () = told(&mut stop), if !good => true,
            () = wait => good,
        }
    }

    /// Until the first output may be tried again that failed when this worker was started last.
    async fn wait_after_failures(&self) {
        let waits = self.outputs.iter();
        let waits = waits.map(|output| (output.failures.remaining(), output));
        let Some((wait, output)) = waits.min_by_key(|(wait, _)| *wait) else {
            return;
        };
        if !wait.is_zero() {
            let shown = mediamtx::duration::format(Duration::from_secs(wait.as_secs() + 1));
            log::warn!(delay = shown.as_str(), failures = output.failures.count(); "the output {} failed before, tried again in {shown}", output.url);
            output.failures.wait().await;
        }
    }

    async fn pass(&self, mut stop: watch::Receiver<bool>) -> Ending<'_> {
        tokio::select! {
            () = self.wait_after_failures() => {}
            () = told(&mut stop) => return Ending::Told,
        }
        // Nothing is read for outputs which all belong to somebody else.
        let claims = self.outputs.iter().map(async |output| {
            let claimed = output.claim(&self.source).await;
            claimed.map_err(|error| (output, error))
        });
        let claimed = tokio::select! {
            claimed = join_all(claims) => claimed,
            () = told(&mut stop) => return Ending::Told,
        };
        let mut failed: Vec<_> = claimed.into_iter().filter_map(Result::err).collect();
        if failed.len() == self.outputs.len()
            && let Some((output, error)) = failed.pop()
        {
            for (other, _) in failed {
                other.failures.add();
            }
            // That one is counted like any output that is the last to be lost.
            return Ending::SinkLost(output, error);
        }
        // Once the source is gone, the outputs are told to close like by a signal.
        let (close, closing) = watch::channel(false);
        let read = async {
            let ending = tokio::select! {
                error = self.read() => Ending::SourceLost(error),
                () = told(&mut stop) => Ending::Told,
            };
            // Fails if the outputs are gone too, which is as good.
            let _ = close.send(true);
            ending
        };
        let write = self.write(closing);
        tokio::pin!(read, write);
        tokio::select! {
            ending = &mut read => {
                write.await;
                ending
            }
            lost = &mut write => lost.map_or(Ending::Told, |(output, error)| Ending::SinkLost(output, error)),
        }
    }

    /// Feeds the queues from the source, over all its sessions.
    async fn read(&self) -> SourceError {
        let mut splice = Splice::default();
        let mut reconnect = Reconnect::new("input".to_owned(), self.config.retry.clone());
        loop {
            splice.start();
            let error = match self.source.open().await {
                Ok(session) => self.pump(session, &mut splice, &mut reconnect).await,
                Err(error) => error,
            };
            let Some(delay) = reconnect.lost(&error.to_string()) else {
                return error;
            };
            self.status.set(Side::Source, Link::Waiting);
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
                        self.status.set(Side::Source, Link::Up);
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
            for output in &self.outputs {
                output.queue.push(item.clone());
            }
        }
    }

    /// Feeds the outputs until the last of them is lost, or all were told to close.
    async fn write(&self, closing: watch::Receiver<bool>) -> Option<(&Output, SinkError)> {
        let keep = |output| {
            Output::keep(
                output,
                &self.source,
                &self.config.retry,
                &self.status,
                closing.clone(),
            )
        };
        let mut outputs: FuturesUnordered<_> = self.outputs.iter().map(keep).collect();
        while let Some(lost) = outputs.next().await {
            if lost.is_some() {
                return lost;
            }
        }
        None
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
        let now = Instant::now();
        let reports = self.outputs.iter().map(|output| output.stats.report(now));
        let report = reports.reduce(Report::furthest).unwrap_or_default();
        let dropped: u64 = self
            .outputs
            .iter()
            .map(|output| output.queue.dropped())
            .sum();
        let lost = self.source.losses();
        log::info!(
            state:% = state, frames = report.frames, videoFrames = report.video_frames, bytes = report.bytes,
            bitrate = report.bitrate, dropped = dropped,
            discontinuities = self.discontinuities.get(), lost = lost.packets, damaged = lost.units,
            reconnects = self.status.reconnects(),
            latencyMs = report.latency_ms, latencyMaxMs = report.latency_max_ms,
            outputs = self.outputs.len(), outputsUp = self.status.outputs_up();
            "stats"
        );
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mediamtx::hook::HookEnvironment;

    use super::*;
    use crate::cli::Cli;
    use crate::config::Destination;
    use crate::lock::OutputLock;

    #[tokio::test(start_paused = true)]
    async fn every_output_that_is_taken_counts_as_failed() {
        let place = format!("rtmp://127.0.0.1:1/worker-test-{}", std::process::id());
        let outputs = format!("{place}/a {place}/b");
        let args = ["mtx-worker", "--input", "rtsp://127.0.0.1:1/x", "--output"];
        let cli = Cli::parse_from([&args[..], &[outputs.as_str()]].concat());
        let task = Config::new(cli, &HookEnvironment::default(), |_| None, &mut Vec::new());
        let Ok((config, Destination::Outputs(outputs))) = task else {
            panic!("{task:?}");
        };
        let mut locks = Vec::new();
        for output in &outputs {
            locks.push(OutputLock::take(output).await.unwrap().unwrap());
        }
        let worker = Worker::new(config, outputs).unwrap();
        let (_stop, stopped) = watch::channel(false);
        assert!(matches!(worker.pass(stopped).await, Ending::SinkLost(..)));
        let counts = worker.outputs.iter().map(|output| output.failures.count());
        assert_eq!(counts.collect::<Vec<_>>(), [1, 0]);
    }
}
