//! The desired state, and which one counts.

use std::collections::BTreeMap;

use mediamtx::via::Via;
use serde::{Deserialize, Serialize};

const LONGEST_ID: usize = 64;

/// The wanted outputs by their ids.
pub(crate) type Outputs = BTreeMap<String, WantedOutput>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WantedOutput {
    pub(crate) url: String,
    /// Where the stream has been before it goes to this output.
    pub(crate) via: Via,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    generation: u64,
    outputs: Vec<RequestedOutput>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestedOutput {
    id: String,
    url: String,
    via: Option<String>,
}

/// The answer to a line.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Applied { generation: u64, applied: bool },
    Refused { generation: u64, error: String },
    Unreadable { error: String },
}

/// The last generation that was applied, with its outputs.
#[derive(Default)]
pub(super) struct Desired {
    last: Option<(u64, Outputs)>,
}

impl Desired {
    /// Answers a line; `apply` puts its outputs into force, all of them or none.
    pub(super) fn answer(
        &mut self,
        line: &[u8],
        apply: impl FnOnce(&Outputs) -> anyhow::Result<()>,
    ) -> Answer {
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => return unreadable(&error),
        };
        let generation = request.generation;
        match self.change(request, apply) {
            Ok(()) => Answer::Applied {
                generation,
                applied: true,
            },
            Err(error) => Answer::Refused { generation, error },
        }
    }

    fn change(
        &mut self,
        request: Request,
        apply: impl FnOnce(&Outputs) -> anyhow::Result<()>,
    ) -> Result<(), String> {
        let generation = request.generation;
        let outputs = by_id(request.outputs)?;
        match &self.last {
            Some((last, _)) if generation < *last => {
                return Err(format!(
                    "generation {generation} is older than {last}, which was applied"
                ));
            }
            Some((last, applied)) if generation == *last => {
                return match outputs == *applied {
                    true => Ok(()),
                    false => Err(format!(
                        "generation {generation} was applied with other outputs: give this one a higher number"
                    )),
                };
            }
            _ => {}
        }
        apply(&outputs).map_err(|error| format!("{error:#}"))?;
        self.last = Some((generation, outputs));
        Ok(())
    }
}

fn by_id(outputs: Vec<RequestedOutput>) -> Result<Outputs, String> {
    let mut by_id = Outputs::new();
    for RequestedOutput { id, url, via } in outputs {
        let is_printable = id.bytes().all(|byte| byte.is_ascii_graphic());
        if id.is_empty() || id.len() > LONGEST_ID || !is_printable {
            return Err(format!(
                "an id is 1 to {LONGEST_ID} printable ASCII characters without spaces"
            ));
        }
        if by_id.contains_key(&id) {
            return Err(format!("the id {id} is given twice"));
        }
        let via = match via.map(|list| list.parse()) {
            Some(Ok(via)) => via,
            Some(Err(error)) => return Err(format!("via of the id {id}: {error}")),
            None => Via::default(),
        };
        by_id.insert(id, WantedOutput { url, via });
    }
    Ok(by_id)
}

