//! Hooks: whether MediaMTX can start them, and whether the suite's programs can do what they are started for.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser};
use common::quoted;
use mediamtx::event::EventName;
use regex_lite::Regex;

use super::arguments;
use super::command::{base_name, shell_feature, split};
use super::configuration::{Configuration, Entry, Hook, flag};
use super::example::Example;
use super::finding::{Diagnosis, Severity};
use super::process::{Process, Program};
use super::server::Server;
use crate::cli::Cli;

/// How the names of pictures end, which mtx-worker writes instead of publishing.
const PICTURES: [&str; 2] = [".jpg", ".jpeg"];

/// Whether a program of the suite is started by any hook.
pub(super) fn starts(configuration: &Configuration, program: &str) -> bool {
    let hooks = configuration.hooks();
    hooks.iter().any(|hook| is(hook, program))
}

fn is(hook: &Hook<'_>, program: &str) -> bool {
    let words = split(hook.line).unwrap_or_default();
    words
        .first()
        .is_some_and(|first| base_name(first) == program)
}

/// A hook that sends an event for each stream that begins.
#[derive(Debug)]
pub(super) struct EventHook<'a> {
    pub(super) hook: Hook<'a>,
    pub(super) entries: Vec<&'a Entry>,
    /// Its `--orchestrator-url`.
    pub(super) url: Option<OsString>,
}

/// The hooks that send an event for each stream that begins.
pub(super) fn event_hooks(configuration: &Configuration) -> Vec<EventHook<'_>> {
    let hooks = configuration.hooks().into_iter();
    let hooks = hooks.filter(|hook| hook.event == EventName::Ready && is(hook, "mtx-hook"));
    let hooks = hooks.filter_map(|hook| event_hook(configuration, hook));
    hooks.filter(|hook| !hook.entries.is_empty()).collect()
}

fn event_hook<'a>(configuration: &'a Configuration, hook: Hook<'a>) -> Option<EventHook<'a>> {
    let words = split(hook.line).unwrap_or_default();
    let matches = Cli::command().try_get_matches_from(words).ok();
    // A command of its own, such as doctor, sends none.
    if matches.as_ref().is_some_and(|it| it.subcommand().is_some()) {
        return None;
    }
    Some(EventHook {
        entries: configuration.entries_with(&hook),
        url: matches.as_ref().and_then(own_url),
        hook,
    })
}

fn own_url(matches: &ArgMatches) -> Option<OsString> {
    const ID: &str = "orchestrator_url";
    let is_given = matches.value_source(ID)? == ValueSource::CommandLine;
    let url = matches.get_one::<OsString>(ID);
    url.filter(|_| is_given).cloned()
}

/// A hook that starts mtx-worker.
pub(super) struct WorkerHook<'a> {
    pub(super) hook: Hook<'a>,
    /// Where it reads, if not the hook's own path.
    pub(super) inputs: Vec<String>,
    /// Where it publishes, if it says so.
    pub(super) outputs: Vec<String>,
    /// How it reads, if it says so: `tcp` or `udp`.
    pub(super) transport: Option<String>,
}

impl WorkerHook<'_> {
    /// Whether it ends when it has done its work, which is to write pictures.
    fn takes_pictures(&self) -> bool {
        let is_picture = |output: &String| {
            PICTURES
                .iter()
                .any(|end| output.to_lowercase().ends_with(end))
        };
        !self.outputs.is_empty() && self.outputs.iter().all(is_picture)
    }
}

/// The hooks that start mtx-worker.
pub(super) fn workers<'a>(
    configuration: &'a Configuration,
    process: &Process,
) -> Vec<WorkerHook<'a>> {
    let hooks = configuration.hooks().into_iter();
    let hooks = hooks.filter(|hook| is(hook, "mtx-worker"));
    let worker = |hook: Hook<'a>| {
        let words = split(hook.line).unwrap_or_default();
        let values = |option: &str, variable: &str| {
            let values = values_of(&words, option);
            let variable = process.variable(variable).filter(|_| values.is_empty());
            let listed = values.into_iter().chain(variable);
            listed
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect()
        };
        WorkerHook {
            inputs: values("--input", "MTX_WORKER_INPUT"),
            outputs: values("--output", "MTX_WORKER_OUTPUT"),
            transport: values("--transport", "MTX_WORKER_TRANSPORT").pop(),
            hook,
        }
    };
    hooks.map(worker).collect()
}

/// The values of an option, as clap reads them.
fn values_of<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
    let followed = words.windows(2).filter(|pair| pair[0] == option);
    let joined = words
        .iter()
        .filter_map(|word| word.strip_prefix(option)?.strip_prefix('='));
    followed
        .map(|pair| pair[1].as_str())
        .chain(joined)
        .collect()
}

