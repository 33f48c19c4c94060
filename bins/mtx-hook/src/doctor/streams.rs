//! Defaults of paths that are not what one expects of results and recordings.

use std::time::Duration;

use serde_json::Value;

use super::configuration::{Configuration, Entry, flag};
use super::finding::Diagnosis;
use super::hooks::ends_in;

/// How long MediaMTX keeps recordings unless told otherwise.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A running server does not tell a default from the same value in its file: `has_defaults` is for such.
pub(super) fn check(configuration: &Configuration, has_defaults: bool, diagnosis: &mut Diagnosis) {
    for entry in &configuration.entries {
        check_override(configuration, entry, has_defaults, diagnosis);
        check_recording(configuration, entry, has_defaults, diagnosis);
    }
}

fn check_override(
    configuration: &Configuration,
    entry: &Entry,
    has_defaults: bool,
    diagnosis: &mut Diagnosis,
) {
    let of_entry = |name| configuration.of_entry(entry, name);
    let is_published = of_entry("source").is_none_or(|source| source == "publisher");
    let given = of_entry("overridePublisher").and_then(flag);
    let is_default = given.is_none() || (has_defaults && given == Some(true));
    if ends_in(&entry.name, "out") && is_published && is_default {
        diagnosis.warning(
            format!("{}: overridePublisher", entry.name),
            "by default a second publisher throws out the worker: write overridePublisher: no",
        );
    }
}

fn check_recording(
    configuration: &Configuration,
    entry: &Entry,
    has_defaults: bool,
    diagnosis: &mut Diagnosis,
) {
    let of_entry = |name| configuration.of_entry(entry, name);
    let records = of_entry("record").and_then(flag) == Some(true);
    let kept = of_entry("recordDeleteAfter");
    let is_default = kept.is_none() || (has_defaults && kept.is_some_and(is_a_day));
    if records && is_default {
        diagnosis.warning(
            format!("{}: recordDeleteAfter", entry.name),
            "recordings are deleted after a day, which is the default: write how long to keep them, 0s for ever",
        );
    }
}

fn is_a_day(value: &Value) -> bool {
    match value.as_str() {
        Some("1d" | "24h0m0s" | "24h") => true,
        Some(text) => common::duration::parse(text) == Ok(DAY),
        None => false,
    }
}
