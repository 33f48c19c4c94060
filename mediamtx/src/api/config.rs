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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Global {
    /// Whether it speaks RTSP.
    pub rtsp: bool,
    /// Where, as `[host]:port`.
    pub rtsp_address: String,
    /// `no`, `optional` or `strict`; in front of its TLS port.
    pub rtsp_encryption: String,
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
