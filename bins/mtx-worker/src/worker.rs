//! The middle of the worker: the source on one side, the sink on the other, a queue between them.

use std::convert::Infallible;
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::sync::watch;

use crate::config::Config;
use crate::lock::{OutputLock, wait_for};
use crate::media::{AccessUnit, Item};
use crate::reconnect::Reconnect;
use crate::sink::{Queue, RtmpSink, SinkError};
use crate::source::{RtspSource, Session, SourceClock, SourceError};
use crate::state::{Link, Side, State, Status};
use crate::stats::Stats;

/// Why a worker ended.
#[derive(Debug)]
enum Ending {
    /// It was told to.
    Told,
    /// The source was lost, and none of the retries brought it back.
    SourceLost(SourceError),
    /// Likewise the output.
    SinkLost(SinkError),
    /// Somebody else publishes to the output.
    Taken,
}

impl Ending {
    /// Whether that is how a worker should end which did, or did not, get to stream.
    fn is_good(&self, streamed: bool) -> bool {
        match self {
            Self::Told => true,
            Self::SourceLost(_) => streamed,
            Self::SinkLost(_) | Self::Taken => false,
        }
    }
}

/// One stream's worker.
pub(crate) struct Worker {
    config: Config,
    source: RtspSource,
    queue: Queue,
    stats: Stats,
    status: Status,
}

impl Worker {
    pub(crate) fn new(config: Config) -> Self {
        let epoch = Instant::now();
        Self {
            source: RtspSource::new(config.input.clone(), config.transport, epoch),
            config,
            queue: Queue::default(),
            stats: Stats::new(epoch),
            status: Status::default(),
        }
    }

