//! Where the server reaches its own paths over RTSP, and why it may not.

use mediamtx::api::{Global, User};
use url::Url;

/// Why the server can't read its own paths, by which it would keep on-demand streams open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// A keeper reads over RTSP.
    #[error(
        "MediaMTX has RTSP switched off, by which it would keep on-demand streams open: set rtsp: yes"
    )]
    NoRtsp,
    /// It reads itself without encryption only.
    #[error(
        "MediaMTX has rtspEncryption: strict, so that it can't read its own paths: set it to optional"
    )]
    Encrypted,
    /// A keeper reads over TCP.
    #[error("MediaMTX's rtspTransports lacks tcp, over which it would read its own paths: add tcp")]
    NoTcp,
    /// Its address can't be made into a URL.
    #[error("MediaMTX's rtspAddress {0:?} is no address: name its URL with --rtsp")]
    Address(String),
    /// Nobody may read without a login.
    #[error(
        "MediaMTX lets nobody read {0} without a login, and it has none for its own paths: give one with \
         MEDIAMTX_RTSP_URL=rtsp://user:password@host:port"
    )]
    LoginMissing(String),
    /// The login is not one of its users'.
    #[error(
        "MediaMTX's authInternalUsers let no user {user:?} with this password read {path}: correct the login in \
         MEDIAMTX_RTSP_URL"
    )]
    LoginWrong {
        /// The user of the URL.
        user: String,
        /// What it would read.
        path: String,
    },
}

/// What the server's settings say of RTSP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    global: Global,
}

impl From<Global> for Reach {
    fn from(global: Global) -> Self {
        Self { global }
    }
}

impl Reach {
    /// The URL below which the server reads its own `path`: the `given` one, or what its settings come to.
    ///
    /// # Errors
    /// When it would not get the stream that way.
    pub fn own(&self, given: Option<&Url>, path: &str) -> Result<Url, ReachError> {
        let global = &self.global;
        if given.is_none() {
            if !global.rtsp {
                return Err(ReachError::NoRtsp);
            }
            if global.rtsp_encryption == "strict" {
                return Err(ReachError::Encrypted);
            }
        }
        // Older servers call the setting otherwise; they have tcp by default.
        let transports = &global.rtsp_transports;
        if !transports.is_empty() && !transports.iter().any(|it| it.eq_ignore_ascii_case("tcp")) {
            return Err(ReachError::NoTcp);
        }
        let url = match given {
            Some(url) => url.clone(),
            None => self.address("127.0.0.1")?,
        };
        self.check_login(&url, path)?;
        Ok(url)
    }

    /// The URL below which this machine reads the server's paths, which is on `host` for it; the login is that of
    /// the `given` one.
    ///
    /// # Errors
    /// When the server does not speak RTSP without encryption.
    pub fn from_here(&self, host: &str, given: Option<&Url>) -> Result<Url, ReachError> {
        if !self.global.rtsp {
            return Err(ReachError::NoRtsp);
        }
        if self.global.rtsp_encryption == "strict" {
            return Err(ReachError::Encrypted);
        }
        let mut url = self.address(host)?;
        let wrong = |()| ReachError::Address(host.to_owned());
        url.set_host(Some(host)).map_err(|_| wrong(()))?;
        if let Some(given) = given {
            url.set_username(given.username()).map_err(wrong)?;
            url.set_password(given.password()).map_err(wrong)?;
        }
        Ok(url)
    }

    /// `everywhere` is the host of a server that listens on all addresses.
    fn address(&self, everywhere: &str) -> Result<Url, ReachError> {
        let address = &self.global.rtsp_address;
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        let host = match host {
            "" | "0.0.0.0" | "[::]" => everywhere,
            host => host,
        };
        let url = format!("rtsp://{host}:{port}").parse();
        url.map_err(|_| ReachError::Address(address.clone()))
    }

    /// Only what is certain: passwords that are kept as a hash, users of an HTTP service and of JWT are not judged.
    /// Whether the server knows who reads by this URL, whatever path that is.
    ///
    /// # Errors
    /// When none of its own users who may read anything has that name and password.
    pub fn check_user(&self, url: &Url) -> Result<(), ReachError> {
        self.check(url, "any path", User::is_reader)
    }

