//! One output: its queue, its connections, its retries.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;
use mediamtx::retry::RetrySchedule;
use tokio::sync::watch;

use crate::failures::Failures;
use crate::lock::{OutputLock, wait_for};
use crate::media::AccessUnit;
use crate::reconnect::Reconnect;
use crate::rtmp::url::RtmpUrl;
use crate::sink::{Queue, RtmpSink, SinkError};
use crate::source::{RtspSource, RtspUrl};
use crate::state::{Link, Side, Status};
use crate::stats::Stats;

/// An output that has used up its retries while others go on is left alone for this long.
const PAUSE: Duration = Duration::from_secs(30);

/// Where the stream goes to, or one of several such places.
pub(crate) struct Output {
    pub(crate) url: RtmpUrl,
    pub(crate) queue: Queue,
    pub(crate) stats: Stats,
    /// Its place among the outputs.
    number: usize,
    /// How the log calls it.
    name: String,
    /// Where readers find it, if its server can be asked.
    published_at: Option<RtspUrl>,
    pub(crate) failures: Failures,
    sink: RtmpSink,
    lock: RefCell<Option<OutputLock>>,
}

impl Output {
    /// The output at `url`, number `number` of `of`; fails if its TLS can't be set up.
    pub(crate) fn new(
        url: RtmpUrl,
        (number, of): (usize, usize),
        published_at: Option<RtspUrl>,
        failures: Failures,
        epoch: Instant,
    ) -> Result<Self> {
        Ok(Self {
            sink: RtmpSink::new(url.clone())?,
            failures,
            name: match of {
                1 => "output".to_owned(),
                _ => format!("output {url}"),
            },
            url,
            queue: Queue::default(),
            stats: Stats::new(epoch),
            number,
            published_at,
            lock: RefCell::default(),
        })
    }

    /// Makes sure that nobody else publishes there, as far as that can be known.
    pub(crate) async fn claim(&self, source: &RtspSource) -> Result<(), SinkError> {
        if self.lock.borrow().is_some() {
            return Ok(());
        }
        let lock = OutputLock::take(&self.url).await.map_err(SinkError::Lock)?;
        let lock = lock.ok_or(SinkError::Occupied)?;
        if let Some(url) = &self.published_at {
            let free = wait_for(async || (!source.is_published(url).await).then_some(()));
            free.await.ok_or(SinkError::Occupied)?;
        }
        *self.lock.borrow_mut() = Some(lock);
        Ok(())
    }

    /// Feeds it from its queue as long as there is hope. `None` when it was told to close.
    pub(crate) async fn keep(
        &self,
        source: &RtspSource,
        retry: &RetrySchedule,
        status: &Status,
        mut closing: watch::Receiver<bool>,
    ) -> Option<(&Self, SinkError)> {
        let side = Side::Sink(self.number);
        loop {
            tokio::select! {
                () = self.failures.wait() => {}
                () = told(&mut closing) => return None,
            }
            let claimed = tokio::select! {
                claimed = self.claim(source) => claimed,
                () = told(&mut closing) => return None,
            };
            let error = match claimed {
                Ok(()) => self.write(retry, status, &mut closing).await?,
                Err(error) => error,
            };
            status.set(side, Link::Lost);
            if status.is_every_output_lost() {
                return Some((self, error));
            }
            self.failures.add();
            let pause = PAUSE.max(self.failures.remaining());
            let (name, shown) = (&self.name, mediamtx::duration::format(pause));
            log::error!(reason:% = error; "{name} given up, tried again in {shown}; the others go on");
            *self.lock.borrow_mut() = None;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut closing) => return None,
            }
            self.queue.restart();
        }
    }

    /// Publishes over all connections of one round of retries.
    async fn write(
        &self,
        retry: &RetrySchedule,
        status: &Status,
        closing: &mut watch::Receiver<bool>,
    ) -> Option<SinkError> {
        let mut reconnect = Reconnect::new(self.name.clone(), retry.clone());
        loop {
            let error = self.publish(status, closing, &mut reconnect).await?;
            if error.is_taken() {
                return Some(error);
            }
            if status.is_source_waiting() {
                // Without media a server may well close; that is no failure of the output.
                log::info!(reason:% = error; "{} closed while the input is away, opened again with the next media", self.name);
                self.queue.restart();
                tokio::select! {
                    () = self.queue.has_media() => continue,
                    () = told(closing) => return None,
                }
            }
            let Some(delay) = reconnect.lost(&error.to_string()) else {
                return Some(error);
            };
            status.set(Side::Sink(self.number), Link::Waiting);
            self.queue.restart();
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = told(closing) => return None,
            }
        }
    }

    /// Publishes until the connection is lost. `None` when it was told to close, and did.
    async fn publish(
        &self,
        status: &Status,
        closing: &mut watch::Receiver<bool>,
        reconnect: &mut Reconnect,
    ) -> Option<SinkError> {
        loop {
            // Nothing is published before there is something to publish.
            let open = async { self.sink.open(&*self.queue.tracks().await).await };
            let opened = tokio::select! {
                opened = open => opened,
                () = told(closing) => return None,
            };
            let mut stream = match opened {
                Ok(stream) => stream,
                Err(error) => return Some(error),
            };
            let sent = |unit: &AccessUnit| {
                self.stats.sent(unit);
                if reconnect.media(Instant::now()) {
                    self.failures.clear();
                }
                status.set(Side::Sink(self.number), Link::Up);
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
}

/// Waits until the other side says so; also when it is gone.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|told| *told).await;
}
