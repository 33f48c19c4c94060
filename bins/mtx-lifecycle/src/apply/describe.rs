//! Changes in words, without passwords.

use common::secret::{self, HIDDEN};
use mediamtx::api::Fields;
use serde_json::Value;

use crate::ledger::Change;
use crate::plan::Step;
use crate::policy::Current;
use crate::server::Keeper;

/// A step in words.
pub(crate) fn describe(step: &Step, current: &Current) -> String {
    if Keeper::parse(&step.entry).is_none() {
        return match &step.change {
            Change::Add(fields) => format!("new entry: {}", describe_fields(fields)),
            Change::Patch(fields) => describe_fields(fields),
            Change::Remove => "entry removed".to_owned(),
        };
    }
    let path = &step.path;
    let is_for_a_moment = current.is_held(path) && !current.settings(path).lasts();
    let text = match &step.change {
        Change::Remove => "no longer held open without viewers",
        Change::Patch(_) => "what holds it open reads it anew",
        Change::Add(_) if is_for_a_moment => "held open until its source has come",
        Change::Add(_) => "held open without viewers",
    };
    text.to_owned()
}

/// Settings in words.
pub(crate) fn describe_fields(fields: &Fields) -> String {
    let shown = without_passwords(fields);
    let shown = shown.iter().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={text}")
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Settings as they may be shown.
pub(super) fn without_passwords(fields: &Fields) -> Fields {
    let hide = |name: &str, value: &Value| match value.as_str() {
        Some(text) if !text.is_empty() && secret::names_a_secret(name) => Value::from(HIDDEN),
        Some(text) => Value::from(secret::conceal(text)),
        None => value.clone(),
    };
    fields
        .iter()
        .map(|(name, value)| (name.clone(), hide(name, value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_told_without_passwords_and_tokens() {
        let fields = json!({
            "record": true,
            "runOnDemand": "curl -H 'Authorization: Bearer s3cret' http://u:s3cret@h/?token=s3cret",
            "srtPublishPassphrase": "s3cret",
            "srtReadPassphrase": "",
        });
        assert_eq!(
            describe_fields(fields.as_object().unwrap()),
            "record=true runOnDemand=curl -H 'Authorization: Bearer ***' http://u:***@h/?token=*** \
             srtPublishPassphrase=*** srtReadPassphrase="
        );
    }
}
