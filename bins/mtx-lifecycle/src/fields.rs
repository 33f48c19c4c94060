//! The settings of a path that a policy can touch: what they are called, which are hot, and when two are the same.

use mediamtx::api::Fields;
use serde_json::Value;

use crate::span::Span;

/// A change of one of these leaves the stream, its readers and its publisher alone (MediaMTX's
/// `pathConfCanBeUpdated`). A change of any other destroys the path and creates it anew.
const HOT: [&str; 7] = [
    "record",
    "recordPath",
    "recordFormat",
    "recordPartDuration",
    "recordMaxPartSize",
    "recordSegmentDuration",
    "recordDeleteAfter",
];

/// Of the others, those that a policy sets or has to know.
const COLD: [&str; 9] = [
    "source",
    "sourceOnDemand",
    "sourceOnDemandStartTimeout",
    "sourceOnDemandCloseAfter",
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

/// Whether a running stream survives a change of this setting.
#[must_use]
pub fn is_hot(name: &str) -> bool {
    HOT.contains(&name)
}

/// Whether a policy has anything to do with this setting.
#[must_use]
pub fn is_managed(name: &str) -> bool {
    is_hot(name) || COLD.contains(&name)
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

/// The settings that are hot, and those that are not.
#[must_use]
pub fn split(fields: Fields) -> (Fields, Fields) {
    fields.into_iter().partition(|(name, _)| is_hot(name))
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

    #[test]
    fn settings_of_a_recording_are_hot_and_those_of_the_source_are_not() {
        let all = fields(json!({"record": true, "recordPath": "x", "runOnDemand": "y"}));
        let (hot, cold) = split(all);
        assert_eq!(hot.keys().collect::<Vec<_>>(), ["record", "recordPath"]);
        assert_eq!(cold.keys().collect::<Vec<_>>(), ["runOnDemand"]);
    }
}
