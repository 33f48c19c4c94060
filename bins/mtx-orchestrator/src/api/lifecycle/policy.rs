//! The policy: what is in force, and putting another one into force.

use common::http::{Answer, Problem};
use common::secret;
use mtx_lifecycle::commands::Error;
use mtx_lifecycle::commands::status::RevisionStatus;
use mtx_lifecycle::journal::Journal;
use mtx_lifecycle::policy::Policy;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::body::read_revision;
use super::commands::clean;
use super::{Commands, problem, told};

pub(super) fn show(commands: &Commands) -> Result<Answer, Problem> {
    let state = Journal::peek(&commands.options().folder);
    let state = state.map_err(|error| problem(&Error::from(error)))?;
    let revisions: Vec<_> = state.revisions.iter().map(RevisionStatus::from).collect();
    let answer = json!({
        "revision": state.revision(),
        "policy": without_passwords(&state.wanted().policy),
        "revisions": revisions,
    });
    Ok(Answer::json(200, &answer))
}

/// The policy's own form in JSON, passwords in sources hidden.
fn without_passwords(policy: &Policy) -> Value {
    // A policy is made of maps with text for keys, which always have a JSON form.
    let mut json = serde_json::to_value(policy).unwrap_or_default();
    for source in sources(&mut json) {
        *source = source.as_str().map(secret::conceal).into();
    }
    json
}

fn sources(policy: &mut Value) -> impl Iterator<Item = &mut Value> {
    let rules = policy.get_mut("paths").and_then(Value::as_array_mut);
    let sources = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get_mut("source")?.as_object_mut());
    sources.flat_map(|source| source.values_mut())
}

pub(super) fn apply(commands: &Commands, query: &str, body: &[u8]) -> Result<Answer, Problem> {
    let dry_run = dry_run(query)?;
    let policy = read(body)?;
    if dry_run {
        let changes = commands
            .preview(policy, false)
            .map_err(|error| problem(&error))?;
        let changes: Vec<_> = changes.iter().map(|line| secret::scrub(line)).collect();
        return Ok(Answer::json(200, &json!({ "changes": changes })));
    }
    let report = commands
        .apply(policy, false)
        .map_err(|error| problem(&error))?;
    told("apply", &report);
    Ok(Answer::json(200, &clean(report)))
}

/// Whoever writes it wrong does not want the policy to come into force.
pub(in crate::api) fn dry_run(query: &str) -> Result<bool, Problem> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    let dry_run = match parameters
        .next()
        .as_ref()
        .map(|(name, value)| (&**name, &**value))
    {
        None | Some(("dryRun", "false")) => false,
        Some(("dryRun", "true")) => true,
        Some(_) => {
            return Err(Problem::new(400, "the only parameter here is dryRun=true").field("dryRun"));
        }
    };
    match parameters.next() {
        None => Ok(dry_run),
        Some(_) => Err(Problem::new(400, "there is more than one parameter").field("dryRun")),
    }
}

fn read(body: &[u8]) -> Result<Policy, Problem> {
    let text = str::from_utf8(body).map_err(|_| Problem::new(400, "the policy is not UTF-8"))?;
    let policy: Policy = text
        .parse()
        .map_err(|error: mtx_lifecycle::policy::PolicyError| {
            let detail: String = secret::scrub(&error.to_string())
                .chars()
                .take(500)
                .collect();
            let (line, column) = error.place();
            Problem::new(400, detail).at(line, column)
        })?;
    let mut json = serde_json::to_value(&policy).unwrap_or_default();
    let hidden = sources(&mut json).any(|source| {
        source
            .as_str()
            .is_some_and(|text| text.contains(secret::HIDDEN))
    });
    if hidden {
        let detail =
            "a source has ***, which stands for a password that is not shown: write the password";
        return Err(Problem::new(400, detail).field("source"));
    }
    Ok(policy)
}

pub(super) fn rollback(commands: &Commands, body: &[u8]) -> Result<Answer, Problem> {
    let revision = read_revision(body)?;
    let (number, report) = commands
        .rollback(revision, false)
        .map_err(|error| problem(&error))?;
    told("rollback", &report);
    let answer = json!({ "revision": number, "paths": clean(report).paths });
    Ok(Answer::json(200, &answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_policy_is_shown_without_passwords_and_not_taken_back_so() {
        let yaml = "paths:\n- {path: a, source: {rtsp: 'rtsp://u:hunter2@h/1'}}\n\
                    - {path: b, source: {command: 'ffmpeg -i rtsp://u:hunter3@h/1 x'}}";
        let shown = without_passwords(&yaml.parse().unwrap()).to_string();
        assert!(
            !shown.contains("hunter") && shown.contains("rtsp://u:***@h/1"),
            "{shown}"
        );
        let problem = read(shown.as_bytes()).unwrap_err();
        assert!(
            problem.detail().contains("write the password"),
            "{}",
            problem.detail()
        );
        assert!(read(yaml.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_no_secret() {
        let answer = Answer::from(
            read(b"paths:\n- path: cam\n  source: rtsp://u:hunter2@h/1\n").unwrap_err(),
        );
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (&said["status"], &said["line"]),
            (&400.into(), &3.into()),
            "{said}"
        );
        assert!(
            said["column"].is_number() && !said.to_string().contains("hunter2"),
            "{said}"
        );
    }

    #[test]
    fn only_what_is_meant_as_a_dry_run_is_none_or_one() {
        for (query, expected) in [("", false), ("dryRun=false", false), ("dryRun=true", true)] {
            assert_eq!(dry_run(query).unwrap(), expected, "{query}");
        }
        for query in [
            "dryrun=true",
            "dryRun",
            "dryRun=1",
            "dry-run=true",
            "dryRun=true&force=true",
        ] {
            assert_eq!(dry_run(query).unwrap_err().status, 400, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), query in any::<String>()) {
            let _ = read(&body);
            let _ = dry_run(&query);
        }
    }
}
