//! What a shell offers after a press of the tab key: `source <(COMPLETE=bash mtx-lifecycle)`.

mod bash;

use std::collections::BTreeSet;
use std::env;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::env::{Elvish, Fish, Powershell, Shells, Zsh};
use clap_complete::{CompleteEnv, CompletionCandidate};
use mtx_lifecycle::commands::Options;
use mtx_lifecycle::journal::{Journal, State};
use mtx_lifecycle::server::is_reserved;

use super::arguments::{Cli, Common};
use super::options::options;

/// Nobody waits longer for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers the shell, and ends the process, if it is the shell that asks.
pub(crate) fn complete() {
    const SHELLS: Shells<'_> = Shells(&[&bash::Bash, &Elvish, &Fish, &Powershell, &Zsh]);
    let environment = CompleteEnv::with_factory(Cli::command);
    environment.shells(SHELLS).complete();
}

/// The paths that the server or the journal knows.
pub(super) fn paths() -> Vec<CompletionCandidate> {
    let Some(options) = typed() else {
        return Vec::new();
    };
    let state = journal(&options);
    let named = state.wanted();
    let mut paths: BTreeSet<String> = named.named().into_iter().map(str::to_owned).collect();
    let live = options.api.paths().unwrap_or_default();
    paths.extend(live.into_iter().map(|path| path.name));
    paths.retain(|path| !is_reserved(path));
    paths.into_iter().map(CompletionCandidate::new).collect()
}

/// The use cases that the policy in force knows.
pub(super) fn use_cases() -> Vec<CompletionCandidate> {
    let state = typed().map(|options| journal(&options));
    let names = state.unwrap_or_default().wanted().policy.use_case_names();
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn journal(options: &Options) -> State {
    Journal::peek(&options.folder).unwrap_or_default()
}

/// What the environment and the line say so far.
fn typed() -> Option<Options> {
    let words = env::args_os().skip_while(|word| word != "--").skip(1);
    // Other shells than bash have no such words to join.
    let (words, _) = bash::joined(words.collect(), 0);
    let command = Cli::command().ignore_errors(true);
    let matches = command.try_get_matches_from(words).ok()?;
    let mut common = Common::from_arg_matches(&matches).ok()?;
    common.timeout = Some(PATIENCE);
    options(&common).ok()
}
