//! Taking over an existing mediamtx.yml.

use mediamtx::api::Fields;
use mediamtx::pattern::Pattern;
use serde::Deserialize;
use serde_json::Value;
use serde_yaml::Error as YamlError;

use super::{CloseAfter, Policy, RecordFormat, Rule, Settings, Source};
use crate::server::{Demand, is_on, text};
use crate::span::Span;

/// What a mediamtx.yml comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migration {
    /// The policy.
    pub policy: Policy,
    /// What would be otherwise than before, or stays as it is, and why.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    paths: serde_yaml::Value,
    #[serde(default, rename = "pathDefaults")]
    defaults: serde_yaml::Value,
}

/// Reads a mediamtx.yml.
///
/// # Errors
/// When it is no YAML, or none with paths.
pub fn migrate(yaml: &str) -> Result<Migration, YamlError> {
    let file: File = serde_yaml::from_str(yaml)?;
    let mut migration = Migration::default();
    let defaults = settings(&file.defaults);
    let entries = file.paths.as_mapping().into_iter().flatten();
    for (name, value) in entries {
        let name = match name {
            serde_yaml::Value::String(name) => name.clone(),
            // MediaMTX reads its names as they stand there.
            serde_yaml::Value::Number(number) => number.to_string(),
            other => {
                let name = serde_yaml::to_string(other)?;
                migration.note(name.trim(), "stays as it is: write the name in quotes");
                continue;
            }
        };
        let mut fields = defaults.clone();
        fields.extend(settings(value));
        migration.take(&name, &fields);
    }
    Ok(migration)
}

/// As the API has them: `yes` is a truth there.
fn settings(yaml: &serde_yaml::Value) -> Fields {
    let json = serde_json::to_value(yaml).unwrap_or_default();
    let fields = json.as_object().cloned().unwrap_or_default();
    let truth = |value: Value| match value.as_str() {
        // MediaMTX's internal/conf/yamlwrapper/unmarshal.go.
        Some("yes" | "Yes" | "YES" | "on" | "On" | "ON") => Value::from(true),
        Some("no" | "No" | "NO" | "off" | "Off" | "OFF") => Value::from(false),
        _ => value,
    };
    fields
        .into_iter()
        .map(|(name, value)| (name, truth(value)))
        .collect()
}

impl Migration {
    fn take(&mut self, name: &str, fields: &Fields) {
        let demand = Demand::of(fields);
        let records = is_on(fields, "record");
        if demand == Demand::None && !records {
            return;
        }
        let Ok(path) = Pattern::try_from(name.to_owned()) else {
            self.note(
                name,
                "stays as it is: a policy is for paths by name, or with * in it",
            );
            return;
        };
        if matches!(name, "all" | "all_others") {
            self.note(
                name,
                "stays as it is: it is for all paths that have no entry",
            );
            return;
        }
        let source = match source(demand, fields) {
            Ok(source) => source,
            Err(why) => {
                self.note(name, &format!("stays as it is: {why}"));
                return;
            }
        };
        let use_case = if records { "recording" } else { "viewing" };
        let overrides = self.overrides(name, use_case, demand, fields);
        self.policy.paths.push(Rule {
            path,
            use_case: Some(use_case.to_owned()),
            schedule: None,
            source,
            overrides,
        });
    }

    /// What the file says otherwise than the use case, which is kept.
    fn overrides(
        &mut self,
        name: &str,
        use_case: &str,
        demand: Demand,
        fields: &Fields,
    ) -> Settings {
        let meaning = self.policy.use_case(use_case).unwrap_or_default();
        let span = |name: &str| {
            text(fields, name)
                .parse::<Span>()
                .ok()
                .filter(|_| fields.contains_key(name))
        };
        let (close_after, start_timeout) = match demand {
            Demand::Command => ("runOnDemandCloseAfter", "runOnDemandStartTimeout"),
            Demand::Fetched => ("sourceOnDemandCloseAfter", "sourceOnDemandStartTimeout"),
            Demand::None => ("", ""),
        };
        let close_after = match demand {
            Demand::None => None,
            _ => self.close_after(name, use_case, span(close_after)),
        };
        let format = match text(fields, "recordFormat") {
            "mpegts" => Some(RecordFormat::MpegTs),
            _ => None,
        };
        if demand == Demand::Command && !is_on(fields, "runOnDemandRestart") {
            self.note(
                name,
                "its command is started again when it ends, if it is still wanted",
            );
        }
        let path = fields.get("recordPath").and_then(Value::as_str);
        Settings {
            close_after: close_after.filter(|it| Some(*it) != meaning.close_after),
            start_timeout: span(start_timeout).filter(|it| Some(*it) != meaning.start_timeout),
            restart: None,
            record: None,
            record_path: path.map(str::to_owned),
            record_format: format,
            record_part_duration: span("recordPartDuration"),
            record_segment_duration: span("recordSegmentDuration"),
            record_delete_after: span("recordDeleteAfter"),
        }
    }

