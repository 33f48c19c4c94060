//! What becomes of a process in which something panics, which is always a bug: a thread that dies unseen is worse than
//! a process that ends and is started again.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process;

/// That of a Rust program whose main thread has panicked.
pub const EXIT_CODE: i32 = 101;

thread_local! {
    /// Whether this thread is within [`catch`].
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic anywhere in the process aborts it, as `panic = "abort"` does.
pub fn abort() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::abort();
    }));
}

/// From now on a panic is a line in the log. Outside of [`catch`], it ends the process with [`EXIT_CODE`].
pub fn exit() {
    panic::set_hook(Box::new(|panic| {
        log::error!("{}", line(panic));
        if !IS_CAUGHT.get() {
            log::logger().flush();
            process::exit(EXIT_CODE);
        }
    }));
}

/// Runs what may panic without taking the process along; `None` if it does. What it shares with other threads has to
/// be fit for use even if it was left half done.
pub fn catch<T>(run: impl FnOnce() -> T) -> Option<T> {
    let before = IS_CAUGHT.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    IS_CAUGHT.set(before);
    outcome.ok()
}

/// A thread's name, what it said and where, on one line.
fn line(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name").to_owned();
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let payload = panic.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("no message");
    let message = crate::excerpt(&message.replace(['\n', '\r'], " "), 500);
    format!("thread {thread} panicked at {place}, which is a bug: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::{self, LogFormat, Output};

    #[test]
    fn a_caught_panic_leaves_its_thread_alive_and_marks_no_later_one_as_caught() {
        assert_eq!(catch(|| 1), Some(1));
        let outcome: Option<()> = catch(|| panic!("on purpose"));
        assert_eq!(outcome, None);
        assert!(!IS_CAUGHT.get());
        let outer = catch(|| {
            let inner: Option<()> = catch(|| panic!("on purpose"));
            (inner, IS_CAUGHT.get())
        });
        assert_eq!(outer, Some((None, true)));
    }

    /// What the test below starts as a process of its own.
    #[test]
    fn process_in_which_a_thread_panics() {
        match std::env::var("TEST_PANICS").as_deref() {
            Ok("exit") => exit(),
            Ok("abort") => abort(),
            _ => return,
        }
        let (format, level) = (LogFormat::Text, log::LevelFilter::Info);
        logging::init_background(format, Output::Stdout, level, Vec::new());
        let _: Option<()> = catch(|| panic!("a caught one"));
        let thread = std::thread::Builder::new().name("poller".to_owned());
        let thread = thread.spawn(|| panic!("on\npurpose"));
        let _ = thread.unwrap().join();
    }

    #[test]
    fn a_panic_of_any_thread_ends_the_process_with_a_line_and_a_code() {
        let run = |manner: &str| {
            let mut test = process::Command::new(std::env::current_exe().unwrap());
            test.args(["process_in_which_a_thread_panics", "--nocapture"]);
            let output = test.env("TEST_PANICS", manner).output().unwrap();
            let lines = String::from_utf8(output.stdout).unwrap();
            // The process went on otherwise, and the test runner has the same code for a test that failed.
            assert!(!lines.contains("test result"), "{lines}");
            (output.status.code(), lines)
        };
        let (code, lines) = run("exit");
        assert_eq!(code, Some(EXIT_CODE));
        assert!(lines.contains("a caught one"), "{lines}");
        let last = lines.lines().last().unwrap();
        let is_told = last.contains("thread poller panicked at ") && last.ends_with("on purpose");
        assert!(last.contains("ERR") && is_told, "{lines}");
        assert_eq!(run("abort").0, None, "ended by a signal");
    }
}
