//! Counting workers all the time, for what must never be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::orchestrator::{Orchestrator, is_worker};
use crate::procfs;

/// The most workers that ran at once while this value lived.
pub struct Census {
    most: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    counting: Option<thread::JoinHandle<()>>,
}

impl Census {
    /// Starts to count the workers of an orchestrator.
    pub fn start(orchestrator: &Orchestrator) -> Self {
        let (most, over) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let (result, end, pid) = (most.clone(), over.clone(), orchestrator.process().pid());
        let counting = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let below = procfs::descendants(pid);
                let workers = below.into_iter().filter(|pid| is_worker(*pid)).count();
                result.fetch_max(workers, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            most,
            over,
            counting: Some(counting),
        }
    }

    /// How many that were.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.counting.take().map(thread::JoinHandle::join);
    }
}
