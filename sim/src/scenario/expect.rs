//! `[expect]`: what must come of a run.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::closed;
use super::units::{Drawn, Span};
use super::words::Selector;

/// `[expect]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// `all`, a list, or `{ except = [...] }`.
    #[serde(deserialize_with = "closed::invariants")]
    pub invariants: Option<InvariantSet>,
    /// After the last fault all is well within this.
    pub heal_within: Option<Drawn<Span>>,
    /// Who must be well at the end: `all`, or by default `drawn`: everybody, or a quorum and perhaps some more, while whoever
    /// is outside stays as the faults have left it.
    pub core: Core,
    /// Who leads at the end.
    pub leader: Option<u32>,
    /// `[expect.node.3]`
    pub node: BTreeMap<String, NodeExpect>,
    /// Commits at least.
    pub min_commits: Option<u64>,
    /// The longest time without a commit while clients ask.
    pub max_unavailable: Option<Drawn<Span>>,
    /// Marks that must be seen, over all seeds of a sweep.
    pub sometimes: Vec<String>,
    /// Marks that must be seen in every run.
    pub seen: Vec<String>,
    /// Marks that must not be seen.
    pub never: Vec<String>,
    /// What holds at the end.
    #[serde(rename = "final")]
    pub last: Option<Last>,
    /// The server must refuse to serve, as its data is damaged.
    pub refused: bool,
}

/// Who must be well at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum Core {
    #[default]
    Drawn,
    All,
}

/// What must have become of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeExpect {
    /// At the end.
    pub role: Option<RoleWord>,
    /// A leader brought it up to date in this way at least once.
    pub sync: Option<SyncWord>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum RoleWord {
    Leading,
    Following,
    Observing,
}

/// How a learner is brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words themselves
pub enum SyncWord {
    Diff,
    Trunc,
    Snap,
}

/// `final = { node = "all", converged = true }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Last {
    /// Which.
    pub node: Option<Selector>,
    /// All hold the same.
    pub converged: Option<bool>,
    /// They run.
    pub up: Option<bool>,
}

/// Which invariants are checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum InvariantSet {
    /// `"all"`.
    All(String),
    /// These.
    Only(Vec<String>),
    /// All but these.
    Except {
        /// These.
        except: Vec<String>,
    },
}
