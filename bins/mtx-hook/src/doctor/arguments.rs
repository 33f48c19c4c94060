//! What hooks give to mtx-worker, judged by the mtx-worker that lies beside this program: it reads and publishes nothing.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::quoted;
use regex_lite::Regex;

use super::command::{expand, split};
use super::configuration::{Configuration, Entry, Hook};
use super::example::Example;
use super::finding::{Diagnosis, Severity};
use super::hooks::{WorkerHook, ends_in, entries_to_check};
use super::process::Process;
use super::server::Server;

const WORKER: &str = "mtx-worker";

/// Its answer takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Of the paths that share a hook, as many are tried.
const MOST: usize = 16;

/// The exit code of `mtx-worker --check` for a stream key that is not there for this path, or for this user.
const NO_KEY: i32 = 1;

/// Variables that MediaMTX sets for each hook, besides groups: their values here are another hook's.
const SET_FOR_HOOKS: [&str; 12] = [
    "MTX_PATH",
    "MTX_QUERY",
    "MTX_SOURCE_TYPE",
    "MTX_SOURCE_ID",
    "MTX_READER_TYPE",
    "MTX_READER_ID",
    "MTX_CONN_TYPE",
    "MTX_CONN_ID",
    "MTX_SEGMENT_PATH",
    "MTX_SEGMENT_DURATION",
    "RTSP_PORT",
    "RTSP_PATH",
];

/// A path that the hook is tried for.
struct Trial {
    entry: Option<String>,
    example: Example,
    /// A stream that may come, and not one that is there or has its own entry.
    is_made_up: bool,
}

