//! When a use case holds: on which days, and from when to when by the clock on the wall.

use std::fmt;
use std::str::FromStr;

use common::timestamp::Timestamp;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::AmbiguousOffset;
use jiff::{ToSpan, Zoned};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "mon"),
    (Weekday::Tuesday, "tue"),
    (Weekday::Wednesday, "wed"),
    (Weekday::Thursday, "thu"),
    (Weekday::Friday, "fri"),
    (Weekday::Saturday, "sat"),
    (Weekday::Sunday, "sun"),
];

/// A zone of the IANA database, for example `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct TimeZone {
    name: String,
    zone: jiff::tz::TimeZone,
}

impl TryFrom<String> for TimeZone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = jiff::tz::TimeZone::get(&name)
            .map_err(|_| format!("{name:?} is no time zone such as Europe/Berlin or UTC"))?;
        Ok(Self { name, zone })
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name)
    }
}

/// Takes the name while the YAML reader knows where it stands.
struct Name;

impl Visitor<'_> for Name {
    type Value = TimeZone;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time zone such as Europe/Berlin")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<TimeZone, E> {
        name.to_owned().try_into().map_err(E::custom)
    }
}

impl From<TimeZone> for String {
    fn from(zone: TimeZone) -> Self {
        zone.name
    }
}

/// `weekdays 08:00-18:00`: days, which may be left out, and two times of the day. If the second one is not after the
/// first, it is on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    days: Vec<Weekday>,
    from: Time,
    to: Time,
    text: String,
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no schedule such as weekdays 08:00-18:00, sat,sun 10:00-02:00, mon-fri 08:00-18:00 or 00:00-06:00"
)]
pub struct ScheduleError(String);

impl Schedule {
    /// Whether it is on at a moment. Where clocks are changed, a time that there is not that day is the one right
    /// after the gap, and one that there is twice is the first of the two.
    #[must_use]
    pub fn is_on(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let Ok(now) = jiff::Timestamp::from_millisecond(now.as_millisecond()) else {
            return false;
        };
        let local = now.to_zoned(zone.zone.clone());
        let yesterday = local.yesterday();
        self.covers(&local, now) || yesterday.is_ok_and(|day| self.covers(&day, now))
    }

    /// Whether the span that begins on a day has the moment in it.
    fn covers(&self, day: &Zoned, now: jiff::Timestamp) -> bool {
        let date = day.date();
        if !self.days.contains(&date.weekday()) {
            return false;
        }
        let last = if self.from < self.to {
            Ok(date)
        } else {
            date.checked_add(1.day())
        };
        let moment =
            |date: jiff::civil::Date, time: Time| moment(date.to_datetime(time), day.time_zone());
        let from = moment(date, self.from);
        let to = last.and_then(|last| moment(last, self.to));
        match (from, to) {
            (Ok(from), Ok(to)) => (from..to).contains(&now),
            _ => false,
        }
    }
}

/// When the clock on the wall shows it first, or has passed over it.
fn moment(shown: DateTime, zone: &jiff::tz::TimeZone) -> Result<jiff::Timestamp, jiff::Error> {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    if let AmbiguousOffset::Gap { .. } = ambiguous.offset() {
        let before = ambiguous.earlier()?;
        if let Some(change) = zone.following(before).next() {
            return Ok(change.timestamp());
        }
    }
    ambiguous.compatible()
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let wrong = || ScheduleError(text.chars().take(60).collect());
        let text = text.trim();
        let (days, times) = match text.rsplit_once(char::is_whitespace) {
            Some((days, times)) => (days.trim(), times),
            None => ("daily", text),
        };
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        Ok(Self {
            days: days_of(days).ok_or_else(wrong)?,
            from: time_of(from).ok_or_else(wrong)?,
            to: time_of(to).ok_or_else(wrong)?,
            text: text.to_owned(),
        })
    }
}

fn time_of(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let is_written_so = hour.len() <= 2 && minute.len() == 2;
    let is_digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b':');
    match (hour.parse().ok()?, minute.parse().ok()?) {
        _ if !is_written_so || !is_digits => None,
        // The end of the day is the beginning of the next one.
        (24, 0) => Some(Time::midnight()),
        (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
    }
}

