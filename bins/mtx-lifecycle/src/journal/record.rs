//! One line of the journal.

use std::collections::BTreeMap;

use mediamtx::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::plan::{Change, Touched};
use crate::policy::Policy;
use crate::wanted::Use;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "record")]
pub enum Record {
    /// Something else is wanted from now on.
    #[serde(rename_all = "camelCase")]
    Revision {
        /// When.
        at: Timestamp,
        /// Its number; they rise.
        number: u64,
        /// By which command.
        what: String,
        /// The policy, where it is not the last one's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Policy>,
        /// What was started and stopped by hand.
        uses: BTreeMap<String, Use>,
    },
    /// The server is about to be told.
    #[serde(rename_all = "camelCase")]
    Intent {
        /// When.
        at: Timestamp,
        /// Which entry.
        entry: String,
        /// What.
        change: Change,
        /// What is touched as long as nobody knows how it went.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        touched: Option<Touched>,
    },
    /// How it went.
    #[serde(rename_all = "camelCase")]
    Done {
        /// When.
        at: Timestamp,
        /// Which entry.
        entry: String,
        /// How.
        outcome: Outcome,
        /// What is touched now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        touched: Option<Touched>,
    },
    /// A path is held open until a moment, so that its source comes before its first viewer does.
    #[serde(rename_all = "camelCase")]
    Warm {
        /// Which path.
        path: String,
        /// Until when, in milliseconds since 1970.
        until: i64,
    },
    /// The source of a path does not come any more, whatever is tried.
    #[serde(rename_all = "camelCase")]
    Degraded {
        /// When.
        at: Timestamp,
        /// Which path.
        path: String,
    },
    /// It has come again, or somebody has started the path anew.
    #[serde(rename_all = "camelCase")]
    Recovered {
        /// When.
        at: Timestamp,
        /// Which path.
        path: String,
    },
}

/// How a change went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The server shows it.
    Holds,
    /// The server does not want it so.
    Rejected(String),
}
