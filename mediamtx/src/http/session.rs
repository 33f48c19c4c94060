//! A cookie that stands for a login.

use std::fmt::Write as _;

use subtle::ConstantTimeEq;

use super::Head;

/// Known to nobody but this process, until somebody who may is told. It ends with the process.
pub struct Session {
    name: String,
    value: String,
}

impl Session {
    /// A new one. Browsers send a host's cookies to all its ports, so services of one host need different names.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(name: impl Into<String>) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let mut value = String::new();
        for byte in secret {
            let _ = write!(value, "{byte:02x}");
        }
        Ok(Self {
            name: name.into(),
            value,
        })
    }

    /// The value of a header `Set-Cookie` that hands it out. Scripts don't see it, and other sites' pages can't use it.
    pub fn cookie(&self) -> String {
        let Self { name, value } = self;
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict")
    }

    /// Whether the request has it. How long that takes tells nothing about it.
    pub fn is_in(&self, head: &Head) -> bool {
        head.all("cookie")
            .flat_map(|value| value.split(|byte| *byte == b';'))
            .filter_map(|pair| {
                let pair = pair.trim_ascii();
                pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")
            })
            .any(|given| given.ct_eq(self.value.as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::parse;
    use super::*;

    fn head(cookies: &str) -> Head {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{cookies}\r\n");
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_its_own_cookie_counts() {
        let session = Session::new("suite-80").unwrap();
        let other = Session::new("suite-80").unwrap();
        let pair = |session: &Session| session.cookie().split(';').next().unwrap().to_owned();
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
