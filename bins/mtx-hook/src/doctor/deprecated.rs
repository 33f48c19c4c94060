//! Old names of settings that servers still obey, all of them v1.12.3 and later (`Validate` in MediaMTX's
//! `internal/conf/conf.go`, `validate` in its `path.go`).

use serde_json::Value;

use super::configuration::{Configuration, PATH_DEFAULTS, Settings, flag};
use super::finding::Diagnosis;

/// An old name, and the setting that a server makes of it.
struct Renamed {
    old: &'static str,
    new: &'static str,
    change: Change,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Name,
    /// `yes` has become `no`.
    Negated,
    /// From the top level to `pathDefaults`.
    ToDefaults,
}

const fn renamed(old: &'static str, new: &'static str, change: Change) -> Renamed {
    Renamed { old, new, change }
}

const OF_SERVER: [Renamed; 16] = [
    renamed("readBufferCount", "writeQueueSize", Change::Name),
    renamed("rtspDisable", "rtsp", Change::Negated),
    renamed("rtmpDisable", "rtmp", Change::Negated),
    renamed("hlsDisable", "hls", Change::Negated),
    renamed("webrtcDisable", "webrtc", Change::Negated),
    renamed("protocols", "rtspTransports", Change::Name),
    renamed("encryption", "rtspEncryption", Change::Name),
    renamed("authMethods", "rtspAuthMethods", Change::Name),
    renamed("serverCert", "rtspServerCert", Change::Name),
    renamed("serverKey", "rtspServerKey", Change::Name),
    renamed("record", "record", Change::ToDefaults),
    renamed("recordPath", "recordPath", Change::ToDefaults),
    renamed("recordFormat", "recordFormat", Change::ToDefaults),
    renamed(
        "recordPartDuration",
        "recordPartDuration",
        Change::ToDefaults,
    ),
    renamed(
        "recordSegmentDuration",
        "recordSegmentDuration",
        Change::ToDefaults,
    ),
    renamed("recordDeleteAfter", "recordDeleteAfter", Change::ToDefaults),
];

const OF_PATH: [Renamed; 3] = [
    renamed(
        "disablePublisherOverride",
        "overridePublisher",
        Change::Negated,
    ),
    renamed("sourceProtocol", "rtspTransport", Change::Name),
    renamed("sourceAnyPortEnable", "rtspAnyPort", Change::Name),
];

/// Puts each of them where the server puts it: it beats the new name beside it.
pub(super) fn translate(configuration: &mut Configuration, diagnosis: &mut Diagnosis) {
    for setting in &OF_SERVER {
        let Some(value) = taken(setting, &mut configuration.global) else {
            continue;
        };
        diagnosis.warning(setting.old, advice(setting));
        let level = if setting.change == Change::ToDefaults {
            &mut configuration.defaults
        } else {
            &mut configuration.global
        };
        level.insert(setting.new.to_owned(), value);
        if configuration.is_of_variable(None, setting.old) {
            let owner = (setting.change == Change::ToDefaults).then(|| PATH_DEFAULTS.to_owned());
            configuration.of_variables.push((owner, setting.new));
        }
    }
    let entries = configuration.entries.iter_mut();
    let entries = entries.map(|entry| (entry.name.as_str(), &mut entry.settings));
    let defaults = (PATH_DEFAULTS, &mut configuration.defaults);
    for (owner, settings) in [defaults].into_iter().chain(entries) {
        for setting in &OF_PATH {
            if let Some(value) = taken(setting, settings) {
                diagnosis.warning(format!("{owner}: {}", setting.old), advice(setting));
                let owner = Some(owner.to_owned());
                if configuration
                    .of_variables
                    .contains(&(owner.clone(), setting.old))
                {
                    configuration.of_variables.push((owner, setting.new));
                }
                settings.insert(setting.new.to_owned(), value);
            }
        }
    }
}

/// The value for the new name. One that is empty or no value of the setting stays where it is.
fn taken(setting: &Renamed, settings: &mut Settings) -> Option<Value> {
    let value = settings.get(setting.old).filter(|value| !value.is_null())?;
    let value = if setting.change == Change::Negated {
        Value::Bool(!flag(value)?)
    } else {
        value.clone()
    };
    settings.remove(setting.old);
    Some(value)
}

fn advice(setting: &Renamed) -> String {
    const OLD: &str = "it is an old name, works with a warning, and beats the new one";
    let new = setting.new;
    match setting.change {
        Change::Name => format!("{OLD}: write {new}"),
        Change::Negated => format!("{OLD}: write {new} with the opposite value"),
        Change::ToDefaults => format!("{OLD}: write {new} under {PATH_DEFAULTS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{refused, streams};
    use super::*;

    #[test]
    fn servers_obey_old_names_and_so_does_doctor() {
        let yaml = "rtspDisable: yes\nrtmpDisable: no\nencryption: strict\nprotocols: [udp]\nrecordDeleteAfter: 0s\n\
            rtmp: no\npaths: {cam/out: {disablePublisherOverride: yes, record: yes}, new: {record: yes}}";
        let mut configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        let mut diagnosis = Diagnosis::default();
        translate(&mut configuration, &mut diagnosis);
        assert!(!configuration.is_on("rtsp") && configuration.is_on("rtmp"));
        assert!(configuration.is_strict("rtspEncryption"));
        assert!(configuration.global.contains_key("rtspTransports"));
        let found: Vec<_> = diagnosis.found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 6, "{found:?}");
        for part in [
            "warning: rtspDisable: it is an old name, works with a warning, and beats the new one: write rtsp with",
            "warning: cam/out: disablePublisherOverride: ",
            "write recordDeleteAfter under pathDefaults",
        ] {
            assert!(found.iter().any(|it| it.contains(part)), "{found:?}");
        }
        let mut others = Diagnosis::default();
        streams::check(&configuration, false, &mut others);
        refused::check(&configuration, None, &mut others);
        assert_eq!(others.found, Vec::new());
    }

    #[test]
    fn values_of_the_wrong_kind_stay_where_they_are() {
        let yaml = "rtspDisable: maybe\nprotocols:\npaths: {cam: {sourceProtocol: }}";
        let mut configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        let mut diagnosis = Diagnosis::default();
        translate(&mut configuration, &mut diagnosis);
        assert_eq!(diagnosis.found, Vec::new());
        assert!(configuration.global.contains_key("rtspDisable"));
    }
}
