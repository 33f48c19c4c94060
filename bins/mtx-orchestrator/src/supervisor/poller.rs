//! Asks MediaMTX for its paths: every few seconds, and whenever something may have changed.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use mediamtx::api::Api;

use super::locked;
use super::publishers::{Findings, Inquiry, Search};
use super::supervision::Message;

/// What is not heard of otherwise is found within this time.
const INTERVAL: Duration = Duration::from_secs(2);

/// Requests are numbered, so that an answer tells which of them it is new enough for.
pub(super) struct Poller {
    requests: Arc<(Mutex<u64>, Condvar)>,
    search: Arc<Mutex<Search>>,
}

impl Poller {
    pub(super) fn start(api: Api, messages: Sender<Message>) -> Result<Self> {
        let requests = Arc::<(Mutex<u64>, Condvar)>::default();
        let watched = Arc::clone(&requests);
        let search = Arc::<Mutex<Search>>::default();
        let inquired = Arc::clone(&search);
        thread::Builder::new()
            .name("poller".to_owned())
            .spawn(move || poll(&api, &watched, &inquired, &messages))
            .context("can't start the thread that asks MediaMTX")?;
        Ok(Self { requests, search })
    }

    /// Has this looked for among the publishers from now on.
    pub(super) fn search(&self, search: Search) {
        *locked(&self.search) = search;
    }

    /// Has MediaMTX asked at once. Returns the number of this request.
    pub(super) fn request(&self) -> u64 {
        let (number, changed) = &*self.requests;
        let mut number = locked(number);
        *number += 1;
        changed.notify_one();
        *number
    }
}

/// Ends with the one that listens.
fn poll(
    api: &Api,
    requests: &(Mutex<u64>, Condvar),
    search: &Mutex<Search>,
    messages: &Sender<Message>,
) {
    let (number, changed) = requests;
    let mut inquiry = Inquiry::default();
    loop {
        let covers = *locked(number);
        let paths = api.paths();
        let findings = paths.as_ref().map_or_else(
            |_| Findings::default(),
            |paths| {
                let search = locked(search).clone();
                inquiry.look(api, paths, &search)
            },
        );
        let answer = Message::Paths {
            covers,
            paths,
            findings,
        };
        if messages.send(answer).is_err() {
            return;
        }
        let unchanged = |number: &mut u64| *number == covers;
        // Whether it was a request or the time that ended the wait makes no difference.
        drop(
            changed
                .wait_timeout_while(locked(number), INTERVAL, unchanged)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