/// Everything about each hook. On another machine's server, its programs can't be looked for or asked.
pub(super) fn check(
    configuration: &Configuration,
    process: &Process,
    server: Option<&Server>,
    diagnosis: &mut Diagnosis,
) {
    let programs_are_here = process.is_hook() || server.is_none_or(Server::is_here);
    if !programs_are_here {
        diagnosis.unchecked(
            "whether the hooks' programs are there, and right: the server is another machine",
        );
    }
    for hook in configuration.hooks() {
        let words = match split(hook.line) {
            Ok(words) => words,
            Err(open) => {
                diagnosis.error(
                    hook.place(),
                    format!("MediaMTX cannot split the line, it has {open}: close or escape it"),
                );
                continue;
            }
        };
        let Some(program) = words.first() else {
            continue;
        };
        if programs_are_here {
            check_program(&hook, program, process, diagnosis);
        }
        check_shell(&hook, program, diagnosis);
        if base_name(program) == "mtx-hook" {
            check_event(&hook, &words, diagnosis);
        }
    }
    let mut workers = workers(configuration, process);
    workers.retain(|worker| check_worker(configuration, worker, diagnosis));
    if programs_are_here {
        arguments::check(configuration, &workers, server, process, diagnosis);
    }
}

fn check_program(hook: &Hook<'_>, program: &str, process: &Process, diagnosis: &mut Diagnosis) {
    let place = hook.place();
    if program.starts_with("~/") {
        let text = format!("MediaMTX does not know what ~ is in {program}: write the whole path");
        return diagnosis.error(place, text);
    }
    if program.contains('=') {
        // What follows the name could be a secret.
        let (name, _) = program.split_once('=').unwrap_or((program, ""));
        let text = format!(
            "MediaMTX takes the assignment of {name} for a program: set variables in the server's environment, or write `env` before it"
        );
        return diagnosis.error(place, text);
    }
    if program.contains('$') {
        let text = format!("{place}: whether the program is there: its name is a variable's");
        return diagnosis.unchecked(text);
    }
    match process.program(program) {
        Some(Program::Found) => {}
        None => diagnosis.unchecked(format!(
            "{place}: whether {program} is there: its path is relative to the server's folder"
        )),
        Some(Program::NotExecutable(file)) => diagnosis.error(
            place,
            format!("{0} is not executable: chmod +x {0}", file.display()),
        ),
        Some(Program::NotFound) if program.contains('/') => {
            diagnosis.error(place, format!("there is no {program}: write where it is"));
        }
        Some(Program::NotFound) => {
            let way_out = match process.beside(program) {
                Some(file) => format!("write {}", file.display()),
                None => "put it there, or write its whole path".to_owned(),
            };
            let text = format!("{program} is in no folder of PATH: {way_out}");
            // By hand, the server's own PATH is not known.
            let severity = if process.is_hook() {
                Severity::Error
            } else {
                Severity::Warning
            };
            diagnosis.add(severity, place, text);
            let path = process.variable("PATH").unwrap_or_default();
            diagnosis.note(format!("PATH is that of {}: {path}", process.owner()));
        }
    }
}

fn check_shell(hook: &Hook<'_>, program: &str, diagnosis: &mut Diagnosis) {
    // What follows the = of an assignment could be a secret.
    let (program, _) = program.split_once('=').unwrap_or((program, ""));
    if let Some(operator) = shell_feature(hook.line) {
        diagnosis.error(
            hook.place(),
            format!(
                "MediaMTX runs no shell: {operator} reaches {} as an argument: write sh -c '…' if the server has a shell",
                base_name(program)
            ),
        );
    }
}

/// What this program itself says to the line. The values of its variables are not known.
fn check_event(hook: &Hook<'_>, words: &[String], diagnosis: &mut Diagnosis) {
    if words.iter().any(|word| word.contains('$')) {
        return;
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        // Its help, or its version.
        Err(error) if !error.use_stderr() => return,
        Err(error) => {
            let error = quoted::without_urls(&error.to_string(), words);
            let line = error.lines().next().unwrap_or_default();
            let reason = line.trim_start_matches("error: ").trim_end_matches(':');
            let text = format!(
                "mtx-hook refuses to start: {reason}; write mtx-hook {}",
                hook.event
            );
            return diagnosis.error(hook.place(), text);
        }
    };
    match cli.event {
        Some(event) if event == hook.event => {}
        Some(event) => diagnosis.warning(
            hook.place(),
            format!(
                "it sends {event} events, which belong to {}: write mtx-hook {}",
                event.setting(),
                hook.event
            ),
        ),
        // A command of its own.
        None => {}
    }
}