    fn check_login(&self, url: &Url, path: &str) -> Result<(), ReachError> {
        self.check(url, path, |user| user.may_read(path))
    }

    fn check(&self, url: &Url, path: &str, may: impl Fn(&User) -> bool) -> Result<(), ReachError> {
        if self.global.auth_method != "internal" {
            return Ok(());
        }
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let user = decode(url.username());
        let password = decode(url.password().unwrap_or_default());
        let mut users = self.global.auth_internal_users.iter();
        if users.any(|it| may(it) && it.is(&user, &password)) {
            return Ok(());
        }
        let path = path.to_owned();
        Err(if user.is_empty() {
            ReachError::LoginMissing(path)
        } else {
            ReachError::LoginWrong { user, path }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reach(changes: serde_json::Value) -> Reach {
        let mut global = json!({
            "rtsp": true, "rtspAddress": ":8554", "rtspEncryption": "no",
            "rtspTransports": ["udp", "tcp"], "authMethod": "internal",
            "authInternalUsers": [
                {"user": "any", "pass": "", "permissions": [{"action": "read", "path": ""}]},
            ],
        });
        for (name, value) in changes.as_object().unwrap() {
            global[name] = value.clone();
        }
        Reach::from(serde_json::from_value::<Global>(global).unwrap())
    }

    #[test]
    fn the_server_reads_itself_at_its_own_port() {
        let url = |changes, given: Option<&str>| {
            let given = given.map(|it| it.parse().unwrap());
            reach(changes).own(given.as_ref(), "cam")
        };
        assert_eq!(
            url(json!({}), None).unwrap().as_str(),
            "rtsp://127.0.0.1:8554"
        );
        let moved = json!({"rtspAddress": "10.0.0.1:99"});
        assert_eq!(url(moved, None).unwrap().as_str(), "rtsp://10.0.0.1:99");
        for (changes, error) in [
            (json!({"rtsp": false}), ReachError::NoRtsp),
            (json!({"rtspEncryption": "strict"}), ReachError::Encrypted),
            (json!({"rtspTransports": ["udp"]}), ReachError::NoTcp),
        ] {
            assert_eq!(url(changes, None), Err(error));
        }
        let given = url(json!({"rtsp": false}), Some("rtsp://h:1")).unwrap();
        assert_eq!(given.as_str(), "rtsp://h:1");
    }

    #[test]
    fn a_login_that_the_server_does_not_know_is_told_before_anything_is_written() {
        let users = json!({"authInternalUsers": [
            {"user": "bob", "pass": "s3cret", "permissions": [{"action": "read", "path": "cam"}]},
            {"user": "eve", "pass": "sha256:xyz", "permissions": [{"action": "read", "path": "~^live"}]},
        ]});
        let ask = |url: &str, path: &str| {
            let url = url.parse().unwrap();
            reach(users.clone()).own(Some(&url), path)
        };
        assert!(ask("rtsp://bob:s3cret@h:1", "cam").is_ok());
        assert!(ask("rtsp://eve:anything@h:1", "live/1").is_ok());
        for (url, path, part) in [
            ("rtsp://h:1", "cam", "without a login"),
            ("rtsp://bob:wrong@h:1", "cam", "no user \"bob\""),
            ("rtsp://bob:s3cret@h:1", "door", "read door"),
        ] {
            let message = ask(url, path).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("wrong@"), "{message}");
        }
        let elsewhere = reach(json!({"authMethod": "http", "authInternalUsers": []}));
        assert!(elsewhere.own(None, "cam").is_ok());
    }

    #[test]
    fn from_here_it_is_another_address() {
        let given: Url = "rtsp://u:p@127.0.0.1:8554".parse().unwrap();
        let url = reach(json!({})).from_here("media.example", Some(&given));
        assert_eq!(url.unwrap().as_str(), "rtsp://u:p@media.example:8554");
    }
}
