//! `mtx-hook doctor`: says in plain lines what is wrong with a server's configuration, and what to write instead.

mod arguments;
mod command;
mod configuration;
mod deprecated;
mod entries;
mod example;
mod expression;
mod file;
mod finding;
mod hooks;
mod kinds;
mod orchestrator;
mod process;
mod protocols;
mod refused;
mod server;
mod service;
mod settings;
mod streams;
mod variables;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use common::secret;

use configuration::Configuration;
use file::FileError;
use finding::{Diagnosis, Severity};
use process::Process;
use server::Server;

/// What was looked at.
#[derive(Debug, Default)]
struct Seen {
    file: Option<PathBuf>,
    /// A file of the server's that can't be looked at.
    unreadable: Option<PathBuf>,
    configuration: Option<Configuration>,
    /// Variables that stand in for the file's settings.
    variables: Vec<String>,
}

/// Looks at the named file, or at the one that MediaMTX would read, and at the running server.
pub(crate) fn run(file: Option<PathBuf>, deadline: Duration) -> ExitCode {
    let process = Process::current();
    let mut diagnosis = Diagnosis::default();
    let seen = match read(file, &process, &mut diagnosis) {
        Ok(seen) => seen,
        Err(message) => {
            // Nobody is left to tell if even that can't be written.
            let _ = writeln!(io::stderr(), "mtx-hook doctor: {message}");
            return ExitCode::from(2);
        }
    };
    let server = server::look(
        seen.configuration.as_ref(),
        &process,
        deadline,
        &mut diagnosis,
    );
    if seen.configuration.is_none() && server.is_none() && diagnosis.found.is_empty() {
        let (place, text) = nothing_seen(&seen);
        diagnosis.error(place, text);
    }
    diagnosis.merge(compare(&seen, server.as_ref(), &process));
    print(&diagnosis, &seen, server.as_ref())
}

fn nothing_seen(seen: &Seen) -> (String, String) {
    const SERVER: &str = "set MEDIAMTX_API_URL to where the server's API is";
    match &seen.unreadable {
        Some(file) => (
            shown(file),
            format!("it can't be looked at, nor a running server: {SERVER}"),
        ),
        None => (
            "mediamtx.yml".to_owned(),
            format!(
                "there is none in {}, and no running server: name it, mtx-hook doctor FILE, or {SERVER}",
                file::PLACES.join(", ")
            ),
        ),
    }
}

/// The file's content. A file that was named has to be there.
fn read(
    named: Option<PathBuf>,
    process: &Process,
    diagnosis: &mut Diagnosis,
) -> Result<Seen, String> {
    let is_named = named.is_some();
    let Some(file) = named.or_else(|| file::locate(process)) else {
        return Ok(Seen::default());
    };
    let name = file.display().to_string();
    let reason = match file::read(&file, process, diagnosis) {
        Ok((configuration, variables)) => {
            return Ok(Seen {
                file: Some(file),
                configuration: Some(configuration),
                variables,
                unreadable: None,
            });
        }
        Err(FileError::Content(error)) => {
            diagnosis.error(name, format!("MediaMTX cannot read it: {error}"));
            return Ok(Seen::default());
        }
        Err(FileError::Unsure(error)) => {
            diagnosis.unchecked(format!(
                "{name}: it could not be read here, though this server may read it: {error}"
            ));
            return Ok(Seen {
                unreadable: Some(file),
                ..Seen::default()
            });
        }
        Err(FileError::Read(error)) => error.to_string(),
        Err(FileError::Encrypted) => {
            "it is encrypted (see MTX_CONFKEY), which only the server can read: name a copy that is not, or look at the running server alone".to_owned()
        }
    };
    if is_named {
        return Err(format!("{name}: {reason}"));
    }
    diagnosis.unchecked(format!("{name}: {reason}"));
    Ok(Seen {
        unreadable: Some(file),
        ..Seen::default()
    })
}

/// The findings in the file and on the server, those of both once.
fn compare(seen: &Seen, server: Option<&Server>, process: &Process) -> Diagnosis {
    let mut all = Diagnosis::default();
    if let Some(configuration) = &seen.configuration {
        check(configuration, Origin::File, server, process, &mut all);
    }
    if let Some(running) = server {
        let origin = match seen.configuration {
            Some(_) => Origin::ServerBesideFile,
            None => Origin::Server,
        };
        let mut on_server = Diagnosis::default();
        check(
            &running.configuration,
            origin,
            server,
            process,
            &mut on_server,
        );
        on_server
            .found
            .retain(|finding| !all.found.contains(finding));
        if origin == Origin::ServerBesideFile {
            for finding in &mut on_server.found {
                finding.place = format!("running server: {}", finding.place);
            }
        }
        all.merge(on_server);
    }
    all
}

