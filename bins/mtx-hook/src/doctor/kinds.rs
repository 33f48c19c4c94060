//! Kinds of values, as MediaMTX reads them from variables (its `internal/conf/env/env.go`): it ends at its start for a value
//! of another kind. The words of YAML, such as `on`, are none there.

use regex_lite::Regex;

/// What a setting takes; texts and lists of texts take anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Flag,
    /// Of 32 bits, like the next one.
    Integer,
    Unsigned,
    Float,
    Duration,
    Encryption,
    Transports,
}

impl ValueKind {
    /// As the lists of settings name it.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "flag" => Self::Flag,
            "integer" => Self::Integer,
            "unsigned" => Self::Unsigned,
            "float" => Self::Float,
            "duration" => Self::Duration,
            "encryption" => Self::Encryption,
            "transports" => Self::Transports,
            _ => return None,
        })
    }

    /// What has to be written, for messages.
    pub(super) fn wanted(self) -> &'static str {
        match self {
            Self::Flag => "yes, no, true or false",
            Self::Integer => "a whole number",
            Self::Unsigned => "a whole number without a sign",
            Self::Float => "a number",
            Self::Duration => "a time such as 10s, 5m or 1d",
            Self::Encryption => "no, optional or strict",
            Self::Transports => "of udp, multicast and tcp, with commas between them",
        }
    }

    /// Whether the value of a variable is one.
    pub(super) fn takes(self, value: &str) -> bool {
        match self {
            Self::Flag => {
                let lower = value.to_lowercase();
                matches!(lower.as_str(), "yes" | "no" | "true" | "false")
            }
            Self::Integer => value.parse::<i32>().is_ok(),
            Self::Unsigned => value.parse::<u32>().is_ok() && !value.starts_with('+'),
            // Go reads hexadecimal ones, too.
            Self::Float => value.parse::<f64>().is_ok() || value.to_lowercase().contains("0x"),
            Self::Duration => is_duration(value),
            Self::Encryption => matches!(
                value,
                "no" | "false" | "optional" | "strict" | "yes" | "true"
            ),
            Self::Transports => {
                let mut transports = value.split(',');
                value.is_empty() || transports.all(|it| ["udp", "multicast", "tcp"].contains(&it))
            }
        }
    }
}

/// Days, and what Go's `time.ParseDuration` takes (`internal/conf/duration.go`).
fn is_duration(value: &str) -> bool {
    const DURATION: &str =
        r"^(-?[0-9]+d)?([-+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+))?$";
    Regex::new(DURATION).is_ok_and(|duration| duration.is_match(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValueKind::{Duration, Encryption, Flag, Float, Integer, Transports, Unsigned};

    #[test]
    fn values_of_variables_are_judged_as_the_server_reads_them() {
        for (kind, right, wrong) in [
            (Flag, "yes No TRUE false", "on off 1 0 y"),
            (Integer, "0 -5 +5 007", "many 1_024 1.5 3000000000 10s"),
            (Unsigned, "0 4000000000", "-5 +5 5000000000 x"),
            (Float, "0 -1.5 1e3 .5 0x1p4", "many 1,5"),
            (Duration, "10s 1h30m 7d 1d12h -5s .5s 0", "10 ten 5min 1w s"),
            (Encryption, "no optional strict yes", "on off No maybe"),
            (Transports, "tcp udp,multicast,tcp", "TCP udp;tcp tls"),
        ] {
            for value in right.split(' ') {
                assert!(kind.takes(value), "{kind:?} {value}");
            }
            for value in wrong.split(' ') {
                assert!(!kind.takes(value), "{kind:?} {value}");
            }
            let takes_nothing = [Duration, Transports].contains(&kind);
            assert_eq!(kind.takes(""), takes_nothing, "{kind:?}");
        }
        assert!(!Transports.takes("udp, tcp"));
    }
}
