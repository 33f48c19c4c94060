//! One output: what the hub knows of it, and the task that feeds its server.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use common::duration::format;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::claim::Claim;
use super::video_watch::VideoWatch;
use super::{LastLost, Shared};
use crate::config::Config;
use crate::failures::Failures;
use crate::media::AccessUnit;
use crate::reconnect::Reconnect;
use crate::rtmp::url::RtmpUrl;
use crate::sink::{Queue, RtmpSink, SinkError};
use crate::state::{Link, OutputKey};
use crate::stats::Stats;
use crate::stop::requested;

/// An output that has used up its retries while others go on is left alone for this long.
const PAUSE: Duration = Duration::from_secs(30);

/// How long an output may take to send what is queued when it has to close.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(400);

/// An output as it is wanted.
pub(crate) struct OutputSpec {
    /// Whoever wants it tells it from others by this.
    id: String,
    url: RtmpUrl,
    claim: Claim,
    failures: Failures,
    sink: RtmpSink,
}

impl OutputSpec {
    /// Fails if its TLS can't be set up.
    pub(crate) fn new(config: &Config, id: String, url: RtmpUrl) -> Result<Self> {
        Ok(Self {
            claim: Claim::new(url.clone(), config.published_at(&url)),
            failures: config.failures(&url),
            sink: RtmpSink::new(url.clone())?,
            id,
            url,
        })
    }

    pub(crate) fn url(&self) -> &RtmpUrl {
        &self.url
    }
}

/// What the hub knows of an output.
pub(crate) struct Output {
    pub(super) key: OutputKey,
    pub(super) id: String,
    pub(crate) url: RtmpUrl,
    /// How the log calls it.
    name: String,
    pub(super) queue: Rc<Queue>,
    pub(super) stats: Stats,
    pub(crate) failures: Failures,
    close: watch::Sender<bool>,
    /// Ends the pause of an output that was given up.
    pause_ends: Notify,
}

impl Output {
    /// Whether this is what is wanted.
    pub(super) fn is(&self, spec: &OutputSpec) -> bool {
        self.id == spec.id && self.url.is_same_stream(&spec.url)
    }

    /// Has its task try again at once, if it pauses after its retries.
    pub(super) fn end_pause(&self) {
        self.pause_ends.notify_waiters();
    }

    /// Has its task send what is queued, and end.
    pub(super) fn close(&self) {
        self.queue.close();
        self.close.send_replace(true);
    }
}

/// A connection that broke, or could not be opened.
struct LostConnection {
    error: SinkError,
    /// Whether it was opened while the input was there.
    had_input: bool,
}

/// Feeds an output from its queue, over all its connections.
pub(super) struct OutputTask {
    output: Rc<Output>,
    claim: Claim,
    sink: RtmpSink,
    shared: Rc<Shared>,
    closing: watch::Receiver<bool>,
}

impl OutputTask {
    /// The task of an output of this name, and what the hub keeps of it.
    pub(super) fn new(
        spec: OutputSpec,
        (key, name): (OutputKey, String),
        queue: Rc<Queue>,
        stats: Stats,
        shared: Rc<Shared>,
    ) -> (Rc<Output>, Self) {
        let (close, closing) = watch::channel(false);
        let output = Rc::new(Output {
            key,
            id: spec.id,
            url: spec.url,
            name,
            queue,
            stats,
            failures: spec.failures,
            close,
            pause_ends: Notify::new(),
        });
        let task = Self {
            output: Rc::clone(&output),
            claim: spec.claim,
            sink: spec.sink,
            shared,
            closing,
        };
        (output, task)
    }

    /// Until the output has to close, or is lost as the last one that was left.
    pub(super) async fn run(mut self) {
        if self
            .unless_closed(self.wait_after_failures())
            .await
            .is_none()
        {
            return;
        }
        loop {
            let Some(error) = self.publish_in_turn().await else {
                return;
            };
            let (status, output) = (&self.shared.status, &self.output);
            status.set_output_lost(output.key, Link::Lost, &error.to_string());
            if status.is_last_output_lost(output.key) {
                self.shared.lost.set(Some(LastLost {
                    output: Rc::clone(output),
                    error,
                }));
                return self.shared.has_lost.notify_one();
            }
            output.failures.add();
            let pause = PAUSE.max(output.failures.remaining());
            let (name, shown) = (&output.name, format(pause));
            log::error!(reason:% = error; "{name} given up, tried again in {shown}; the others go on");
            self.claim.release();
            let paused = timeout(pause, output.pause_ends.notified());
            if self.unless_closed(paused).await.is_none() {
                return;
            }
            self.output.queue.restart();
        }
    }

    /// If nobody else has the output, publishes until there are no retries left. `None` once it had to close.
    async fn publish_in_turn(&mut self) -> Option<SinkError> {
        let mut closing = self.closing.clone();
        let claimed = tokio::select! {
            claimed = self.claim() => claimed,
            () = requested(&mut closing) => return None,
        };
        match claimed {
            Ok(()) => self.publish_with_retries().await,
            Err(error) => Some(error),
        }
    }