/// Tries each hook for the paths that it runs for.
pub(super) fn check(
    configuration: &Configuration,
    workers: &[WorkerHook<'_>],
    server: Option<&Server>,
    process: &Process,
    diagnosis: &mut Diagnosis,
) {
    if workers.is_empty() {
        return;
    }
    let Some(program) = process.beside(WORKER) else {
        return diagnosis.unchecked(format!(
            "the arguments of {WORKER}: it is not in the folder of mtx-hook"
        ));
    };
    if let Err(why) = takes_checks(&program) {
        return diagnosis.unchecked(format!(
            "the arguments of {WORKER}: {} is of another release: {why}",
            program.display()
        ));
    }
    for worker in workers {
        for trial in trials(configuration, &worker.hook, server, diagnosis) {
            let trial = suited(trial, worker);
            try_hook(
                &program,
                configuration,
                &worker.hook,
                &trial,
                process,
                diagnosis,
            );
        }
    }
}

/// Whether the program accepts arguments that every release with `--check` does.
fn takes_checks(program: &Path) -> Result<(), String> {
    const RIGHT: [&str; 4] = ["--input", "rtsp://h/a", "--output", "rtmp://h/b"];
    let answer = ask(program, &RIGHT.map(str::to_owned), &[]);
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status.success() {
        return Ok(());
    }
    Err(format!("it refuses --check {}", RIGHT.join(" ")))
}

fn trials(
    configuration: &Configuration,
    hook: &Hook<'_>,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) -> Vec<Trial> {
    let entries = entries_to_check(configuration, hook);
    if entries.len() > MOST {
        diagnosis.unchecked(format!(
            "{}: whether its arguments are right for each of {} paths: {MOST} were tried",
            hook.place(),
            entries.len()
        ));
    }
    let mut trials = Vec::new();
    for entry in entries.iter().take(MOST) {
        match trial(entry, server) {
            Some(trial) => trials.push(trial),
            None => diagnosis.unchecked(format!(
                "{}: {}: its arguments: no path comes to mind that the expression is for, and none has a stream now",
                entry.name, hook.setting
            )),
        }
    }
    if entries.is_empty() {
        let example = Example::made_for("^cam/in$");
        trials.extend(example.map(|example| Trial {
            entry: None,
            example,
            is_made_up: true,
        }));
    }
    trials
}

fn trial(entry: &Entry, server: Option<&Server>) -> Option<Trial> {
    let name = Some(entry.name.clone());
    let Some(expression) = entry.expression() else {
        let path = entry.name.parse().ok()?;
        let example = Example {
            path,
            groups: Vec::new(),
        };
        return Some(Trial {
            entry: name,
            example,
            is_made_up: false,
        });
    };
    let streams = server
        .map(|server| server.streams.as_slice())
        .unwrap_or_default();
    let mut streams = streams
        .iter()
        .filter(|(_, entry_of)| *entry_of == entry.name);
    let live = streams
        .next()
        .and_then(|(path, _)| Example::of(path, &Regex::new(expression).ok()?));
    let is_made_up = live.is_none();
    let example = live.or_else(|| Example::made_for(expression))?;
    Some(Trial {
        entry: name,
        example,
        is_made_up,
    })
}

/// With `RTMP_PORT`, by which a worker knows outputs on its server. By hand, the server's environment may have it; to a
/// hook of the server, as to the worker, it is missing.
fn with_rtmp_port(
    mut variables: Vec<(String, String)>,
    configuration: &Configuration,
    process: &Process,
) -> Vec<(String, String)> {
    const NAME: &str = "RTMP_PORT";
    let is_set = process.is_hook() || variables.iter().any(|(name, _)| name == NAME);
    if let Some(port) = configuration.port("rtmpAddress")
        && !is_set
    {
        variables.push((NAME.to_owned(), port.to_string()));
    }
    variables
}

/// That a worker without outputs needs a path that ends in `/in` is said elsewhere.
fn suited(mut trial: Trial, worker: &WorkerHook<'_>) -> Trial {
    let path = trial.example.path.as_str();
    if worker.outputs.is_empty()
        && !ends_in(path, "in")
        && let Ok(path) = format!("{path}/in").parse()
    {
        trial.example.path = path;
    }
    trial
}

fn try_hook(
    program: &Path,
    configuration: &Configuration,
    hook: &Hook<'_>,
    trial: &Trial,
    process: &Process,
    diagnosis: &mut Diagnosis,
) {
    let place = match &trial.entry {
        Some(entry) => format!("{entry}: {}", hook.setting),
        None => hook.place(),
    };
    let variables = variables(configuration, &trial.example, process);
    let Some(arguments) = arguments(hook.line, &variables, process) else {
        return diagnosis.unchecked(format!(
            "{place}: its arguments: they have variables that are not known here"
        ));
    };
    let answer = match ask(
        program,
        &arguments,
        &with_rtmp_port(variables, configuration, process),
    ) {
        Ok(answer) => answer,
        Err(error) => {
            return diagnosis.unchecked(format!(
                "{place}: its arguments: {}: {error}",
                program.display()
            ));
        }
    };
    let shown = match trial.is_made_up {
        true => format!("for a path such as {}: ", trial.example.path),
        false => String::new(),
    };
    // On stdout the worker judges its own arguments, and hides their secrets; on stderr its option parser quotes them.
    let refused = quoted::without_values(&String::from_utf8_lossy(&answer.stderr), &arguments);
    let text = String::from_utf8_lossy(&answer.stdout) + refused.as_str();
    let found = |start: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(start))
            .map(str::to_owned)
    };
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
    {
        diagnosis.warning(&place, line);
    }
    match (answer.status.code(), found("error: ")) {
        (Some(0), _) => {}
        (Some(NO_KEY), Some(_)) if trial.is_made_up => {}
        (Some(NO_KEY), Some(error)) if !process.is_hook() => diagnosis.warning(place, error),
        (Some(_), Some(error)) => {
            diagnosis.add(
                Severity::Error,
                place,
                format!("{WORKER} refuses to start: {shown}{error}"),
            );
        }
        (_, None) | (None, _) => diagnosis.unchecked(format!(
            "{place}: its arguments: {} does not judge them ({})",
            program.display(),
            answer.status
        )),
    }
}