/// Says where it goes wrong, but not by what, as serde does: that may be a stream key.
fn unreadable(error: &serde_json::Error) -> Answer {
    let what = match error.is_data() {
        true => r#"not of the form {"generation":1,"outputs":[{"id":"…","url":"rtmp://…"}]}"#,
        false => "not a line of JSON",
    };
    let column = error.column();
    Answer::Unreadable {
        error: format!("{what} (column {column})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use proptest::prelude::*;

    fn line(generation: u64, ids: &[u8]) -> String {
        let output = |id: &u8| format!(r#"{{"id":"{id}","url":"rtmp://h/a/{id}"}}"#);
        let outputs: Vec<_> = ids.iter().map(output).collect();
        format!(
            r#"{{"generation":{generation},"outputs":[{}]}}"#,
            outputs.join(",")
        )
    }

    fn refusal(answer: &Answer) -> &str {
        match answer {
            Answer::Refused { error, .. } | Answer::Unreadable { error } => error,
            Answer::Applied { .. } => panic!("applied"),
        }
    }

    #[test]
    fn what_can_not_be_read_is_answered_without_what_it_holds() {
        for (line, expected) in [
            ("", "not a line of JSON"),
            ("s3cret", "not a line of JSON"),
            (r#"["s3cret"]"#, "not of the form"),
            (r#"{"generation":"s3cret","outputs":[]}"#, "not of the form"),
            (r#"{"generation":1}"#, "not of the form"),
            (
                r#"{"generation":1,"outputs":[],"s3cret":1}"#,
                "not of the form",
            ),
            (r#"{"generation":-1,"outputs":[]}"#, "not of the form"),
        ] {
            let answer = Desired::default().answer(line.as_bytes(), |_| panic!("applied"));
            let message = refusal(&answer);
            assert!(message.contains(expected), "{line}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn an_id_is_short_printable_and_unique() {
        for id in ["", " ", "a\\nb", &"x".repeat(LONGEST_ID + 1)] {
            let line = format!(r#"{{"generation":1,"outputs":[{{"id":"{id}","url":"u"}}]}}"#);
            let answer = Desired::default().answer(line.as_bytes(), |_| panic!("applied"));
            assert!(refusal(&answer).contains("1 to 64"), "{answer:?}");
        }
        let answer = Desired::default().answer(line(1, &[3, 3]).as_bytes(), |_| panic!("applied"));
        assert!(
            refusal(&answer).contains("id 3 is given twice"),
            "{answer:?}"
        );
    }

    #[test]
    fn marks_are_read_or_refused_with_the_id() {
        let line = |via: &str| {
            format!(r#"{{"generation":1,"outputs":[{{"id":"1","url":"u","via":"{via}"}}]}}"#)
        };
        let list = "00000000000000aa,00000000000000cc";
        let mut via = None;
        Desired::default().answer(line(list).as_bytes(), |outputs| {
            via = Some(outputs["1"].via.to_string());
            Ok(())
        });
        assert_eq!(via.as_deref(), Some(list));
        let answer = Desired::default().answer(line("aa").as_bytes(), |_| panic!("applied"));
        assert!(
            refusal(&answer).contains("via of the id 1: marks are"),
            "{answer:?}"
        );
    }

    proptest! {
        /// Applied is what was good and newer than all that was applied before; nothing else changes anything.
        #[test]
        fn the_applied_generation_is_the_last_good_one(
            lines in prop::collection::vec((0..6u64, prop::collection::vec(0..3u8, 0..4), any::<bool>()), 0..40),
        ) {
            let mut desired = Desired::default();
            let mut model: Option<(u64, Vec<u8>)> = None;
            let mut in_force = None;
            for (generation, mut ids, is_good) in lines {
                let answer = desired.answer(line(generation, &ids).as_bytes(), |outputs| {
                    if !is_good {
                        bail!("bad URL");
                    }
                    in_force = Some(outputs.clone());
                    Ok(())
                });
                let given = ids.len();
                ids.sort_unstable();
                ids.dedup();
                let is_unique = ids.len() == given;
                let is_new = model.as_ref().is_none_or(|(last, _)| generation > *last);
                let is_repeated = model == Some((generation, ids.clone()));
                let expected = is_unique && (is_repeated || (is_new && is_good));
                let applied = Answer::Applied { generation, applied: true };
                prop_assert_eq!(answer == applied, expected);
                if expected {
                    model = Some((generation, ids));
                }
                let known: Option<Vec<String>> = in_force.as_ref().map(|o: &Outputs| o.keys().cloned().collect());
                let modelled = model.as_ref().map(|(_, ids)| ids.iter().map(u8::to_string).collect());
                prop_assert_eq!(known, modelled);
            }
        }

        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200)) {
            Desired::default().answer(&line, |_| Ok(()));
        }
    }
}
