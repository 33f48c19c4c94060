//! How the server is configured, and configuring it.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use ureq::http::Method;

use super::{Api, ApiError};

/// An entry has a hundred settings and takes four kilobytes.
const PER_PAGE: usize = 100;

/// What a path's name (or the regular expression that stands for one) can't show in a URL.
const IN_NAMES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Settings of a path by their names in mediamtx.yml.
pub type Fields = Map<String, Value>;

/// Settings of the whole server, as far as the suite cares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Global {
    /// Whether it speaks RTSP.
    pub rtsp: bool,
    /// Where, as `[host]:port`.
    pub rtsp_address: String,
    /// `no`, `optional` or `strict`; in front of its TLS port.
    #[serde(default)]
    pub rtsp_encryption: String,
    /// `udp`, `multicast` and `tcp`; nothing where the server calls the setting otherwise.
    #[serde(default)]
    pub rtsp_transports: Vec<String>,
    /// `internal`, `http` or `jwt`.
    #[serde(default)]
    pub auth_method: String,
    /// Its users, where it keeps them itself.
    #[serde(default)]
    pub auth_internal_users: Vec<User>,
}

/// One of `authInternalUsers`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// The name; `any` is everybody.
    user: String,
    #[serde(default)]
    pass: String,
    #[serde(default)]
    permissions: Vec<Permission>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Permission {
    action: String,
    #[serde(default)]
    path: String,
}

impl User {
    /// Whether the user may read a path, from some address at least; expressions are taken to match.
    #[must_use]
    pub fn may_read(&self, path: &str) -> bool {
        let mut permissions = self.permissions.iter();
        permissions.any(|it| {
            let is_meant = it.path.is_empty() || it.path.starts_with('~') || it.path == path;
            it.action == "read" && is_meant
        })
    }

    /// Whether the user may read any path at all.
    #[must_use]
    pub fn is_reader(&self) -> bool {
        self.permissions.iter().any(|it| it.action == "read")
    }

    /// Whether a login is this user's, as far as that can be told: what is kept as a hash, or not shown, is taken to
    /// match.
    #[must_use]
    pub fn is(&self, user: &str, password: &str) -> bool {
        // What MediaMTX says since v1.20.1 in place of a password (v1.21.0: internal/conf/redact.go).
        const NOT_SHOWN: &str = "<redacted>";
        let is_secret = |known: &str| {
            known == NOT_SHOWN || known.starts_with("sha256:") || known.starts_with("argon2:")
        };
        let is_same = |known: &str, given: &str| known == given || is_secret(known);
        let is_open = self.user == "any" && self.pass.is_empty();
        is_open || (is_same(&self.user, user) && is_same(&self.pass, password))
    }
}

impl Api {
    /// The entries under `paths`, each with what is in force after all defaults. The caller says what of it to keep.
    pub fn path_configs<T: DeserializeOwned>(&self) -> Result<Vec<T>, ApiError> {
        self.list("/v3/config/paths/list", PER_PAGE)
    }

    /// All settings of one entry, or `None` if there is none of that name.
    pub fn path_config(&self, name: &str) -> Result<Option<Fields>, ApiError> {
        match self.get(&entry("get", name), self.deadline) {
            Err(ApiError::NotFound { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// What an entry gets that does not say otherwise.
    pub fn path_defaults(&self) -> Result<Fields, ApiError> {
        self.get("/v3/config/pathdefaults/get", self.deadline)
    }

    /// All settings of the whole server.
    pub fn global_settings(&self) -> Result<Fields, ApiError> {
        self.get("/v3/config/global/get", self.deadline)
    }

    /// Settings of the whole server, as far as all programs need them.
    pub fn global(&self) -> Result<Global, ApiError> {
        self.get("/v3/config/global/get", self.deadline)
    }

    /// Adds an entry. It does not hold yet when this returns, as with the other changes.
    pub fn add_path(&self, name: &str, fields: &Fields) -> Result<(), ApiError> {
        self.change(&Method::POST, &entry("add", name), fields)
    }

    /// Changes some settings of an entry.
    pub fn patch_path(&self, name: &str, fields: &Fields) -> Result<(), ApiError> {
        self.change(&Method::PATCH, &entry("patch", name), fields)
    }

    /// Removes an entry.
    pub fn delete_path(&self, name: &str) -> Result<(), ApiError> {
        let call = entry("delete", name);
        self.call(&Method::DELETE, &call, None, self.deadline)?;
        Ok(())
    }

    fn change(&self, method: &Method, call: &str, fields: &Fields) -> Result<(), ApiError> {
        // A map of JSON values always has a JSON form.
        let body = serde_json::to_vec(fields).unwrap_or_default();
        self.call(method, call, Some(body), self.deadline)?;
        Ok(())
    }
}

fn entry(action: &str, name: &str) -> String {
    format!(
        "/v3/config/paths/{action}/{}",
        utf8_percent_encode(name, IN_NAMES)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_into_a_url_as_they_are_or_escaped() {
        assert_eq!(
            entry("get", "live/a.b-c_1/in"),
            "/v3/config/paths/get/live/a.b-c_1/in"
        );
        assert_eq!(
            entry("get", r"~^a?(\d+)$"),
            r"/v3/config/paths/get/~%5Ea%3F(%5Cd+)$"
        );
    }
}