/// Returns whether it has something to do.
fn check_worker(
    configuration: &Configuration,
    worker: &WorkerHook<'_>,
    diagnosis: &mut Diagnosis,
) -> bool {
    let WorkerHook { hook, inputs, .. } = worker;
    if inputs.is_empty() && !has_stream(hook.event) {
        diagnosis.error(
            hook.place(),
            "no stream is there to be read then: start mtx-worker in runOnAvailable",
        );
        return false;
    }
    let restart = format!("{}Restart", hook.setting);
    let restarts = restart_settings(hook.setting, &restart);
    let can_restart = matches!(
        hook.event,
        EventName::Init | EventName::Demand | EventName::Ready | EventName::Online
    );
    for entry in entries_to_check(configuration, hook) {
        let mut restarts = restarts.iter();
        let restarts = restarts.find_map(|name| configuration.of_entry(entry, name));
        if can_restart && !worker.takes_pictures() && restarts.and_then(flag) != Some(true) {
            diagnosis.warning(
                format!("{}: {}", entry.name, hook.setting),
                format!("a worker that has given up is not started again: add {restart}: yes"),
            );
        }
        if worker.outputs.is_empty() {
            check_ingest(entry, hook, diagnosis);
        }
    }
    true
}

/// The settings that have a hook started again, the stronger one first: where a server has an old and a new name of it, both
/// go with both names of the hook (`validate` in MediaMTX's `internal/conf/path.go`).
fn restart_settings<'a>(hook: &str, own: &'a str) -> Vec<&'a str> {
    match hook {
        "runOnReady" | "runOnAvailable" => vec!["runOnReadyRestart", "runOnAvailableRestart"],
        _ => vec![own],
    }
}

/// Whether the path has a stream when the hook is started.
fn has_stream(event: EventName) -> bool {
    !matches!(
        event,
        EventName::Init
            | EventName::Demand
            | EventName::Undemand
            | EventName::NotReady
            | EventName::Offline
            | EventName::Connect
            | EventName::Disconnect
    )
}

/// The entries that a hook is for. What runs with the server alone may have no stream, and so none of the hooks of
/// `pathDefaults`.
pub(super) fn entries_to_check<'a>(
    configuration: &'a Configuration,
    hook: &Hook<'_>,
) -> Vec<&'a Entry> {
    let mut entries = configuration.entries_with(hook);
    entries.retain(|entry| !(entry.inherits(hook) && entry.is_for_startup()));
    entries
}

/// Whether a worker that is not told where to publish can do so from an entry's paths.
fn check_ingest(entry: &Entry, hook: &Hook<'_>, diagnosis: &mut Diagnosis) {
    const RULE: &str =
        "mtx-worker publishes X/in to X/out, and nothing else without being told where";
    let place = format!("{}: {}", entry.name, hook.setting);
    let severity = match paths_in(entry) {
        PathsIn::All => return,
        PathsIn::Some => Severity::Warning,
        PathsIn::None if entry.inherits(hook) => Severity::Warning,
        PathsIn::None => Severity::Error,
    };
    let text = if severity == Severity::Error {
        format!("{RULE}: add --output rtmp://…")
    } else {
        format!("{RULE}: for other paths add --output rtmp://…")
    };
    diagnosis.add(severity, place, text);
}

/// How many of an entry's paths end in `/in`, as far as examples show.
#[derive(Debug, PartialEq, Eq)]
enum PathsIn {
    All,
    Some,
    None,
}

fn paths_in(entry: &Entry) -> PathsIn {
    const EXAMPLES: [&str; 6] = [
        "a/in",
        "cam/in",
        "cam1/in",
        "live/a/in",
        "live/cam1/in",
        "a/b/c/in",
    ];
    let is_in = |path: &str| ends_in(path, "in");
    if is_in(&entry.name) {
        return PathsIn::All;
    }
    let Some(expression) = entry.expression() else {
        return PathsIn::None;
    };
    let Ok(compiled) = Regex::new(expression) else {
        // Too unusual to be judged, be it right.
        return PathsIn::Some;
    };
    let made = Example::made_for(expression).map(|example| example.path.to_string());
    match made {
        Some(path) if is_in(&path) => PathsIn::All,
        Some(path) if compiled.is_match(&format!("{path}/in")) => PathsIn::Some,
        _ if EXAMPLES.iter().any(|path| compiled.is_match(path)) => PathsIn::Some,
        Some(_) => PathsIn::None,
        None => PathsIn::Some,
    }
}