/// Where a configuration is from. Only a file tells what its author wrote from what is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    File,
    Server,
    ServerBesideFile,
}

fn check(
    configuration: &Configuration,
    origin: Origin,
    server: Option<&Server>,
    process: &Process,
    diagnosis: &mut Diagnosis,
) {
    hooks::check(configuration, process, server, diagnosis);
    refused::check(configuration, server, diagnosis);
    if origin == Origin::File {
        entries::check(configuration, server, diagnosis);
    }
    let receivers = orchestrator::receivers(configuration, process);
    protocols::check(configuration, process, &receivers, diagnosis);
    if origin != Origin::ServerBesideFile {
        streams::check(configuration, origin == Origin::Server, diagnosis);
    }
    orchestrator::check(&receivers, server, diagnosis);
}

/// 0 if nothing is wrong, warnings aside; 1 if something is.
fn print(diagnosis: &Diagnosis, seen: &Seen, server: Option<&Server>) -> ExitCode {
    let mut found = diagnosis.found.clone();
    found.sort();
    found.dedup();
    let mut lines: Vec<String> = found
        .iter()
        .map(|it| conceal_urls(&it.to_string()))
        .collect();
    let notes = diagnosis.notes.iter();
    lines.extend(notes.map(|text| conceal_urls(&format!("note: {text}"))));
    let unchecked = diagnosis.unchecked.iter();
    lines.extend(unchecked.map(|text| conceal_urls(&format!("not checked: {text}"))));
    let errors = found
        .iter()
        .filter(|it| it.severity == Severity::Error)
        .count();
    lines.push(match (errors, found.len() - errors) {
        (0, 0) => format!("ok: looked at {}", looked_at(seen, server)),
        (errors, warnings) => format!(
            "{}, {}; looked at {}",
            counted(errors, "error"),
            counted(warnings, "warning"),
            looked_at(seen, server)
        ),
    });
    let text = lines.join("\n") + "\n";
    if io::stdout().write_all(text.as_bytes()).is_err() || errors > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The line without passwords, from its first URL on: before it, an `@` is part of a file's name or of a path.
fn conceal_urls(line: &str) -> String {
    let scheme = line.find("://").unwrap_or(line.len());
    let start = line[..scheme].rfind(' ').map_or(0, |space| space + 1);
    let (words, urls) = if scheme < line.len() {
        line.split_at(start)
    } else {
        (line, "")
    };
    let words = secret::redact_query(words);
    secret::scrub(&words).into_owned() + &secret::conceal(urls)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn looked_at(seen: &Seen, server: Option<&Server>) -> String {
    let mut parts = Vec::new();
    if let Some(file) = &seen.file {
        parts.push(shown(file));
    }
    if !seen.variables.is_empty() {
        parts.push(seen.variables.join(", "));
    }
    if let Some(server) = server {
        let version = server
            .version
            .as_deref()
            .unwrap_or("a version that it does not tell");
        parts.push(format!("the server at {} ({version})", server.url));
    }
    match parts.as_slice() {
        [] => "nothing".to_owned(),
        parts => parts.join(", "),
    }
}

fn shown(file: &Path) -> String {
    file.canonicalize()
        .unwrap_or_else(|_| file.to_owned())
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_lose_what_stands_before_an_at_sign() {
        for line in [
            "error: cam: runOnRead: there is no /opt/node@20/bin/node: write where it is",
            "error: ~^[^@]+$: runOnInit: the server refuses the whole file: move it",
            "error: a@b: no route is for it: add one, for example --route 'a@b => rtmp://…'",
        ] {
            assert_eq!(conceal_urls(line), line);
        }
        for line in [
            "error: rtsp://u:s3cret@h: x",
            "error: a@b: runOnRead: 'rtsp://u:s3 cret@h' is y",
            "note: pass=s3cret x@y",
        ] {
            assert!(!conceal_urls(line).contains("cret"), "{line}");
        }
    }

    /// All checks that need no server.
    pub(super) fn look_at(configuration: &Configuration) {
        let process = Process::test(&[("PATH", "/nowhere")]);
        let mut diagnosis = Diagnosis::default();
        hooks::check(configuration, &process, None, &mut diagnosis);
        refused::check(configuration, None, &mut diagnosis);
        entries::check(configuration, None, &mut diagnosis);
        protocols::check(configuration, &process, &[], &mut diagnosis);
        streams::check(configuration, false, &mut diagnosis);
    }
}
