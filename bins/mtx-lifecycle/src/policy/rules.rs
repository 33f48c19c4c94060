//! Finding the rule for a path among a thousand, which `watch` does several times for each path, every two seconds.

use std::collections::HashMap;

use super::{Policy, Rule};

/// Where in a policy the rules are.
#[derive(Debug, Clone)]
pub(super) struct RulesByName {
    /// Rules for one path, by its name; the first one for each.
    named: HashMap<String, usize>,
    /// Rules for many, in order.
    patterns: Vec<usize>,
}

impl RulesByName {
    pub(super) fn of(policy: &Policy) -> Self {
        let (mut named, mut patterns) = (HashMap::new(), Vec::new());
        for (place, rule) in policy.paths.iter().enumerate() {
            match rule.path.name() {
                Some(name) => {
                    named.entry(name.to_owned()).or_insert(place);
                }
                None => patterns.push(place),
            }
        }
        Self { named, patterns }
    }

    /// The same as [`Policy::rule`], of the policy that this was made of.
    pub(super) fn rule<'a>(&self, policy: &'a Policy, path: &str) -> Option<&'a Rule> {
        let named = self.named.get(path).copied();
        let before = |place: &&usize| named.is_none_or(|named| **place < named);
        let patterns = self.patterns.iter().take_while(before);
        let mut rules = patterns.filter_map(|&place| policy.paths.get(place));
        let by_pattern = rules.find(|rule| rule.path.matches(path));
        by_pattern.or_else(|| policy.paths.get(named?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_rule_that_fits_is_found(rules in prop::collection::vec("[ab]|a\\*|\\*|a/[ab]|a/\\*|\\*\\*", 0..8), path in "[ab](/[ab])?") {
            let rule = |path: &String| serde_json::json!({ "path": path });
            let rules: Vec<_> = rules.iter().map(rule).collect();
            let policy: Policy = serde_json::from_value(serde_json::json!({ "paths": rules })).unwrap();
            prop_assert_eq!(RulesByName::of(&policy).rule(&policy, &path), policy.rule(&path));
        }
    }
}
