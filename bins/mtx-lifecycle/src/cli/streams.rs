//! Commands about one stream.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use common::timestamp::Timestamp;
use jiff::{ToSpan, Zoned, civil};
use mtx_lifecycle::commands::status::{Existence, PathStatus, rivalry};
use mtx_lifecycle::commands::{Error, Lifecycle, Report, Started};
use mtx_lifecycle::policy::Use;

use super::run::{Failure, noted, say, tell, warn};
use super::table;

/// When a use case ends that was started for a time.
pub(super) fn until(duration: Option<Duration>, until: Option<&str>) -> Result<Option<Timestamp>> {
    let now = Zoned::now();
    let moment = match (duration, until) {
        (None, None) => return Ok(None),
        (Some(duration), _) => now.checked_add(duration).context("--for")?,
        (None, Some(text)) => match text.parse() {
            Ok(timestamp) => return Ok(Some(timestamp)),
            Err(_) => next(text, &now).context("--until")?,
        },
    };
    Ok(Some(moment.timestamp().to_string().parse()?))
}

/// The next time that the clock on the wall shows it.
fn next(text: &str, now: &Zoned) -> Result<Zoned> {
    let wrong = || {
        anyhow!(
            "{text:?} is neither HH:MM, nor as in 2026-11-21T18:00, nor as in 2026-11-21T18:00:00Z (RFC 3339)"
        )
    };
    if text.contains(':')
        && let Ok(moment) = text.parse::<civil::DateTime>()
    {
        return Ok(moment.to_zoned(now.time_zone().clone())?);
    }
    // jiff reads a mere number as an hour.
    let time = text.contains(':').then(|| text.parse::<civil::Time>().ok());
    let time = time.flatten().ok_or_else(wrong)?;
    let on = |date: civil::Date| date.to_datetime(time).to_zoned(now.time_zone().clone());
    let today = on(now.date())?;
    if today > *now {
        return Ok(today);
    }
    Ok(on(now.date().checked_add(1.day())?)?)
}

pub(super) fn start(
    lifecycle: &Lifecycle,
    use_case: &str,
    path: &str,
    until: Option<Timestamp>,
) -> Result<(), Failure> {
    let report = match noted(lifecycle, lifecycle.start(use_case, path, until))? {
        Started::Running { after, report } => {
            say(&format!(
                "{path}: {use_case} runs, after {:.1} s",
                after.as_secs_f64()
            ));
            tell(lifecycle, &report)?;
            report
        }
        Started::Pending(report) => {
            tell(lifecycle, &report)?;
            say(&format!("{path}: {use_case} begins with what is pending"));
            report
        }
        Started::Armed(report) => {
            tell(lifecycle, &report)?;
            say(&format!(
                "{path}: {use_case} begins when somebody publishes there"
            ));
            report
        }
    };
    warn_of_rivals(path, &report);
    // It runs, whether or not the server says how long its files are kept.
    if let Ok(Some(retention)) = lifecycle.retention(path) {
        say(&format!("{path}: {retention}"));
    }
    let used = lifecycle.used(path)?;
    if let Some(reason) = &used.stopped {
        say(&format!(
            "{path}: what the policy records there rests ({reason}) until that is started without --for or --until"
        ));
    }
    if let Some(asked) = until {
        tell_end(lifecycle, use_case, path, asked, &used);
    }
    Ok(())
}

/// Says when a use case ends that was started for a time: later than `asked` if it was started for longer before.
fn tell_end(lifecycle: &Lifecycle, use_case: &str, path: &str, asked: Timestamp, used: &Use) {
    let known = used.until.get(use_case).copied();
    if known.is_none() && used.started.contains_key(use_case) {
        say(&format!(
            "{path}: {use_case} was started before without an end, and goes on: mtx-lifecycle stop {path} ends it"
        ));
        return;
    }
    let until = known.unwrap_or(asked);
    let why = if until > asked {
        ", as it was started before for longer"
    } else {
        ""
    };
    say(&format!("{path}: {use_case} ends at {until}{why}"));
    if !lifecycle.is_watched() {
        warn(
            "nobody watches, so that only the next command after that ends it: run mtx-lifecycle watch",
        );
    }
}

fn warn_of_rivals(path: &str, report: &Report) {
    if let Some(rivalry) = rivalry(&report.other_journals) {
        warn(&format!("{path} is {rivalry}"));
    }
}

pub(super) fn stop(lifecycle: &Lifecycle, path: &str, reason: &str) -> Result<(), Failure> {
    let report = noted(lifecycle, lifecycle.stop(path, reason))?;
    tell(lifecycle, &report)?;
    say(&format!("{path}: stopped: {reason}"));
    warn_of_rivals(path, &report);
    Ok(())
}

pub(super) fn status(lifecycle: &Lifecycle, path: Option<&str>, json: bool) -> Result<(), Failure> {
    let status = lifecycle.status(path)?;
    let is_unknown = |path: &PathStatus| path.existence == Existence::Unknown;
    let unknown = path.filter(|_| status.paths.iter().any(is_unknown));
    if json {
        let text = serde_json::to_string_pretty(&status).context("the status")?;
        say(&text);
    } else if unknown.is_none() || status.api_error.is_some() {
        say(&table::table(&status));
    }
    match (status.api_error, unknown) {
        (Some(error), _) => Err(anyhow!("{error}; this is what the journal knows").into()),
        (None, Some(path)) => Err(Error::Unknown(path.to_owned()).into()),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_day_is_the_next_one() {
        let now: Zoned = "2026-10-24T17:00:00+02:00[Europe/Berlin]".parse().unwrap();
        for (text, expected) in [
            ("18:00", "2026-10-24T18:00:00+02:00[Europe/Berlin]"),
            // The clocks are changed that night.
            ("16:30", "2026-10-25T16:30:00+01:00[Europe/Berlin]"),
            (
                "2026-11-23T18:00:00",
                "2026-11-23T18:00:00+01:00[Europe/Berlin]",
            ),
            (
                "2026-11-23 06:30",
                "2026-11-23T06:30:00+01:00[Europe/Berlin]",
            ),
        ] {
            assert_eq!(next(text, &now).unwrap().to_string(), expected);
        }
        for text in ["", "18", "25:00", "tomorrow"] {
            let message = next(text, &now).unwrap_err().to_string();
            assert!(message.contains("HH:MM"), "{message}");
        }
        let given = until(None, Some("2026-11-21T18:00:00Z")).unwrap();
        assert_eq!(given.unwrap().to_string(), "2026-11-21T18:00:00.000Z");
    }
}