/// What MediaMTX would set for the hook, and what it passes on of its own environment.
fn variables(
    configuration: &Configuration,
    example: &Example,
    process: &Process,
) -> Vec<(String, String)> {
    let is_of_hook = |name: &str| {
        let is_group = name
            .strip_prefix('G')
            .is_some_and(|rest| rest.parse::<u32>().is_ok());
        is_group || SET_FOR_HOOKS.contains(&name)
    };
    let all = process
        .variables_with("")
        .filter(|(name, _)| !is_of_hook(name));
    let mut variables: Vec<(String, String)> = all
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for name in ["MTX_PATH", "RTSP_PATH"] {
        variables.push((name.to_owned(), example.path.to_string()));
    }
    let port = configuration.port("rtspAddress");
    variables.extend(port.map(|port| ("RTSP_PORT".to_owned(), port.to_string())));
    let groups = (1..).zip(&example.groups);
    variables.extend(groups.map(|(number, group)| (format!("G{number}"), group.clone())));
    variables
}

/// The arguments behind the program's name; none where a variable is the server's, which is not known by hand.
fn arguments(line: &str, variables: &[(String, String)], process: &Process) -> Option<Vec<String>> {
    let value = |name: &str| {
        let known = variables.iter().find(|(known, _)| known == name);
        match known {
            Some((_, value)) => Some(value.clone()),
            // MediaMTX sets it for the hook when that is started.
            None if name.starts_with("MTX_") => None,
            None => process.is_hook().then(String::new),
        }
    };
    let words = split(line).ok()?;
    let words = words.iter().skip(1);
    words.map(|word| expand(word, value)).collect()
}

fn ask(program: &Path, arguments: &[String], variables: &[(String, String)]) -> io::Result<Output> {
    let mut child = Command::new(program)
        // The first, so that nothing before it can be taken for its value.
        .arg("--check")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let start = Instant::now();
    // What it says fits into a pipe.
    while child.try_wait()?.is_none() {
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(PAUSE);
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_hook_are_filled_in_and_those_of_the_server_only_where_they_are_known() {
        let configuration = super::super::file::parse(b"rtspAddress: :18554").unwrap();
        let example = Example::made_for("^cam/([a-z]+)$").unwrap();
        let line = "mtx-worker --output rtmp://h/$MTX_PATH?p=${RTSP_PORT}&g=$G1";
        let by_hand = Process::test(&[("G1", "old")]);
        let set = variables(&configuration, &example, &by_hand);
        assert_eq!(
            arguments(line, &set, &by_hand).unwrap()[1],
            "rtmp://h/cam/a?p=18554&g=a"
        );
        let line = "mtx-worker --output rtmp://h/$KEY";
        assert_eq!(arguments(line, &set, &by_hand), None);
        let hook = Process::test(&[("MTX_PATH", "init"), ("KEY", "k")]);
        let set = variables(&configuration, &example, &hook);
        assert_eq!(arguments(line, &set, &hook).unwrap()[1], "rtmp://h/k");
        for line in [
            "mtx-worker --output rtmp://h/$MTX_QUERY",
            "mtx-worker --output rtmp://h/${MTX_SOURCE_ID}",
        ] {
            assert_eq!(arguments(line, &set, &hook), None, "{line}");
        }
    }

    #[test]
    fn only_by_hand_may_the_server_know_an_rtmp_port_that_is_not_known_here() {
        let configuration = super::super::file::parse(b"rtmpAddress: :11935").unwrap();
        let set = |variables: &[(&str, &str)]| {
            with_rtmp_port(Vec::new(), &configuration, &Process::test(variables))
        };
        let port = ("RTMP_PORT".to_owned(), "11935".to_owned());
        assert_eq!(set(&[]), [port]);
        assert_eq!(set(&[("MTX_PATH", "init")]), []);
    }
}
