//! One line of the journal.

use std::collections::{BTreeMap, BTreeSet};

use common::timestamp::Timestamp;
use mediamtx::api::Fields;
use serde::{Deserialize, Serialize};

use crate::ledger::{Change, Owned};
use crate::policy::{Hold, Policy, Use};
use crate::server::Demand;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "record")]
pub enum Record {
    /// Whose entries are whose: the journal's name, which its keepers carry.
    #[serde(rename_all = "camelCase")]
    Journal {
        /// Its id.
        id: String,
        /// How long the file was when it was written anew, in bytes.
        #[serde(default)]
        length: u64,
    },
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
        /// The revision that it takes back: a start that was interrupted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undoes: Option<u64>,
    },
    /// The server is about to be told.
    #[serde(rename_all = "camelCase")]
    Write {
        /// When.
        at: Timestamp,
        /// Which entry.
        entry: String,
        /// What.
        change: Change,
        /// What others want of the same settings.
        #[serde(default, skip_serializing_if = "Fields::is_empty")]
        originals: Fields,
    },
    /// How that went; without it, nobody knows.
    #[serde(rename_all = "camelCase")]
    Written {
        /// When.
        at: Timestamp,
        /// Which entry.
        entry: String,
        /// How.
        outcome: Outcome,
    },
    /// What is known of an entry, in a journal that was written anew.
    #[serde(rename_all = "camelCase")]
    Owned {
        /// Which entry.
        entry: String,
        /// What of it is this program's.
        owned: Owned,
    },
    /// Somebody else has changed an entry that was added; it is theirs now.
    #[serde(rename_all = "camelCase")]
    Disowned {
        /// Which entry.
        entry: String,
    },
    /// How paths come by their streams without this program, as far as it was not known.
    #[serde(rename_all = "camelCase")]
    Demands {
        /// By path.
        paths: BTreeMap<String, Demand>,
    },
    /// The server does not want what a path's rule overrides.
    #[serde(rename_all = "camelCase")]
    Rejected {
        /// Which entry.
        entry: String,
        /// In its own words.
        why: String,
    },
    /// A command holds a path open for as long as it runs.
    #[serde(rename_all = "camelCase")]
    Held {
        /// The hold's own name; it is in force while its command has the lock of that name.
        id: String,
        /// What is held.
        hold: Hold,
    },
    /// It does not any more.
    #[serde(rename_all = "camelCase")]
    Released {
        /// Which hold.
        id: String,
    },
    /// The paths on which something has ended that the server may still have: they become as they are wanted with
    /// the next command, whatever it is about.
    #[serde(rename_all = "camelCase")]
    Ended {
        /// All of them.
        paths: BTreeSet<String>,
    },
    /// Where the server reaches its own paths, as it was given on a command line or in the environment.
    #[serde(rename_all = "camelCase")]
    Rtsp {
        /// With its password.
        url: url::Url,
    },
    /// The source of a path was demanded and has not come.
    #[serde(rename_all = "camelCase")]
    Missing {
        /// Since when.
        at: Timestamp,
        /// Which path.
        path: String,
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
    /// The server has it.
    Holds,
    /// It was not made, or was taken back.
    Undone,
}