fn days_of(text: &str) -> Option<Vec<Weekday>> {
    let all = DAYS.map(|(day, _)| day);
    match text {
        "daily" => return Some(all.to_vec()),
        "weekdays" => return Some(all[..5].to_vec()),
        "weekends" => return Some(all[5..].to_vec()),
        _ => {}
    }
    let index = |name: &str| DAYS.iter().position(|(_, short)| *short == name);
    let mut days = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        let length = (last + 7 - first) % 7;
        days.extend((first..=first + length).map(|day| all[day % 7]));
    }
    Some(days)
}

impl TryFrom<String> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_on(schedule: &str, moment: &str) -> bool {
        let zone = TimeZone::try_from("Europe/Berlin".to_owned()).unwrap();
        let schedule: Schedule = schedule.parse().unwrap();
        schedule.is_on(moment.parse().unwrap(), &zone)
    }

    #[test]
    fn it_goes_by_the_clock_on_the_wall() {
        for (schedule, moment, expected) in [
            // A Friday in winter, and a Monday in summer.
            ("weekdays 08:00-18:00", "2026-01-09T06:59:59Z", false),
            ("weekdays 08:00-18:00", "2026-01-09T07:00:00Z", true),
            ("weekdays 08:00-18:00", "2026-01-09T17:00:00Z", false),
            ("weekdays 08:00-18:00", "2026-07-06T06:00:00Z", true),
            ("weekdays 08:00-18:00", "2026-01-10T12:00:00Z", false),
            // Over midnight it is still the day on which it has begun.
            ("fri 22:00-06:00", "2026-01-10T04:00:00Z", true),
            ("fri 22:00-06:00", "2026-01-10T05:00:00Z", false),
            ("sat 22:00-06:00", "2026-01-10T04:00:00Z", false),
            ("00:00-24:00", "2026-01-10T04:00:00Z", true),
            ("sat-mon 9:00-10:00", "2026-01-11T08:30:00Z", true),
        ] {
            assert_eq!(is_on(schedule, moment), expected, "{schedule} {moment}");
        }
    }

    #[test]
    fn it_is_right_on_the_nights_on_which_clocks_are_changed() {
        // From 02:00 to 03:00 on 29 March 2026: there is no 02:30.
        for (moment, expected) in [
            ("2026-03-29T00:59:59Z", false),
            ("2026-03-29T01:30:00Z", true),
            ("2026-03-29T03:59:59Z", true),
            ("2026-03-29T04:00:00Z", false),
        ] {
            assert_eq!(is_on("02:30-06:00", moment), expected, "{moment}");
        }
        for (schedule, moment, expected) in [
            ("02:30-03:15", "2026-03-29T00:59:59Z", false),
            ("02:30-03:15", "2026-03-29T01:00:00Z", true),
            ("02:30-03:15", "2026-03-29T01:15:00Z", false),
            ("22:00-02:30", "2026-03-29T00:59:59Z", true),
            ("22:00-02:30", "2026-03-29T01:00:00Z", false),
        ] {
            assert_eq!(is_on(schedule, moment), expected, "{schedule} {moment}");
        }
        // From 03:00 to 02:00 on 25 October 2026: 02:30 is there twice, and it ends once.
        for (moment, expected) in [
            ("2026-10-25T00:29:59Z", true),
            ("2026-10-25T00:30:00Z", false),
            ("2026-10-25T01:15:00Z", false),
        ] {
            assert_eq!(is_on("01:00-02:30", moment), expected, "{moment}");
        }
        // That night is an hour longer.
        assert!(is_on("sat 22:00-06:00", "2026-10-25T04:59:59Z"));
        assert!(!is_on("sat 22:00-06:00", "2026-10-25T05:00:00Z"));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "weekdays",
            "8-18",
            "mo 08:00-18:00",
            "25:00-26:00",
            "08:0-18:00",
            "+8:00-9:00",
        ] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), ms in any::<i64>()) {
            let zone = TimeZone::try_from("Europe/Berlin".to_owned()).unwrap();
            let _ = text.parse::<Schedule>();
            let schedule: Schedule = "22:00-06:00".parse().unwrap();
            let far = jiff::Timestamp::from_millisecond(ms % 200_000_000_000_000);
            if let Ok(moment) = far.map(|it| it.to_string()) {
                let _ = schedule.is_on(moment.parse().unwrap(), &zone);
            }
        }
    }
}
