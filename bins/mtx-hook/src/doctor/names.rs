//! Names of hooks: v1.19.3 renamed some, and a server refuses a file with a name that it does not know.

use super::configuration::{Configuration, Settings};
use super::finding::Findings;

/// Old names, which newer servers still take, and the new ones.
const RENAMED: [(&str, &str); 3] = [
    ("runOnReady", "runOnAvailable"),
    ("runOnReadyRestart", "runOnAvailableRestart"),
    ("runOnNotReady", "runOnUnavailable"),
];

/// Compares with the settings that the running server has under `pathDefaults`.
pub(super) fn check(configuration: &Configuration, known: &Settings, findings: &mut Findings) {
    let defaults = ("pathDefaults", &configuration.defaults);
    let entries = configuration.entries.iter();
    let entries = entries.map(|entry| (entry.name.as_str(), &entry.settings));
    for (owner, settings) in [defaults].into_iter().chain(entries) {
        for name in settings.keys().filter(|name| name.starts_with("runOn")) {
            check_name(&format!("{owner}: {name}"), name, settings, known, findings);
        }
    }
}

fn check_name(
    place: &str,
    name: &str,
    settings: &Settings,
    known: &Settings,
    findings: &mut Findings,
) {
    let renamed = RENAMED.iter().find(|(old, _)| *old == name);
    let old_of = RENAMED.iter().find(|(_, new)| *new == name);
    match (renamed, old_of) {
        (Some((_, new)), _) if known.contains_key(*new) => {
            let both = if settings.contains_key(*new) {
                format!(" and silently beats the {new} beside it")
            } else {
                format!(" and silently beats a {new} that is set later")
            };
            findings.warning(place, format!("it is an old name, works with a warning,{both}: write {new}"));
        }
        _ if known.contains_key(name) => {}
        (_, Some((old, _))) if known.contains_key(*old) => findings.error(
            place,
            format!("this server does not know the name, which came with v1.19.3, and refuses the whole file: write {old}"),
        ),
        _ => findings.error(
            place,
            "this server knows no such setting and refuses the whole file: see its mediamtx.yml for the name",
        ),
    }
}
