//! The open connections, of which there are never more than a fixed number.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Each costs a thread and a file descriptor; hooks need one for some milliseconds.
const MAX: usize = 256;
/// How long a connection that was told to end may take for it.
const ENDING: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
    left: Condvar,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// By their age, or rather that of their last request.
    streams: BTreeMap<u64, Arc<TcpStream>>,
    /// Those that are not ended for being old.
    kept: usize,
}

impl Open {
    fn insert(&mut self, stream: Arc<TcpStream>) -> u64 {
        self.next += 1;
        self.streams.insert(self.next, stream);
        self.next
    }

    fn count(&self) -> usize {
        self.streams.len() + self.kept
    }
}

impl Connections {
    /// Gives a new connection its place. When there is none, the one that has been without a request for the
    /// longest time has to go, so that any number of clients that say nothing keep nobody out.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream) -> Option<Place> {
        let mut open = self.lock();
        if open.count() >= MAX {
            open = self.end_oldest(open);
        }
        if open.count() >= MAX {
            return None;
        }
        let stream = Arc::new(stream);
        let number = open.insert(Arc::clone(&stream));
        drop(open);
        Some(Place {
            connections: Arc::clone(self),
            number: Some(number),
            stream,
        })
    }

    /// When the process has no descriptor left for one more.
    pub(super) fn make_room(&self) {
        drop(self.end_oldest(self.lock()));
    }

    fn end_oldest<'a>(&'a self, open: MutexGuard<'a, Open>) -> MutexGuard<'a, Open> {
        let count = open.count();
        if let Some((_, oldest)) = open.streams.first_key_value() {
            let _ = oldest.shutdown(Shutdown::Both);
        }
        let gone = |open: &mut Open| open.count() >= count;
        let waited = self.left.wait_timeout_while(open, ENDING, gone);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection's place among the others.
pub(super) struct Place {
    connections: Arc<Connections>,
    /// None once it is kept.
    number: Option<u64>,
    pub(super) stream: Arc<TcpStream>,
}

impl Place {
    /// Makes it the youngest, because it has just been of use.
    pub(super) fn renew(&mut self) {
        let mut open = self.connections.lock();
        if let Some(number) = &mut self.number {
            open.streams.remove(number);
            *number = open.insert(Arc::clone(&self.stream));
        }
    }

    /// From now on it may be without a request for as long as it likes. Who asks for that has a limit of their own
    /// to how many there are.
    pub(super) fn keep(&mut self) {
        let mut open = self.connections.lock();
        if let Some(number) = self.number.take() {
            open.streams.remove(&number);
            open.kept += 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        match self.number {
            Some(number) => {
                open.streams.remove(&number);
            }
            None => open.kept -= 1,
        }
        drop(open);
        self.connections.left.notify_all();
    }
}
