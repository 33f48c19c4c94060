//! The requests of one RTSP connection, and what the answers mean for those that follow.

use std::time::Duration;

use http_auth::{PasswordClient, PasswordParams};
use thiserror::Error;

use super::headers;
use super::message::Response;

/// Told to servers as `User-Agent`.
const USER_AGENT: &str = concat!("mtx-worker/", env!("CARGO_PKG_VERSION"));

/// Until a server tells its own (RFC 2326, section 12.37).
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the server can't be answered.
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum LoginError {
    #[error("the server asks for a user and a password")]
    Missing,
    #[error("the server refuses the user or the password")]
    Refused,
    #[error("the server asks for a login in a way that is not known: {0}")]
    Unknown(String),
}

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// It is the one that was waited for.
    Final(Response),
    /// The request has to be sent again, with the login.
    Again(Vec<u8>),
    /// It answers nothing that waits.
    Stray,
}

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(&'static str, String)>,
    /// Whether it carried the login.
    logged_in: bool,
}

/// One connection's requests. There is one at a time that waits for its answer.
///
/// Servers differ in how they number sessions: RFC 2326 has one id for all tracks, go2rtc gives each SETUP a new one
/// and looks at none. The first one counts here, as with most players.
pub(crate) struct Conversation {
    credentials: Option<(String, String)>,
    login: Option<PasswordClient>,
    session: Option<String>,
    timeout: Duration,
    sequence: u32,
    waiting: Option<Request>,
}

impl Conversation {
    pub(crate) fn new(credentials: Option<(String, String)>) -> Self {
        Self {
            credentials,
            login: None,
            session: None,
            timeout: SESSION_TIMEOUT,
            sequence: 0,
            waiting: None,
        }
    }

    /// The bytes of a request whose answer is waited for.
    pub(crate) fn request(
        &mut self,
        method: &'static str,
        url: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Vec<u8> {
        let request = Request {
            method,
            url: url.to_owned(),
            headers,
            logged_in: false,
        };
        self.send(request)
    }

    /// The bytes of a request whose answer does not matter.
    pub(crate) fn notify(&mut self, method: &'static str, url: &str) -> Vec<u8> {
        let bytes = self.request(method, url, Vec::new());
        self.waiting = None;
        bytes
    }

    /// The bytes that decline a request of the server's (section 11.3.11), told apart by its `CSeq`.
    pub(crate) fn decline(sequence: Option<&str>) -> Vec<u8> {
        let sequence = sequence.unwrap_or_default();
        format!("RTSP/1.0 501 Not Implemented\r\nCSeq: {sequence}\r\n\r\n").into_bytes()
    }

    /// Takes an answer of the server.
    pub(crate) fn answer(&mut self, response: Response) -> Result<Answer, LoginError> {
        // A server that leaves CSeq out answers what was asked last.
        let sequence = response.headers.number("CSeq").unwrap_or(self.sequence);
        let is_waited_for = |_: &mut Request| sequence == self.sequence;
        let Some(request) = self.waiting.take_if(is_waited_for) else {
            return Ok(Answer::Stray);
        };
        if self.session.is_none()
            && let Some(value) = response.headers.get("Session")
        {
            let (id, timeout) = headers::session(value);
            self.session = Some(id.to_owned());
            // A server that says 0 means that it never ends.
            let timeout = timeout
                .filter(|&seconds| seconds > 0)
                .map(Duration::from_secs);
            self.timeout = timeout.unwrap_or(SESSION_TIMEOUT);
        }
        if response.status != 401 {
            return Ok(Answer::Final(response));
        }
        self.log_in(&request, &response)?;
        Ok(Answer::Again(self.send(request)))
    }

    /// How often the server wants to hear of the client.
    pub(crate) fn keep_alive(&self) -> Duration {
        (self.timeout / 2).min(SESSION_TIMEOUT / 2)
    }

    /// Whether a session was set up.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    fn log_in(&mut self, request: &Request, response: &Response) -> Result<(), LoginError> {
        if self.credentials.is_none() {
            return Err(LoginError::Missing);
        }
        let challenges: Vec<_> = response.headers.all("WWW-Authenticate").collect();
        let shown = || challenges.join(", ");
        // A second refusal of the same login is meant; a challenge that says "stale" is not one (RFC 2617, 3.2.1).
        if request.logged_in && !shown().to_ascii_lowercase().contains("stale=true") {
            return Err(LoginError::Refused);
        }
        let builder = PasswordClient::builder();
        let builder = challenges
            .iter()
            .fold(builder, |builder, text| builder.challenges(text));
        let client = builder.build().map_err(|_| LoginError::Unknown(shown()))?;
        self.login = Some(client);
        Ok(())
    }

