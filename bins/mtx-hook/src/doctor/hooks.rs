//! Hooks: whether MediaMTX can start them, and whether the suite's programs can do what they are started for.

use mediamtx::event::EventName;
use mediamtx::quoted;

use clap::Parser;

use super::arguments;
use super::command::{base_name, shell_feature, split};
use super::configuration::{Configuration, Entry, Hook, flag};
use super::finding::{Diagnosis, Severity};
use super::process::{Process, Program};
use super::server::Server;
use crate::cli::Cli;

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

/// The entries whose streams mtx-hook tells the orchestrator of.
pub(super) fn entries_that_tell(configuration: &Configuration) -> Vec<&Entry> {
    let tells = |hook: &&Hook<'_>| hook.event == EventName::Ready && is(hook, "mtx-hook");
    let hooks = configuration.hooks();
    let hooks = hooks.iter().filter(tells);
    hooks
        .flat_map(|hook| configuration.entries_with(hook))
        .collect()
}

/// A hook that starts mtx-worker.
pub(super) struct WorkerHook<'a> {
    pub(super) hook: Hook<'a>,
    /// Where it reads, if not the hook's own path.
    pub(super) inputs: Vec<String>,
    /// Where it publishes, if it says so.
    pub(super) outputs: Vec<String>,
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
    let WorkerHook {
        hook,
        inputs,
        outputs,
    } = worker;
    if inputs.is_empty() && !matches!(hook.event, EventName::Ready | EventName::Online) {
        diagnosis.error(
            hook.place(),
            "no stream is there to be read then: start mtx-worker in runOnAvailable",
        );
        return false;
    }
    let restart = format!("{}Restart", hook.setting);
    let can_restart = matches!(
        hook.event,
        EventName::Init | EventName::Demand | EventName::Ready | EventName::Online
    );
    for entry in configuration.entries_with(hook) {
        let restarts = configuration.of_entry(entry, &restart).and_then(flag);
        if can_restart && restarts != Some(true) {
            diagnosis.warning(
                format!("{}: {}", entry.name, hook.setting),
                format!("a worker that has given up is not started again: add {restart}: yes"),
            );
        }
        if outputs.is_empty() && !ends_in(&entry.name, "in") {
            diagnosis.error(
                format!("{}: {}", entry.name, hook.setting),
                "mtx-worker publishes X/in to X/out, and nothing else without being told where: add --output rtmp://…",
            );
        }
    }
    true
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
