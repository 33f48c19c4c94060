//! What a token lets its holder do.

use std::fmt;

use anyhow::Result;
use common::token;

/// One kind of request. Each has a token of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Sending MediaMTX's events, as its hooks do.
    Events,
    /// Seeing streams, routes, policies and metrics.
    Read,
    /// Declaring, starting and stopping streams and use cases.
    Operate,
    /// Putting routes and policies into force, which can publish elsewhere and have MediaMTX run commands.
    Policy,
}

impl Power {
    pub(crate) const ALL: [Self; 4] = [Self::Events, Self::Read, Self::Operate, Self::Policy];

    /// As the API's document and the dashboard call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Policy => "policy",
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A token of the environment, and what its holder may do.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Where it comes from.
    pub(crate) variable: &'static str,
    pub(crate) token: String,
    pub(crate) powers: &'static [Power],
}

/// Whoever changes something sees what there is; apart from that, no power includes another.
const VARIABLES: [(&str, &[Power]); 5] = [
    ("ORCHESTRATOR_TOKEN", &Power::ALL),
    ("ORCHESTRATOR_EVENTS_TOKEN", &[Power::Events]),
    ("ORCHESTRATOR_READ_TOKEN", &[Power::Read]),
    ("ORCHESTRATOR_OPERATE_TOKEN", &[Power::Read, Power::Operate]),
    ("ORCHESTRATOR_POLICY_TOKEN", &[Power::Read, Power::Policy]),
];

/// The tokens that are set. Without any, everybody may do everything.
pub(crate) fn grants() -> Result<Vec<Grant>> {
    let mut grants = Vec::new();
    for (variable, powers) in VARIABLES {
        let token = token::from_environment(variable)?;
        grants.extend(token.map(|token| Grant {
            variable,
            token,
            powers,
        }));
    }
    Ok(grants)
}