    /// Makes sure that nobody else has the output. The input is opened while the server is asked: an answer may take a
    /// second, and what comes meanwhile waits in the queue.
    async fn claim(&mut self) -> Result<(), SinkError> {
        self.claim.take().await?;
        self.shared.is_claimed.send_replace(true);
        self.claim.ask_server(&self.shared.source).await
    }

    /// Until an output may be tried again that failed when this worker was started last.
    async fn wait_after_failures(&self) {
        let failures = &self.output.failures;
        let wait = failures.remaining();
        if wait.is_zero() {
            return;
        }
        let shown = format(Duration::from_secs(wait.as_secs() + 1));
        log::warn!(delay = shown.as_str(), failures = failures.count(); "the output {} failed before, tried again in {shown}", self.output.url);
        failures.wait().await;
    }

    /// Publishes over all connections of one round of retries.
    async fn publish_with_retries(&mut self) -> Option<SinkError> {
        let (output, status) = (Rc::clone(&self.output), Rc::clone(&self.shared.status));
        let mut reconnect = Reconnect::new(output.name.clone(), self.shared.retry.clone());
        loop {
            let lost = self.publish(&mut reconnect).await?;
            let error = lost.error;
            if error.is_taken() {
                return Some(error);
            }
            if lost.had_input && status.is_source_waiting() {
                // Without media a server may well close; that is no failure of the output.
                log::info!(reason:% = error; "{} closed while the input is away, opened again with the next media", output.name);
                status.set_output_lost(output.key, Link::Waiting, &error.to_string());
                output.queue.restart();
                self.unless_closed(output.queue.has_media()).await?;
                continue;
            }
            let Some(delay) = reconnect.lost(&error.to_string()) else {
                return Some(error);
            };
            status.set_output_lost(output.key, Link::Waiting, &error.to_string());
            output.queue.restart();
            self.unless_closed(sleep(delay)).await?;
        }
    }

    /// Publishes until the connection is lost. `None` once it had to close, and did.
    async fn publish(&self, reconnect: &mut Reconnect) -> Option<LostConnection> {
        let queue = &self.output.queue;
        let lost = |error, had_input| Some(LostConnection { error, had_input });
        loop {
            // Nothing is published before there is something to publish.
            let open = async { self.sink.open(&*queue.tracks().await).await };
            let mut stream = match self.unless_closed(open).await? {
                Ok(stream) => stream,
                Err(error) => return lost(error, false),
            };
            let had_input = !self.shared.status.is_source_waiting();
            let video = stream.carries_video().then(VideoWatch::default);
            let sent = |unit: &AccessUnit, is_taken: bool| {
                self.sent(unit, is_taken, video.as_ref(), reconnect);
            };
            let result = tokio::select! {
                result = stream.run(queue, sent) => result,
                () = self.has_had_time_to_drain() => Ok(None),
                never = self.report_missing_video(video.as_ref()) => match never {},
            };
            match result {
                Ok(Some(tracks)) => {
                    log::info!("the input's tracks changed, publishing anew");
                    stream.close().await;
                    queue.put_back(tracks);
                }
                Ok(None) => {
                    stream.close().await;
                    return None;
                }
                Err(_) if *self.closing.borrow() => return None,
                Err(error) => return lost(error, had_input),
            }
        }
    }

    /// `is_taken`: whether the server is known to take the media. With `video`, the stream carries some, and its sound
    /// alone is not what the output is there for.
    fn sent(
        &self,
        unit: &AccessUnit,
        is_taken: bool,
        video: Option<&VideoWatch>,
        reconnect: &mut Reconnect,
    ) {
        let output = &self.output;
        output.stats.sent(unit);
        if let Some(video) = video {
            if !unit.is_video() {
                return;
            }
            video.sent();
        }
        self.shared.has_streamed.set(true);
        if reconnect.media(Instant::now()) {
            output.failures.clear();
        }
        if is_taken {
            self.shared.status.set_output(output.key, Link::Up);
        }
    }

    /// Says so each time that the server gets sound alone, since the video waits for a key frame for too long.
    async fn report_missing_video(&self, video: Option<&VideoWatch>) -> Infallible {
        let Some(video) = video else {
            return std::future::pending().await;
        };
        let output = &self.output;
        loop {
            let is_awaited =
                || output.queue.awaits_key_frame() && !self.shared.status.is_source_waiting();
            video.is_missing(is_awaited).await;
            let reason = format!("no key frame has come for {}", format(VideoWatch::LIMIT));
            log::warn!(reason = reason.as_str(); "{} gets no video", output.name);
            let status = &self.shared.status;
            status.set_output_without_video(output.key, &reason);
            video.is_back().await;
        }
    }

    async fn has_had_time_to_drain(&self) {
        requested(&mut self.closing.clone()).await;
        sleep(DRAIN_TIMEOUT).await;
    }

    /// What `work` comes to; `None` if the output has to close first.
    async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut closing = self.closing.clone();
        tokio::select! {
            result = work => Some(result),
            () = requested(&mut closing) => None,
        }
    }
}
