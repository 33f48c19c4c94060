//! The requests of one RTSP connection, and what the answers mean for those that follow.

use std::time::Duration;

use http_auth::{PasswordClient, PasswordParams};
use thiserror::Error;

use super::headers::{self, Headers};
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
    /// How often it carried a login.
    logins: u32,
}

/// One connection's requests. There is one at a time that waits for its answer.
///
/// Servers differ in how they number sessions: RFC 2326 has one id for all tracks, go2rtc gives each SETUP a new one
/// and looks at none. The first one counts here, as with most players, and the shortest time-out.
pub(crate) struct Conversation {
    credentials: Option<(String, String)>,
    login: Option<PasswordClient>,
    session: Option<String>,
    timeout: Duration,
    sequence: u32,
    waiting: Option<Request>,
    takes_get_parameter: bool,
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
            takes_get_parameter: false,
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
            logins: 0,
        };
        self.send(request)
    }

    /// The bytes of a sign of life, as the server wants it.
    pub(crate) fn sign_of_life(&mut self, url: &str) -> Vec<u8> {
        let method = if self.takes_get_parameter {
            "GET_PARAMETER"
        } else {
            "OPTIONS"
        };
        self.request(method, url, Vec::new())
    }

    /// The bytes that answer a request of the server's. Servers ask whether players are there; there is nothing else that
    /// they could want.
    pub(crate) fn reply(method: &str, headers: &Headers) -> Vec<u8> {
        let status = match method {
            "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER" => "200 OK",
            _ => "501 Not Implemented",
        };
        let sequence = headers.get("CSeq").unwrap_or_default();
        format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n\r\n").into_bytes()
    }

    /// Takes an answer of the server.
    pub(crate) fn answer(&mut self, response: Response) -> Result<Answer, LoginError> {
        // A server that leaves CSeq out, or gets it wrong, answers what was asked last.
        let is_earlier = response
            .headers
            .number("CSeq")
            .is_some_and(|number: u32| number < self.sequence);
        let Some(request) = self.waiting.take_if(|_| !is_earlier) else {
            return Ok(Answer::Stray);
        };
        if let Some(value) = response.headers.get("Session") {
            let (id, timeout) = headers::session(value);
            self.session.get_or_insert_with(|| id.to_owned());
            // A server that says 0 means that it never ends.
            let timeout = timeout
                .filter(|&seconds| seconds > 0)
                .map(Duration::from_secs);
            self.timeout = self.timeout.min(timeout.unwrap_or(SESSION_TIMEOUT));
        }
        if let Some(methods) = response.headers.get("Public") {
            self.takes_get_parameter = methods.contains("GET_PARAMETER");
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
        // A second refusal is meant, unless it says that only its nonce is out of date (RFC 2617, section 3.2.1).
        let is_stale = shown().to_ascii_lowercase().contains("stale=true");
        if request.logins > u32::from(is_stale) {
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
        if let (Some(login), Some((username, password))) = (&mut self.login, &self.credentials) {
            let response = login.respond(&PasswordParams {
                username,
                password,
                uri: url,
                method,
                body: Some(&[]),
            });
            // It fails for texts that a digest can't hold; without a login the server refuses.
            if let Ok(value) = response {
                header("Authorization", &value);
            }
            request.logins += 1;
        }
        text.push_str("\r\n");
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
    fn a_nonce_that_is_out_of_date_is_replaced_once() {
        let mut talk = conversation();
        talk.request("DESCRIBE", "rtsp://h/a", vec![]);
        let challenge = |sequence: u32, stale: &str| {
            response(&format!(
                "RTSP/1.0 401 U\nCSeq: {sequence}\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n{sequence}\"{stale}\n\n"
            ))
        };
        assert!(matches!(
            talk.answer(challenge(1, "")),
            Ok(Answer::Again(_))
        ));
        assert!(matches!(
            talk.answer(challenge(2, ", stale=true")),
            Ok(Answer::Again(_))
        ));
        assert_eq!(
            talk.answer(challenge(3, ", stale=true")),
            Err(LoginError::Refused)
        );
    }

    #[test]
    fn a_server_that_wants_it_gets_get_parameter() {
        let mut talk = conversation();
        assert!(text(talk.sign_of_life("rtsp://h/a")).starts_with("OPTIONS "));
        let answer = response("RTSP/1.0 200 OK\nCSeq: 1\nPublic: OPTIONS, GET_PARAMETER, PLAY\n\n");
        assert!(matches!(talk.answer(answer), Ok(Answer::Final(_))));
        assert!(text(talk.sign_of_life("rtsp://h/a")).starts_with("GET_PARAMETER "));
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_left_aside() {
        let mut talk = conversation();
        talk.request("OPTIONS", "rtsp://h/a", vec![]);
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
