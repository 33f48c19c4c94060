//! Which entry of the configuration a path gets its settings from.

use std::borrow::Cow;

use mediamtx::api::Fields;
use regex_lite::{Captures, Regex};
use serde_json::Value;

use super::View;
use super::names::is_template;

/// Why it can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// MediaMTX would refuse the path.
    #[error(
        "MediaMTX has no entry for path {0}, and the policy gives it no source: add one to either of them"
    )]
    None(String),
    /// MediaMTX understands it, this program does not.
    #[error(
        "the entry {0} is a regular expression that mtx-lifecycle can't read: give the path an entry of its own"
    )]
    Expression(String),
}

/// An entry for many paths, as it is for one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The entry's name.
    pub entry: String,
    /// What its groups are for this path: `$G1` first.
    groups: Vec<String>,
}

impl Template {
    /// The settings with the groups filled in, since an entry for one path has none.
    #[must_use]
    pub fn fill(&self, fields: &Fields) -> Fields {
        let fill = |value: &Value| match value {
            Value::String(text) => Value::from(self.fill_text(text)),
            other => other.clone(),
        };
        fields
            .iter()
            .map(|(name, value)| (name.clone(), fill(value)))
            .collect()
    }

    fn fill_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        // From the last on, so that $G1 does not eat the beginning of $G10.
        for (index, group) in self.groups.iter().enumerate().rev() {
            let name = format!("$G{}", index + 1);
            if text.contains(&name) {
                text = Cow::Owned(text.replace(&name, group));
            }
        }
        text
    }
}

impl View {
    /// The entry for many paths that would apply to this one if it had none of its own; `None` if none would.
    ///
    /// # Errors
    /// When an expression that comes first can't be read.
    pub fn template(&self, path: &str) -> Result<Option<Template>, TemplateError> {
        // As MediaMTX goes through them: by name, the one for all others last.
        let expressions = self.entries.keys().filter(|name| name.starts_with('~'));
        let catch_all = self.entries.keys();
        let catch_all = catch_all.filter(|name| is_template(name) && !name.starts_with('~'));
        for entry in expressions {
            let expression = Regex::new(&entry[1..]);
            let expression = expression.map_err(|_| TemplateError::Expression(entry.clone()))?;
            if let Some(captures) = expression.captures(path) {
                return Ok(Some(Template {
                    entry: entry.clone(),
                    groups: groups(&captures),
                }));
            }
        }
        Ok(catch_all.min().map(|entry| Template {
            entry: entry.clone(),
            groups: Vec::new(),
        }))
    }
}

fn groups(captures: &Captures<'_>) -> Vec<String> {
    let text = |index| captures.get(index).map_or("", |group| group.as_str());
    (1..captures.len())
        .map(|index| text(index).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_expression_by_name_wins_and_all_others_is_last() {
        let view = View::fake(
            &json!({"~^cam(\\d+)$": {}, "~^c": {}, "all_others": {}, "cam1": {}}),
            &json!([]),
        );
        let entry = |path: &str| view.template(path).unwrap().unwrap().entry;
        assert_eq!(entry("cam12"), "~^c");
        assert_eq!(entry("door"), "all_others");
        let view = View::fake(&json!({"~^cam(\\d+)$": {}}), &json!([]));
        assert_eq!(view.template("door"), Ok(None));
        let template = view.template("cam12").unwrap().unwrap();
        let fields = json!({"source": "rtsp://h/$G1", "record": true});
        let filled = template.fill(fields.as_object().unwrap());
        assert_eq!(
            Value::from(filled),
            json!({"source": "rtsp://h/12", "record": true})
        );
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_named() {
        let view = View::fake(&json!({"~\\p{Greek}(": {}}), &json!([]));
        let message = view.template("cam").unwrap_err().to_string();
        assert!(message.contains("Greek"), "{message}");
    }
}
