//! A cookie that stands for a login.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::Head;

/// How long a browser keeps it. Whoever still looks at the page after that reads it again.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Known to nobody but this process, until somebody who may is told. It ends with the process, or after a day at the
/// latest.
pub struct Session {
    name: String,
    secrets: Mutex<Secrets>,
}

/// The one that is handed out, and the one before it, which some browsers still have.
struct Secrets {
    current: String,
    previous: Option<String>,
    since: Instant,
}

impl Session {
    /// A new one. Browsers send a host's cookies to all its ports, so services of one host need different names.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(name: impl Into<String>) -> Result<Self, getrandom::Error> {
        let secrets = Secrets {
            current: secret()?,
            previous: None,
            since: Instant::now(),
        };
        Ok(Self {
            name: name.into(),
            secrets: Mutex::new(secrets),
        })
    }

    /// The value of a header `Set-Cookie` that hands it out, in answer to this request. Scripts don't see it, other
    /// sites' pages can't use it, and if a proxy says that it speaks TLS, it never goes over a plain connection.
    pub fn cookie(&self, head: &Head) -> String {
        let value = self.at(Instant::now()).current.clone();
        let (name, seconds) = (&self.name, LIFE.as_secs());
        let is_tls = |scheme: &[u8]| scheme.eq_ignore_ascii_case(b"https");
        let secure = match head.one("x-forwarded-proto").is_some_and(is_tls) {
            true => "; Secure",
            false => "",
        };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// Whether the request has it. How long that takes tells nothing about it.
    pub fn is_in(&self, head: &Head) -> bool {
        self.is_in_at(head, Instant::now())
    }

    fn is_in_at(&self, head: &Head, now: Instant) -> bool {
        let secrets = self.at(now);
        let known = [Some(&secrets.current), secrets.previous.as_ref()];
        head.all("cookie")
            .flat_map(|value| value.split(|byte| *byte == b';'))
            .filter_map(|pair| {
                let pair = pair.trim_ascii();
                pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
            })
            .any(|given| {
                let mut known = known.iter().flatten();
                known.any(|secret| given.ct_eq(secret.as_bytes()).into())
            })
    }

    /// The secrets of a time.
    fn at(&self, now: Instant) -> MutexGuard<'_, Secrets> {
        // Nobody leaves it half done.
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(secrets.since);
        // Without randomness, the old one has to do for longer.
        if age >= LIFE
            && let Ok(fresh) = secret()
        {
            let before = std::mem::replace(&mut secrets.current, fresh);
            secrets.previous = (age < 2 * LIFE).then_some(before);
            secrets.since = now;
        }
        secrets
    }
}

fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::head::parse;
    use super::*;

    fn head(cookies: &str) -> Head {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{cookies}\r\n");
        parse(text.as_bytes()).unwrap()
    }

    fn pair(session: &Session) -> String {
        let cookie = session.cookie(&head(""));
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn it_ends_after_a_day_at_the_latest() {
        let session = Session::new("suite-80").unwrap();
        let (start, given) = (
            Instant::now(),
            head(&format!("Cookie: {}\r\n", pair(&session))),
        );
        for (hours, holds) in [
            (0, true),
            (11, true),
            (13, true),
            (23, true),
            (26, false),
            (99, false),
        ] {
            let now = start + Duration::from_secs(hours * 60 * 60);
            assert_eq!(session.is_in_at(&given, now), holds, "{hours} h");
        }
        let unused = Session::new("suite-80").unwrap();
        let given = head(&format!("Cookie: {}\r\n", pair(&unused)));
        assert!(!unused.is_in_at(&given, start + 3 * LIFE));
    }

    #[test]
    fn behind_tls_it_stays_there() {
        let session = Session::new("suite-80").unwrap();
        let is_secure = |headers: &str| session.cookie(&head(headers)).ends_with("; Secure");
        assert!(is_secure("X-Forwarded-Proto: https\r\n"));
        assert!(!is_secure("X-Forwarded-Proto: http\r\n") && !is_secure(""));
    }

    #[test]
    fn only_its_own_cookie_counts() {
        let session = Session::new("suite-80").unwrap();
        let other = Session::new("suite-80").unwrap();
        let own = pair(&session);
        for good in [
            format!("Cookie: {own}\r\n"),
            format!("Cookie: a=b; {own}; suite-80=1\r\n"),
            format!("Cookie: suite-80=1\r\nCookie: {own}\r\n"),
        ] {
            assert!(session.is_in(&head(&good)), "{good}");
        }
        for bad in [
            String::new(),
            "Cookie: suite-80\r\n".to_owned(),
            "Cookie: suite-80=\r\n".to_owned(),
            format!("Cookie: {}\r\n", pair(&other)),
            format!("Cookie: x{own}\r\n"),
            format!("Cookie: {}\r\n", &own[..own.len() - 1]),
        ] {
            assert!(!session.is_in(&head(&bad)), "{bad}");
        }
    }
}
