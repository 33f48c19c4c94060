//! Entries of `paths`: names that a server refuses, and the whole file with them, and settings that don't go with them.

use mediamtx::path::PathName;
use mediamtx::version::Version;
use serde_json::Value;

use super::configuration::{Configuration, Entry};
use super::expression::{Verdict, judge};
use super::finding::Diagnosis;
use super::server::Server;

/// The entries that MediaMTX takes for one (`Validate` in its `internal/conf/conf.go`).
const FOR_ALL: [&str; 3] = ["all", "all_others", "~^.*$"];

/// The first version that is known to refuse `~` and `:` in names of paths.
const STRICT_NAMES: Version = Version::release(1, 19, 2);

/// Whether an entry is for all paths that have none of their own.
pub(super) fn is_for_all(name: &str) -> bool {
    FOR_ALL.contains(&name)
}

pub(super) fn check(
    configuration: &Configuration,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    for entry in &configuration.entries {
        match entry.name.strip_prefix('~') {
            Some(expression) => check_expression(expression, entry, server, diagnosis),
            None => check_name(entry, server, diagnosis),
        }
        if entry.expression().is_some() {
            check_init(configuration, entry, diagnosis);
        }
        check_demand(configuration, entry, diagnosis);
    }
    let for_all = configuration
        .entries
        .iter()
        .map(|entry| entry.name.as_str());
    let for_all: Vec<&str> = for_all.filter(|name| is_for_all(name)).collect();
    if let [_, _, ..] = for_all.as_slice() {
        let names = for_all.join(" and ");
        let text = format!(
            "{names} are the same to the server, which refuses the whole file: keep one of them"
        );
        diagnosis.error("paths", text);
    }
}

/// A server that runs with an entry of this name has accepted it.
fn is_accepted(entry: &Entry, server: Option<&Server>) -> bool {
    let entries = server.map(|server| server.configuration.entries.as_slice());
    entries
        .unwrap_or_default()
        .iter()
        .any(|it| it.name == entry.name)
}

fn check_name(entry: &Entry, server: Option<&Server>, diagnosis: &mut Diagnosis) {
    let name = &entry.name;
    if is_accepted(entry, server) {
        return;
    }
    if let Err(error) = name.parse::<PathName>() {
        let way_out = match looks_like_expression(name) {
            true => "; for a regular expression, write ~ before it",
            false => "",
        };
        let text = format!("the server refuses the whole file: {error}{way_out}");
        return diagnosis.error(format!("paths: {name:?}"), text);
    }
    if name.contains(['~', ':']) {
        let version = server.and_then(|server| server.version.as_deref()?.parse::<Version>().ok());
        let text = "~ and : in the name of a path";
        match version {
            Some(version) if version >= STRICT_NAMES => diagnosis.error(
                name,
                format!("this server refuses the whole file for {text}: rename it"),
            ),
            Some(_) => {}
            None => diagnosis.warning(
                name,
                format!("{STRICT_NAMES} and later refuse the whole file for {text}: rename it"),
            ),
        }
    }
}

fn looks_like_expression(name: &str) -> bool {
    name.contains(['^', '$', '*', '+', '(', '['])
}

fn check_expression(
    expression: &str,
    entry: &Entry,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    if is_accepted(entry, server) {
        return;
    }
    match judge(expression) {
        Verdict::Accepted => {}
        Verdict::Unknown => diagnosis.unchecked(format!(
            "whether {} is a regular expression: it is too unusual",
            entry.name
        )),
        Verdict::Refused(reason) => diagnosis.error(
            &entry.name,
            format!("the server refuses the whole file, since that is no regular expression (of RE2): {reason}"),
        ),
    }
}

fn check_init(configuration: &Configuration, entry: &Entry, diagnosis: &mut Diagnosis) {
    if !is_set(configuration, entry, "runOnInit") {
        return;
    }
    let text = if entry.settings.contains_key("runOnInit") {
        "the server refuses the whole file, since an expression has no path to run it for: move it to an entry with a plain name"
    } else {
        "the server refuses the whole file, since an expression has no path to run it for: move runOnInit from pathDefaults to an entry with a plain name"
    };
    diagnosis.error(format!("{}: runOnInit", entry.name), text);
}

fn check_demand(configuration: &Configuration, entry: &Entry, diagnosis: &mut Diagnosis) {
    let source = configuration
        .of_entry(entry, "source")
        .and_then(Value::as_str);
    if source.is_none_or(|source| source == "publisher") {
        return;
    }
    for hook in ["runOnDemand", "runOnUnDemand"] {
        if is_set(configuration, entry, hook) {
            diagnosis.error(
                format!("{}: {hook}", entry.name),
                "the server refuses the whole file, since only a path without a source has it: for one that is fetched on demand write sourceOnDemand: yes",
            );
        }
    }
}

fn is_set(configuration: &Configuration, entry: &Entry, hook: &str) -> bool {
    let line = configuration.of_entry(entry, hook).and_then(Value::as_str);
    line.is_some_and(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(paths: &str) -> (Vec<String>, Vec<String>) {
        let yaml = format!("paths: {{{paths}}}");
        let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        let mut diagnosis = Diagnosis::default();
        check(&configuration, None, &mut diagnosis);
        let found = diagnosis.found.iter().map(ToString::to_string).collect();
        (found, diagnosis.unchecked)
    }

    #[test]
    fn what_the_server_would_refuse_an_entry_for_is_an_error() {
        for (paths, part) in [
            (
                "'a b': {}",
                "error: paths: \"a b\": the server refuses the whole file: path \"a b\" contains ' '",
            ),
            ("'/a': {}", "begins or ends with a slash"),
            ("'^live/.*$': {}", "write ~ before it"),
            (
                "'~^a(': {}",
                "error: ~^a(: the server refuses the whole file, since that is no regular expression",
            ),
            ("'~(?=a)': {}", "look-around"),
            ("'~^live/**$': {}", "* follows another repetition"),
            ("'a~b': {}", "warning: a~b: v1.19.2 and later refuse"),
            ("'~^a$': {runOnInit: x}", "error: ~^a$: runOnInit:"),
            (
                "all_others: {runOnInit: x}",
                "error: all_others: runOnInit:",
            ),
            (
                "all_others: {}, '~^.*$': {}",
                "all_others and ~^.*$ are the same",
            ),
            (
                "a: {source: 'rtsp://h/a', runOnDemand: x}",
                "write sourceOnDemand: yes",
            ),
        ] {
            let (found, _) = diagnosis(paths);
            assert!(
                found.len() == 1 && found[0].contains(part),
                "{paths}: {found:?}"
            );
        }
    }

    #[test]
    fn what_no_server_refuses_is_no_error_and_the_unusual_is_not_judged() {
        for (paths, unchecked) in [
            ("'a-b_c.d/e': {runOnInit: x, runOnDemand: y}", 0),
            ("'~^live/([a-z]+)/in$': {}, all_others: {}", 0),
            ("'~\\p{Greek}': {}", 1),
            ("'~[a[b]': {}", 1),
            ("'~a{,2}': {}", 1),
        ] {
            let (found, not_checked) = diagnosis(paths);
            assert_eq!(
                (found.len(), not_checked.len()),
                (0, unchecked),
                "{paths}: {found:?}"
            );
        }
    }
}
