//! The settings of a path that a policy can touch: what they are called, and when two values are the same.

use mediamtx::api::Fields;
use mediamtx::version::RECORDING;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::span::Span;

/// The settings that a policy sets or has to know, besides those of a recording.
const MANAGED: [&str; 10] = [
    "source",
    "sourceOnDemand",
    "sourceOnDemandStartTimeout",
    "sourceOnDemandCloseAfter",
    "rtspTransport",
    "alwaysAvailable",
    "runOnDemand",
    "runOnDemandRestart",
    "runOnDemandStartTimeout",
    "runOnDemandCloseAfter",
];

const TIMES: [&str; 7] = [
    "recordPartDuration",
    "recordSegmentDuration",
    "recordDeleteAfter",
    "sourceOnDemandStartTimeout",
    "sourceOnDemandCloseAfter",
    "runOnDemandStartTimeout",
    "runOnDemandCloseAfter",
];

/// Whether a policy has anything to do with this setting.
#[must_use]
pub fn is_managed(name: &str) -> bool {
    MANAGED.contains(&name) || RECORDING.contains(&name)
}

/// Whether two values of a setting mean the same: `300s` is `5m0s`.
#[must_use]
pub fn same(name: &str, one: &Value, other: &Value) -> bool {
    let span = |value: &Value| value.as_str().and_then(|text| text.parse::<Span>().ok());
    if TIMES.contains(&name)
        && let (Some(one), Some(other)) = (span(one), span(other))
    {
        return one == other;
    }
    one == other
}

/// Those of the `wanted` settings that are not so yet.
#[must_use]
pub fn difference(current: &Fields, wanted: &Fields) -> Fields {
    let differs = |name: &String, value: &Value| {
        let current = current.get(name).unwrap_or(&Value::Null);
        !same(name, current, value)
    };
    let differing = wanted.iter().filter(|(name, value)| differs(name, value));
    differing
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A setting's text, or nothing.
#[must_use]
pub fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a setting is on.
#[must_use]
pub fn is_on(fields: &Fields, name: &str) -> bool {
    fields.get(name) == Some(&Value::Bool(true))
}

/// How a path comes by its stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Demand {
    /// The server runs a command when somebody reads.
    Command,
    /// The server fetches it when somebody reads.
    Fetched,
    /// It is there when it is there.
    #[default]
    None,
}

impl Demand {
    /// The setting that says how long such a source may take to start.
    #[must_use]
    pub fn start_timeout(self) -> Option<&'static str> {
        match self {
            Self::Command => Some("runOnDemandStartTimeout"),
            Self::Fetched => Some("sourceOnDemandStartTimeout"),
            Self::None => None,
        }
    }

    /// Of an entry with these settings.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        match text(fields, "source") {
            "" | "publisher" if !text(fields, "runOnDemand").is_empty() => Self::Command,
            "" | "publisher" | "redirect" => Self::None,
            _ if is_on(fields, "sourceOnDemand") => Self::Fetched,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn only_what_differs_is_left_to_write() {
        let current = fields(
            json!({"record": false, "runOnDemandCloseAfter": "5m0s", "recordPartDuration": ""}),
        );
        let wanted = fields(json!({
            "record": true, "runOnDemandCloseAfter": "300s", "recordPartDuration": "0s",
            "runOnDemandRestart": true,
        }));
        assert_eq!(
            difference(&current, &wanted),
            fields(json!({"record": true, "runOnDemandRestart": true}))
        );
    }
}
