//! The open connections, of which there are never more than a fixed number.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a connection that was told to end may take for it.
const ENDING: Duration = Duration::from_millis(100);

pub(super) struct Connections {
    max: usize,
    open: Mutex<Open>,
    left: Condvar,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// Those without a request, the one that has been so for the longest time first.
    idle: BTreeMap<u64, Arc<TcpStream>>,
    /// Those that are answered, speak another protocol, or were told to end.
    others: usize,
}

impl Open {
    fn insert(&mut self, stream: Arc<TcpStream>) -> u64 {
        self.next += 1;
        self.idle.insert(self.next, stream);
        self.next
    }

    fn count(&self) -> usize {
        self.idle.len() + self.others
    }
}

impl Connections {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            open: Mutex::default(),
            left: Condvar::new(),
        }
    }

    /// Gives a new connection its place. When there is none, the one that has been without a request for the
    /// longest time has to go, so that any number of clients that say nothing keep nobody out.
    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream) -> Option<Place> {
        let mut open = self.lock();
        if open.count() >= self.max {
            open = self.end_oldest(open);
        }
        if open.count() >= self.max {
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

    fn end_oldest<'a>(&'a self, mut open: MutexGuard<'a, Open>) -> MutexGuard<'a, Open> {
        let count = open.count();
        let Some((_, oldest)) = open.idle.pop_first() else {
            return open;
        };
        open.others += 1;
        let _ = oldest.shutdown(Shutdown::Both);
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
    /// While it is idle.
    number: Option<u64>,
    pub(super) stream: Arc<TcpStream>,
}

impl Place {
    /// A request has come, and is answered before anybody may take the place. False if it has been taken: whoever sent
    /// the request can't be told what became of it, so nothing must.
    #[must_use]
    pub(super) fn begin(&mut self) -> bool {
        let mut open = self.connections.lock();
        let Some(number) = self.number.take() else {
            return true;
        };
        // One that was told to end is among the others already.
        let is_there = open.idle.remove(&number).is_some();
        open.others += usize::from(is_there);
        is_there
    }

    /// The request is answered: the connection is idle again, for the shortest time of all.
    pub(super) fn renew(&mut self) {
        let mut open = self.connections.lock();
        if self.number.is_none() {
            open.others -= 1;
            self.number = Some(open.insert(Arc::clone(&self.stream)));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        let is_idle = self
            .number
            .is_some_and(|number| open.idle.remove(&number).is_some());
        open.others -= usize::from(!is_idle);
        drop(open);
        self.connections.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    /// A connection's place, and its client.
    fn connect(
        connections: &Arc<Connections>,
        listener: &TcpListener,
    ) -> (Option<Place>, TcpStream) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        (connections.admit(stream), client)
    }

    fn is_ended(mut client: &TcpStream) -> bool {
        client.set_nonblocking(true).unwrap();
        client.read(&mut [0]).is_ok_and(|count| count == 0)
    }

    #[test]
    fn only_idle_connections_make_room_and_each_of_them_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connections = Arc::new(Connections::new(5));
        let mut all: Vec<_> = (0..5)
            .map(|_| connect(&connections, &listener))
            .map(|(place, client)| (place.unwrap(), client))
            .collect();
        assert!(all[0].0.begin() && all[2].0.begin());
        // Nobody leaves when told, so there is no place for these two, but different ones are told.
        for told in [1, 3] {
            assert!(connect(&connections, &listener).0.is_none());
            assert!(is_ended(&all[told].1), "{told}");
        }
        assert!([0, 2, 4].iter().all(|number| !is_ended(&all[*number].1)));
        assert!(
            !all[1].0.begin(),
            "a request that comes too late is not answered"
        );

        // The first has had its answer, so that the last has been idle for longer.
        all[0].0.renew();
        drop(all.remove(3));
        let next = connect(&connections, &listener);
        assert!(next.0.is_some());
        assert!(connect(&connections, &listener).0.is_none());
        assert!(is_ended(&all[3].1) && !is_ended(&all[0].1));
        drop((all, next));
        let open = connections.lock();
        assert_eq!((open.idle.len(), open.others), (0, 0));
    }
}
