//! When a lost connection is tried again.

use std::time::{Duration, Instant};

use common::duration::format;
use common::retry::{Retries, RetrySchedule};

/// Media has to flow for this long before the schedule starts anew.
const HEALTHY: Duration = Duration::from_secs(10);

/// Follows one connection over its losses.
pub(crate) struct Reconnect {
    /// How the log calls the connection.
    name: String,
    retries: Retries,
    media: Option<(Instant, Instant)>,
}

impl Reconnect {
    pub(crate) fn new(name: String, schedule: RetrySchedule) -> Self {
        Self {
            name,
            retries: Retries::new(schedule),
            media: None,
        }
    }

    /// Media went through at `now`. Returns whether it has flowed long enough for all to be well.
    pub(crate) fn media(&mut self, now: Instant) -> bool {
        let (first, _) = *self.media.get_or_insert((now, now));
        self.media = Some((first, now));
        now - first >= HEALTHY
    }

    /// The connection was lost: logs a next try, and gives the wait before it, or `None` when there were enough. What
    /// becomes of the worker then is for the caller to say.
    pub(crate) fn lost(&mut self, reason: &str) -> Option<Duration> {
        let name = self.name.as_str();
        if self
            .media
            .take()
            .is_some_and(|(first, last)| last - first >= HEALTHY)
        {
            self.retries.reset();
        }
        let attempt = self.retries.next()?;
        let (number, of, delay) = (attempt.number, attempt.of, format(attempt.delay));
        log::warn!(attempt = number, of = of, delay = delay.as_str(), reason = reason; "{name} lost, retry {number} of {of} in {delay}");
        Some(attempt.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lose(reconnect: &mut Reconnect, times: usize) -> Vec<Option<u64>> {
        (0..times)
            .map(|_| reconnect.lost("gone").map(|delay| delay.as_secs()))
            .collect()
    }

    #[test]
    fn three_retries_and_no_more() {
        let mut reconnect = Reconnect::new("input".to_owned(), RetrySchedule::default());
        assert_eq!(
            lose(&mut reconnect, 5),
            [Some(1), Some(2), Some(4), None, None]
        );
    }

    #[test]
    fn ten_seconds_of_media_start_the_schedule_anew_and_nine_do_not() {
        for (seconds, expected) in [(10, Some(1)), (9, Some(2))] {
            let mut reconnect = Reconnect::new("input".to_owned(), RetrySchedule::default());
            lose(&mut reconnect, 1);
            let start = Instant::now();
            reconnect.media(start);
            reconnect.media(start + Duration::from_secs(seconds));
            assert_eq!(lose(&mut reconnect, 1), [expected], "{seconds} s");
        }
    }
}