/// Whether the paths of an entry end in this segment; a regular expression is looked at as it is written.
pub(super) fn ends_in(name: &str, segment: &str) -> bool {
    let written = match name.strip_prefix('~') {
        Some(expression) => expression.trim_end_matches(['$', ')']),
        None => name,
    };
    written
        .strip_suffix(segment)
        .is_some_and(|rest| rest.ends_with(['/', '(', '|']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(hook: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let yaml = format!("paths: {{cam: {{{hook}}}}}");
        let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
        let mut diagnosis = Diagnosis::default();
        check(
            &configuration,
            &Process::test(variables),
            None,
            &mut diagnosis,
        );
        diagnosis.found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_worker_that_reads_elsewhere_needs_no_stream_of_its_path() {
        let worker = "mtx-worker --input rtsp://cam/s1 --output rtmp://localhost/{path}";
        let program = [("PATH", "/nowhere")];
        for setting in ["runOnInit", "runOnDemand"] {
            let hook = format!("{setting}: '{worker}', {setting}Restart: yes");
            let found = diagnosis(&hook, &program);
            assert!(!found.iter().any(|it| it.starts_with("error")), "{found:?}");
            let hook = hook.replace("--input rtsp://cam/s1 ", "");
            let found = diagnosis(&hook, &program).join(" ");
            assert!(found.contains("no stream is there"), "{found}");
        }
    }

    #[test]
    fn workers_that_have_something_to_do_are_no_errors() {
        let found = |yaml: &str| {
            let configuration = super::super::file::parse(yaml.as_bytes()).unwrap();
            let mut diagnosis = Diagnosis::default();
            let process = Process::test(&[("PATH", "/nowhere")]);
            check(&configuration, &process, None, &mut diagnosis);
            let mut found: Vec<_> = diagnosis.found.iter().map(ToString::to_string).collect();
            found.retain(|it| !it.contains("PATH"));
            found
        };
        let restart = "runOnAvailable: mtx-worker, runOnAvailableRestart: yes";
        for (entry, expected) in [
            ("all_others", "warning: "),
            ("~^.*$", "warning: "),
            ("~^live/", "warning: "),
            ("~^cam[0-9]+/in\\z", ""),
            ("~^live/([a-z]+)/(?P<d>in)$", ""),
            ("~^live/([a-z]+)/in$", ""),
            ("~^cam[0-9]+$", "error: "),
            ("cam", "error: "),
        ] {
            let found = found(&format!("paths: {{'{entry}': {{{restart}}}}}"));
            assert!(
                found.len() == usize::from(!expected.is_empty()),
                "{entry}: {found:?}"
            );
            assert!(found.concat().starts_with(expected), "{entry}: {found:?}");
        }
        let inherited =
            |entry: &str| found(&format!("pathDefaults: {{{restart}}}\npaths: {{{entry}}}"));
        assert_eq!(inherited("init: {runOnInit: /bin/sh}").len(), 0);
        let idle = inherited("cam: {record: yes}");
        assert!(idle[0].starts_with("warning: cam: "), "{idle:?}");
        for hook in [
            "runOnRecordSegmentCreate: mtx-worker --output /p/x.jpg",
            "runOnRead: mtx-worker --output /p/x.jpg",
            "runOnAvailable: mtx-worker --output /p/x.jpg",
        ] {
            let found = found(&format!("paths: {{cam: {{{hook}}}}}"));
            assert_eq!(found, Vec::<String>::new(), "{hook}");
        }
    }

    #[test]
    fn what_a_hook_passes_on_is_never_shown() {
        for line in [
            "curl -H \"Cookie: session=s3cretvalue;\" http://h/",
            "curl -H Cookie:s3cretvalue; http://h/",
            "curl -H a:s3cretvalue$(id) http://h/ >/s3cretvalue",
            "KEY=s3cretvalue curl http://h/ | tee log",
        ] {
            let found = diagnosis(&format!("runOnRead: '{line}'"), &[("PATH", "/nowhere")]);
            assert!(!found.join(" ").contains("s3cret"), "{found:?}");
        }
    }

    #[test]
    fn a_program_that_path_lacks_is_an_error_only_where_it_is_the_servers_path() {
        let by_hand = diagnosis("runOnRead: no-such-program", &[("PATH", "/nowhere")]);
        assert!(by_hand[0].starts_with("warning"), "{by_hand:?}");
        let variables = [("PATH", "/nowhere"), ("MTX_PATH", "cam")];
        let of_hook = diagnosis("runOnRead: no-such-program", &variables);
        assert!(of_hook[0].starts_with("error"), "{of_hook:?}");
        let whole = diagnosis("runOnRead: /nowhere/program", &[("PATH", "/nowhere")]);
        assert!(whole[0].starts_with("error"), "{whole:?}");
    }
}
