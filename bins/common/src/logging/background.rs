//! Lines written by a thread of their own: a log that nobody reads on holds up nothing but itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use log::{Level, Record};

use super::{Form, Output};
use crate::timestamp::Timestamp;

/// Some megabytes, and at usual rates minutes, until lines are left out.
const LINES: usize = 8192;
/// What a process that ends grants a reader that is slow.
const PATIENCE: Duration = Duration::from_secs(1);
const STACK: usize = 128 * 1024;

enum Job {
    Line(String),
    /// Tell when everything before is written.
    Flush(Sender<()>),
}

pub(super) struct Background {
    jobs: SyncSender<Job>,
    lost: Arc<AtomicU64>,
}

impl Background {
    pub(super) fn start(output: Output, form: Arc<Form>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel(LINES);
        let lost = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&lost);
        thread::Builder::new()
            .name("log".to_owned())
            .stack_size(STACK)
            .spawn(move || write(&queue, output, &form, &counter))?;
        Ok(Self { jobs, lost })
    }

    /// Never waits: without room the line is left out, and counted.
    pub(super) fn line(&self, line: String) {
        if self.jobs.try_send(Job::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits, for a while, until everything is written.
    pub(super) fn flush(&self) {
        let start = Instant::now();
        let (done, wait) = mpsc::channel();
        while self.jobs.try_send(Job::Flush(done.clone())).is_err() {
            if start.elapsed() >= PATIENCE {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Whoever has not read by then has lost interest.
        let _ = wait.recv_timeout(PATIENCE.saturating_sub(start.elapsed()));
    }
}

fn write(queue: &Receiver<Job>, output: Output, form: &Form, lost: &AtomicU64) {
    for job in queue {
        match job {
            Job::Line(line) => {
                let count = lost.swap(0, Ordering::Relaxed);
                if count > 0 {
                    output.write(&loss(form, count));
                }
                output.write(&line);
            }
            Job::Flush(done) => {
                // It may have waited long enough.
                let _ = done.send(());
            }
        }
    }
}

fn loss(form: &Form, count: u64) -> String {
    let kvs = [("lines", count)];
    let record = Record::builder()
        .level(Level::Warn)
        .args(format_args!(
            "lines are missing here: whoever reads this log was too slow"
        ))
        .key_values(&kvs)
        .build();
    form.line(Timestamp::now(), &record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogFormat;

    #[test]
    fn without_room_lines_are_counted_and_nobody_waits() {
        let (jobs, queue) = mpsc::sync_channel(2);
        let background = Background {
            jobs,
            lost: Arc::default(),
        };
        (0..5).for_each(|number| background.line(number.to_string()));
        assert_eq!(background.lost.load(Ordering::Relaxed), 3);
        let start = Instant::now();
        background.flush();
        assert!(start.elapsed() < 3 * PATIENCE);
        drop(queue);
    }

    #[test]
    fn the_line_about_lost_ones_says_how_many() {
        let form = Form {
            format: LogFormat::Text,
            context: Vec::new(),
        };
        let line = loss(&form, 7);
        assert!(
            line.contains("WAR") && line.ends_with("lines=7\n"),
            "{line}"
        );
    }
}
