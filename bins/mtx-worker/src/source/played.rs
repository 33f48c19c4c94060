//! A connection whose session the server hears the end of.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::Connection;

/// What a TEARDOWN may take.
const TEARDOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// Dropping it sends a TEARDOWN in the background, if a session was set up: a camera has room for few of them.
pub(super) struct Played {
    /// It is there until the drop.
    connection: Option<Connection>,
    /// What the requests on all tracks name.
    pub(super) control: String,
    closing: Rc<RefCell<JoinSet<()>>>,
}

impl Played {
    pub(super) fn new(
        connection: Connection,
        control: String,
        closing: Rc<RefCell<JoinSet<()>>>,
    ) -> Self {
        Self {
            connection: Some(connection),
            control,
            closing,
        }
    }
}

impl Deref for Played {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only the drop takes it")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is there")
    }
}

impl DerefMut for Played {
    #[expect(clippy::expect_used, reason = "only the drop takes it")]
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is there")
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if connection.conversation.has_session() {
            let mut closing = self.closing.borrow_mut();
            // Of those that have ended nothing is kept.
            while closing.try_join_next().is_some() {}
            closing.spawn(tear_down(connection, std::mem::take(&mut self.control)));
        }
    }
}

async fn tear_down(mut connection: Connection, url: String) {
    let request = connection.call("TEARDOWN", &url, Vec::new());
    // A server that does not answer sees the connection close.
    let _ = timeout(TEARDOWN_TIMEOUT, request).await;
}