    fn send(&mut self, mut request: Request) -> Vec<u8> {
        self.sequence += 1;
        let (method, url) = (request.method, &request.url);
        let mut text = format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: {USER_AGENT}\r\n",
            self.sequence
        );
        let mut header = |name: &str, value: &str| {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        };
        if let Some(session) = &self.session {
            header("Session", session);
        }
        for (name, value) in &request.headers {
            header(name, value);
        }
        let mut logged_in = false;
        if let (Some(login), Some((username, password))) = (&mut self.login, &self.credentials) {
            let response = login.respond(&PasswordParams {
                username,
                password,
                uri: url,
                method,
                body: Some(&[]),
            });
            // It fails for a user with a colon under Basic, whom the server then refuses.
            if let Ok(value) = response {
                header("Authorization", &value);
                logged_in = true;
            }
        }
        text.push_str("\r\n");
        request.logged_in = logged_in;
        self.waiting = Some(request);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Incoming, Reader};
    use super::*;

    fn response(text: &str) -> Response {
        let mut reader = Reader::default();
        reader
            .buffer()
            .extend_from_slice(text.replace('\n', "\r\n").as_bytes());
        match reader.next() {
            Ok(Some(Incoming::Response(response))) => response,
            other => panic!("{other:?}"),
        }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn conversation() -> Conversation {
        Conversation::new(Some(("user".to_owned(), "pass".to_owned())))
    }

    #[test]
    fn the_login_is_sent_when_it_is_asked_for_and_from_then_on() {
        let mut talk = conversation();
        let first = text(talk.request("DESCRIBE", "rtsp://h/a", vec![]));
        assert!(
            first.starts_with("DESCRIBE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n"),
            "{first}"
        );
        assert!(!first.contains("Authorization"));
        let asked = response(
            "RTSP/1.0 401 Unauthorized\nCSeq: 1\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\nWWW-Authenticate: Basic realm=\"r\"\n\n",
        );
        let Ok(Answer::Again(second)) = talk.answer(asked.clone()) else {
            panic!("no second request");
        };
        let second = text(second);
        assert!(
            second.contains("CSeq: 2\r\n") && second.contains("Authorization: Digest "),
            "{second}"
        );
        let refused = Response {
            headers: response("RTSP/1.0 401 U\nCSeq: 2\nWWW-Authenticate: Basic realm=\"r\"\n\n")
                .headers,
            ..asked
        };
        assert_eq!(talk.answer(refused), Err(LoginError::Refused));
    }

    #[test]
    fn without_a_login_the_message_says_so() {
        let mut talk = Conversation::new(None);
        talk.request("DESCRIBE", "rtsp://h/a", vec![]);
        let asked =
            response("RTSP/1.0 401 Unauthorized\nCSeq: 1\nWWW-Authenticate: Basic realm=\"r\"\n\n");
        assert_eq!(talk.answer(asked), Err(LoginError::Missing));
        let mut talk = conversation();
        talk.request("DESCRIBE", "rtsp://h/a", vec![]);
        let asked = response("RTSP/1.0 401 Unauthorized\nCSeq: 1\nWWW-Authenticate: Riddle\n\n");
        assert_eq!(
            talk.answer(asked),
            Err(LoginError::Unknown("Riddle".to_owned()))
        );
    }

    #[test]
    fn the_first_session_id_counts() {
        let mut talk = conversation();
        for (sequence, id) in [(1, "first;timeout=10"), (2, "second")] {
            talk.request("SETUP", "rtsp://h/a", vec![]);
            let answer = response(&format!(
                "RTSP/1.0 200 OK\nCSeq: {sequence}\nSession: {id}\n\n"
            ));
            assert!(matches!(talk.answer(answer), Ok(Answer::Final(_))));
        }
        assert_eq!(talk.keep_alive(), Duration::from_secs(5));
        assert!(
            text(talk.request("PLAY", "rtsp://h/a", vec![])).contains("\r\nSession: first\r\n")
        );
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_left_aside() {
        let mut talk = conversation();
        talk.notify("OPTIONS", "rtsp://h/a");
        assert_eq!(
            talk.answer(response("RTSP/1.0 200 OK\nCSeq: 1\n\n")),
            Ok(Answer::Stray)
        );
        talk.request("PLAY", "rtsp://h/a", vec![]);
        assert_eq!(
            talk.answer(response("RTSP/1.0 200 OK\nCSeq: 1\n\n")),
            Ok(Answer::Stray)
        );
        assert!(matches!(
            talk.answer(response("RTSP/1.0 200 OK\n\n")),
            Ok(Answer::Final(_))
        ));
    }
}