    /// Passes the stream through until it ends; returns whether all was well.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) -> Result<bool> {
        let ending = tokio::select! {
            ending = self.pass(stop.clone()) => ending?,
            never = self.report_stats() => match never {},
        };
        self.source.close().await;
        self.log_stats(State::Ended);
        let reason = match &ending {
            Ending::Told => "told to end".to_owned(),
            Ending::SourceLost(error) => format!("the input is gone: {error}"),
            Ending::SinkLost(error) if error.is_taken() => {
                format!("{} is taken: {error}", self.config.output)
            }
            Ending::SinkLost(error) => format!("the output is gone: {error}"),
            Ending::Taken => format!(
                "{} is taken: somebody publishes there already",
                self.config.output
            ),
        };
        let good = ending.is_good(self.stats.has_streamed());
        let level = if good {
            log::Level::Info
        } else {
            log::Level::Error
        };
        log::log!(level, state:% = State::Ended, reason = reason.as_str(); "ended");
        Ok(good)
    }

    async fn pass(&self, mut stop: watch::Receiver<bool>) -> Result<Ending> {
        let sink = RtmpSink::new(self.config.output.clone())?;
        let ready = async {
            let lock = OutputLock::take(&self.config.output)
                .await
                .context("can't make sure that no other worker has this output")?;
            anyhow::Ok(if self.is_free().await { lock } else { None })
        };
        let lock = tokio::select! {
            lock = ready => lock?,
            () = told(&mut stop) => return Ok(Ending::Told),
        };
        if lock.is_none() {
            return Ok(Ending::Taken);
        }
        // Once the source is gone, the output is told to close like by a signal.
        let (close, closing) = watch::channel(false);
        let read = async {
            let ending = tokio::select! {
                error = self.read() => Ending::SourceLost(error),
                () = told(&mut stop) => Ending::Told,
            };
            // Fails if the output is gone too, which is as good.
            let _ = close.send(true);
            ending
        };
        let write = self.write(&sink, closing);
        tokio::pin!(read, write);
        Ok(tokio::select! {
            ending = &mut read => {
                write.await;
                ending
            }
            lost = &mut write => lost.map_or(Ending::Told, Ending::SinkLost),
        })
    }

    /// Whether nobody publishes to the output, as far as its server can be asked.
    async fn is_free(&self) -> bool {
        let Some(url) = self.config.published_at() else {
            return true;
        };
        let free =
            wait_for(async || Ok((!self.source.is_published(&url).await).then_some(()))).await;
        matches!(free, Ok(Some(())))
    }

    /// Feeds the queue from the source, over all its sessions.
    async fn read(&self) -> SourceError {
        let mut clock = SourceClock::default();
        let mut reconnect = Reconnect::new(Side::Source, self.config.retry.clone());
        loop {
            let error = match self.source.open(&mut clock).await {
                Ok(session) => self.pump(session, &mut clock, &mut reconnect).await,
                Err(error) => error,
            };
            self.status.set(Side::Source, Link::Waiting);
            let Some(delay) = reconnect.lost(&error.to_string()) else {
                return error;
            };
            tokio::time::sleep(delay).await;
        }
    }

    async fn pump(
        &self,
        mut session: Session,
        clock: &mut SourceClock,
        reconnect: &mut Reconnect,
    ) -> SourceError {
        for codec in session.left_out() {
            log::warn!(codec = codec.as_str(); "track left out: {codec} can't be passed on, or is a second track of its kind");
        }
        loop {
            match session.next(clock).await {
                Ok(item) => {
                    if let Item::Unit(_) = item {
                        reconnect.media(Instant::now());
                        self.status.set(Side::Source, Link::Up);
                    }
                    self.queue.push(item);
                }
                Err(error) => return error,
            }
        }
    }

    /// Feeds the output from the queue, over all its connections. `None` when it was told to close.
    async fn write(
        &self,
        sink: &RtmpSink,
        mut closing: watch::Receiver<bool>,
    ) -> Option<SinkError> {
        let mut reconnect = Reconnect::new(Side::Sink, self.config.retry.clone());
        tokio::select! {
            // Nothing is published before there is something to publish.
            () = self.queue.described() => {}
            () = told(&mut closing) => return None,
        }
        loop {
            let error = self.publish(sink, &mut closing, &mut reconnect).await?;
            if error.is_taken() {
                return Some(error);
            }
            if self.status.is_waiting(Side::Source) {
                // Without media a server may well close; that is no failure of the output.
                log::info!(reason:% = error; "output closed while the input is away, opened again with the next media");
                self.queue.restart();
                tokio::select! {
                    () = self.queue.has_media() => continue,
                    () = told(&mut closing) => return None,
                }
            }
            self.status.set(Side::Sink, Link::Waiting);
            let Some(delay) = reconnect.lost(&error.to_string()) else {
                return Some(error);
            };
            self.queue.restart();
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = told(&mut closing) => return None,
            }
        }
    }

    /// Publishes until the output is lost. `None` when it was told to close, and did.
    async fn publish(
        &self,
        sink: &RtmpSink,
        closing: &mut watch::Receiver<bool>,
        reconnect: &mut Reconnect,
    ) -> Option<SinkError> {
        loop {
            let opened = tokio::select! {
                opened = sink.open() => opened,
                () = told(closing) => return None,
            };
            let mut stream = match opened {
                Ok(stream) => stream,
                Err(error) => return Some(error),
            };
            let sent = |unit: &AccessUnit| {
                self.stats.sent(unit);
                reconnect.media(Instant::now());
                self.status.set(Side::Sink, Link::Up);
            };
            let result = tokio::select! {
                result = stream.run(&self.queue, sent) => result,
                () = told(closing) => {
                    stream.close().await;
                    return None;
                }
            };
            match result {
                Ok(tracks) => {
                    log::info!("the input's codecs changed, publishing anew");
                    stream.close().await;
                    self.queue.put_back(tracks);
                }
                Err(error) => return Some(error),
            }
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
        let report = self.stats.report(Instant::now());
        log::info!(
            state:% = state, frames = report.frames, videoFrames = report.video_frames, bytes = report.bytes,
            bitrate = report.bitrate, dropped = self.queue.dropped(), reconnects = self.status.reconnects(),
            latencyMs = report.latency_ms, latencyMaxMs = report.latency_max_ms;
            "stats"
        );
    }
}

/// Waits until the other side says so; also when it is gone.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|told| *told).await;
}