    /// How long after its last viewer an on-demand stream goes on, where that is not the use case's matter.
    fn close_after(
        &mut self,
        name: &str,
        use_case: &str,
        after: Option<Span>,
    ) -> Option<CloseAfter> {
        match (use_case, after) {
            ("recording", after) => {
                let after = after.unwrap_or(Span::seconds(10));
                let what = format!(
                    "is recorded all the time; so far it was closed {after} after its last viewer"
                );
                self.note(name, &what);
                None
            }
            (_, None) => {
                self.note(name, "closes 5m after its last viewer, no longer 10s");
                None
            }
            (_, Some(after)) => {
                let after = CloseAfter::try_from(after.to_string());
                if after.is_err() {
                    let what =
                        "had less than 1s, which closes at once: closes 5m after its last viewer";
                    self.note(name, what);
                }
                after.ok()
            }
        }
    }

    fn note(&mut self, path: &str, what: &str) {
        self.notes.push(format!("{path}: {what}"));
    }
}

fn source(demand: Demand, fields: &Fields) -> Result<Option<Source>, String> {
    let yaml = match demand {
        Demand::None => return Ok(None),
        Demand::Command => ("command", text(fields, "runOnDemand")),
        Demand::Fetched if text(fields, "source").starts_with("rtsp") => {
            ("rtsp", text(fields, "source"))
        }
        // The server has it; a policy need not.
        Demand::Fetched => return Ok(None),
    };
    let (kind, value) = yaml;
    let source = serde_json::from_value(serde_json::json!({kind: value}));
    source.map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const YAML: &str = "\
logLevel: info
pathDefaults: {recordSegmentDuration: 30m}
paths:
  door:
    runOnDemand: ffmpeg x
    runOnDemandCloseAfter: 0s
  hall: {source: 'rtsp://u:p@h/1', sourceOnDemand: yes, sourceOnDemandCloseAfter: 1m, record: yes}
  push: {record: yes}
  plain: {}
  '~^cam(.)$': {runOnDemand: x}
  all_others:
";

    #[test]
    fn each_path_becomes_a_rule_and_every_difference_is_told() {
        let Migration { policy, notes } = migrate(YAML).unwrap();
        let use_case = |path: &str| policy.rule(path).and_then(|rule| rule.use_case.clone());
        assert_eq!(use_case("door").as_deref(), Some("viewing"));
        assert_eq!(use_case("hall").as_deref(), Some("recording"));
        assert_eq!(use_case("push").as_deref(), Some("recording"));
        assert_eq!(use_case("plain"), None);
        let hall = policy.rule("hall").unwrap();
        assert!(matches!(hall.source, Some(Source::Rtsp(_))));
        let half_an_hour = Some(Span::seconds(1800));
        assert_eq!(hall.overrides.record_segment_duration, half_an_hour);
        let notes = notes.join("\n");
        for part in [
            "door: had less than 1s",
            "~^cam(.)$: stays",
            "hall: is recorded all the time",
        ] {
            assert!(notes.contains(part), "{notes} lacks {part}");
        }
        let yaml = serde_yaml::to_string(&policy).unwrap();
        assert_eq!(yaml.parse::<Policy>().unwrap(), policy);
    }

    #[test]
    fn no_path_is_lost_and_the_policy_can_be_applied() {
        let yaml = "paths:\n  5: {record: On}\n  7: {record: YES}\n  quick: {runOnDemand: x, runOnDemandCloseAfter: 500ms}\n  off: {record: Off}\n  true: {record: yes}\n";
        let Migration { policy, notes } = migrate(yaml).unwrap();
        let use_case = |path: &str| policy.rule(path).and_then(|rule| rule.use_case.clone());
        assert_eq!(use_case("5").as_deref(), Some("recording"));
        assert_eq!(use_case("7").as_deref(), Some("recording"));
        assert_eq!(use_case("off"), None);
        let notes = notes.join("\n");
        for part in ["quick: had less than 1s", "true: stays"] {
            assert!(notes.contains(part), "{notes} lacks {part}");
        }
        let yaml = serde_yaml::to_string(&policy).unwrap();
        assert_eq!(yaml.parse::<Policy>().unwrap(), policy);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = migrate(&text);
        }

        #[test]
        fn no_entry_panics(key in "[a-zA-Z]{1,20}", value in "[!-~]{0,9}") {
            let _ = migrate(&format!("paths:\n  a: {{runOnDemand: x, {key}: {value}}}\n"));
        }
    }
}
