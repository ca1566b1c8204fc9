//! The config text: who the members are, in which groups, with which weight, as of which reconfig (quorum protocol B8).
//!
//! ```text
//! server.1=host:2888:3888:participant;0.0.0.0:2181
//! server.2=…
//! group.1=1:2                 only hierarchical quorums
//! weight.1=1
//! version=100000003           hexadecimal, last, without a newline
//! ```
//!
//! It travels in notifications, NEWLEADER and the reconfig txn, and lies in `/zookeeper/config` and the dynamic files.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use bytes::Bytes;
use thiserror::Error;

use super::member::{Member, MemberError, Role};
use crate::ids::{Sid, Zxid};

/// One configuration of an ensemble. It has a voter, and its groups, if any, hold every voter once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumConfig {
    version: Zxid,
    members: BTreeMap<Sid, Member>,
    hierarchy: Option<Hierarchy>,
    /// What it says as text: every vote carries it, so it is put together once.
    text: Bytes,
}

/// Groups and weights of a hierarchical config.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Hierarchy {
    /// By group number, sids as they were listed; those that are no member count nowhere.
    pub groups: BTreeMap<i64, Vec<Sid>>,
    /// What a server's word weighs; 1 for voters that none is given for.
    pub weights: BTreeMap<Sid, u32>,
}

/// Why a text is no config.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigTextError {
    /// A line without `=`.
    #[error("line {line}: expected key=value, found \"{found}\"")]
    NoValue {
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// A key that a config does not have.
    #[error("line {line}: expected server.N, group.G, weight.N or version, found \"{found}\"")]
    Key {
        /// Counted from 1.
        line: usize,
        /// The key.
        found: String,
    },
    /// A server line that is none.
    #[error("line {line}: expected {error}, found \"{found}\"")]
    Member {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        error: MemberError,
        /// The value.
        found: String,
    },
    /// Another value that cannot be.
    #[error("line {line}: expected {expected}, found \"{found}\"")]
    Value {
        /// Counted from 1.
        line: usize,
        /// What it may be.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// One key on two lines.
    #[error("line {line}: \"{key}\" for the second time")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// The members do not make an ensemble.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Why members, groups and weights do not make a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// Nobody votes.
    #[error("expected a participant among the servers, found none")]
    NoVoter,
    /// Groups or weights are given, but not for everybody.
    #[error("expected server.{0} in a group, found it in none")]
    Ungrouped(Sid),
    /// A server in several groups, or twice in one.
    #[error("expected server.{0} in one group, found it again")]
    Regrouped(Sid),
    /// Every group weighs nothing: nobody could ever lead.
    #[error("expected a group that weighs something, found none")]
    Weightless,
}

impl QuorumConfig {
    /// Puts a config together.
    pub fn new(
        version: Zxid,
        members: impl IntoIterator<Item = Member>,
        hierarchy: Option<Hierarchy>,
    ) -> Result<Self, ShapeError> {
        let members = members.into_iter().map(|member| (member.sid, member)).collect();
        let mut config = Self { version, members, hierarchy, text: Bytes::new() };
        if config.voters().next().is_none() {
            return Err(ShapeError::NoVoter);
        }
        if let Some(hierarchy) = config.hierarchy.take() {
            config.hierarchy = Some(config.checked(hierarchy)?);
        }
        config.text = config.written();
        Ok(config)
    }

    /// Reads a text. Blank lines and comments may stand between the lines.
    pub fn parse(text: &str) -> Result<Self, ConfigTextError> {
        let mut parts = Parts::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !(line.is_empty() || line.starts_with(['#', '!'])) {
                parts.add(number + 1, line)?;
            }
        }
        let hierarchical = !(parts.hierarchy.groups.is_empty() && parts.hierarchy.weights.is_empty());
        let hierarchy = hierarchical.then_some(parts.hierarchy);
        Ok(Self::new(parts.version.unwrap_or(Zxid::ZERO), parts.members, hierarchy)?)
    }

    /// Checks groups and weights against the members, and gives every voter a weight.
    fn checked(&self, mut hierarchy: Hierarchy) -> Result<Hierarchy, ShapeError> {
        let mut grouped = BTreeSet::new();
        for sid in hierarchy.groups.values().flatten() {
            if !grouped.insert(*sid) {
                return Err(ShapeError::Regrouped(*sid));
            }
        }
        let mut weightless = true;
        for sid in self.voters() {
            if !grouped.contains(&sid) {
                return Err(ShapeError::Ungrouped(sid));
            }
            weightless &= *hierarchy.weights.entry(sid).or_insert(1) == 0;
        }
        if weightless { Err(ShapeError::Weightless) } else { Ok(hierarchy) }
    }

    /// The same members as of another reconfig.
    pub fn with_version(mut self, version: Zxid) -> Self {
        self.version = version;
        self.text = self.written();
        self
    }

    /// The text that says it.
    pub const fn text(&self) -> &Bytes {
        &self.text
    }

    fn written(&self) -> Bytes {
        format!("{}\nversion={:x}", self.members_text(), self.version.0).into()
    }

    /// Zxid of the reconfig txn that made it; epoch << 32 if its first leader gave it; 0 if nobody did.
    pub const fn version(&self) -> Zxid {
        self.version
    }

    /// All members, by sid.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    pub fn member(&self, sid: Sid) -> Option<&Member> {
        self.members.get(&sid)
    }

    /// Sids of the participants, ascending.
    pub fn voters(&self) -> impl Iterator<Item = Sid> {
        self.members.values().filter(|member| member.role == Role::Participant).map(|member| member.sid)
    }

    /// Groups and weights; `None` if the majority rules.
    pub const fn hierarchy(&self) -> Option<&Hierarchy> {
        self.hierarchy.as_ref()
    }

    /// Java's equality of configs: the same version, or else the same members, groups and weights.
    pub fn same_as(&self, other: &Self) -> bool {
        self.version == other.version || (self.members == other.members && self.hierarchy == other.hierarchy)
    }

    /// The text without its version line: what `zoo.cfg.dynamic.<version>` holds.
    pub fn members_text(&self) -> String {
        let mut lines: Vec<String> =
            self.members.values().map(|member| format!("server.{}={member}", member.sid)).collect();
        if let Some(Hierarchy { groups, weights }) = &self.hierarchy {
            for (group, sids) in groups {
                let sids: Vec<_> = sids.iter().map(Sid::to_string).collect();
                lines.push(format!("group.{group}={}", sids.join(":")));
            }
            lines.extend(weights.iter().map(|(sid, weight)| format!("weight.{sid}={weight}")));
        }
        lines.join("\n")
    }
}

/// The text.
impl fmt::Display for QuorumConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            core::str::from_utf8(&self.text)
                .expect("invariant: a config's text was put together from strings"),
        )
    }
}

/// By version only: equal configs have equal versions, and different ones rarely share theirs.
impl Hash for QuorumConfig {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.version.hash(state);
    }
}

/// The lines of a text so far.
#[derive(Default)]
struct Parts {
    version: Option<Zxid>,
    members: Vec<Member>,
    hierarchy: Hierarchy,
}

impl Parts {
    fn add(&mut self, line: usize, text: &str) -> Result<(), ConfigTextError> {
        let no_value = || ConfigTextError::NoValue { line, found: text.to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(no_value)?;
        let (key, value) = (key.trim(), value.trim());
        let wrong = |expected| ConfigTextError::Value { line, expected, found: value.to_owned() };
        let unknown = || ConfigTextError::Key { line, found: key.to_owned() };
        let taken = if key == "version" {
            let version = i64::from_str_radix(value, 16).ok().filter(|version| *version >= 0);
            let version = version.ok_or_else(|| wrong("a hexadecimal zxid"))?;
            self.version.replace(Zxid(version)).is_some()
        } else {
            let (family, number) = key.split_once('.').ok_or_else(unknown)?;
            let number: i64 = number.parse().map_err(|_| unknown())?;
            match family {
                "server" => self.add_member(line, number, value)?,
                "group" => {
                    let sids =
                        value.split(':').map(|sid| sid.trim().parse().map(Sid)).collect::<Result<_, _>>();
                    let sids = sids.map_err(|_| wrong("sids, separated by colons"))?;
                    self.hierarchy.groups.insert(number, sids).is_some()
                }
                "weight" => {
                    let weight = value.parse().map_err(|_| wrong("a weight of 0 or more"))?;
                    self.hierarchy.weights.insert(Sid(number), weight).is_some()
                }
                _ => return Err(unknown()),
            }
        };
        if taken { Err(ConfigTextError::Twice { line, key: key.to_owned() }) } else { Ok(()) }
    }

    /// True if the sid is taken.
    fn add_member(&mut self, line: usize, number: i64, value: &str) -> Result<bool, ConfigTextError> {
        if number < 0 || Sid(number) == Sid::ANONYMOUS {
            let expected = "server.N with an N of 0 or more that is not taken for anonymous observers";
            return Err(ConfigTextError::Value { line, expected, found: number.to_string() });
        }
        let member = Member::parse(Sid(number), value).map_err(|error| ConfigTextError::Member {
            line,
            error,
            found: value.to_owned(),
        })?;
        let taken = self.members.iter().any(|other| other.sid == member.sid);
        self.members.push(member);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "server.1=h1:1:2:participant\nserver.2=h2:1:2:participant;0.0.0.0:2181\n\
        server.10=h3:1:2:observer\nversion=100000003";
    const GROUPED: &str = "server.1=h1:1:2:participant\nserver.2=h2:1:2:participant\nserver.3=h3:1:2:participant\n\
        group.1=1:2\ngroup.2=3:9\nweight.1=1\nweight.2=0\nweight.3=1\nversion=0";

    fn refused(text: &str) -> String {
        QuorumConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_text_comes_back_as_it_was() {
        for text in [PLAIN, GROUPED] {
            assert_eq!(QuorumConfig::parse(text).unwrap().to_string(), text);
        }
        let config = QuorumConfig::parse(PLAIN).unwrap();
        assert_eq!(config.version(), Zxid::new(1, 3));
        assert_eq!(config.voters().collect::<Vec<_>>(), [Sid(1), Sid(2)]);
        assert_eq!(config.members_text() + "\nversion=100000003", PLAIN);
    }

    #[test]
    fn what_a_text_leaves_out_is_filled_in_as_java_does() {
        let config = QuorumConfig::parse(" # who\n\n server.1 = h:1:2 \r\n group.1=1").unwrap();
        assert_eq!(config.to_string(), "server.1=h:1:2:participant\ngroup.1=1\nweight.1=1\nversion=0");
    }

    #[test]
    fn what_is_no_config_is_named_with_its_line() {
        let one = "server.1=h:1:2";
        let key = "expected server.N, group.G, weight.N or version, found";
        for (text, error) in [
            ("what", "line 1: expected key=value, found \"what\""),
            ("tickTime=2000", &*format!("line 1: {key} \"tickTime\"")),
            ("server.x=h:1:2", &*format!("line 1: {key} \"server.x\"")),
            ("peer.1=h:1:2", &*format!("line 1: {key} \"peer.1\"")),
            (
                "server.1=h",
                "line 1: expected host:quorumPort:electionPort[:role][|…][;[host:]clientPort], found \"h\"",
            ),
            (
                "server.-1=h:1:2",
                "line 1: expected server.N with an N of 0 or more that is not taken for anonymous observers, found \"-1\"",
            ),
            ("version=-1", "line 1: expected a hexadecimal zxid, found \"-1\""),
            ("version=1\nversion=1", "line 2: \"version\" for the second time"),
            (&*format!("{one}\n{one}"), "line 2: \"server.1\" for the second time"),
            ("weight.1=-1", "line 1: expected a weight of 0 or more, found \"-1\""),
            ("group.1=1:x", "line 1: expected sids, separated by colons, found \"1:x\""),
            ("", "expected a participant among the servers, found none"),
            ("server.1=h:1:2:observer", "expected a participant among the servers, found none"),
            (&*format!("{one}\nweight.1=1"), "expected server.1 in a group, found it in none"),
            (&*format!("{one}\ngroup.1=1\ngroup.2=1"), "expected server.1 in one group, found it again"),
            (&*format!("{one}\ngroup.1=1\nweight.1=0"), "expected a group that weighs something, found none"),
        ] {
            assert_eq!(refused(text), error, "{text}");
        }
    }

    #[test]
    fn configs_are_the_same_by_version_or_by_members() {
        let of = |text: &str| QuorumConfig::parse(text).unwrap();
        let a = of("server.1=h:1:2\nversion=5");
        assert!(a.same_as(&of("server.2=h:1:2\nversion=5")));
        assert!(a.same_as(&of("server.1=h:1:2\nversion=6")));
        assert!(!a.same_as(&of("server.1=h:1:3\nversion=6")));
        assert!(
            !of(GROUPED).same_as(&of(&GROUPED.replace("weight.2=0\n", "").replace("version=0", "version=1")))
        );
    }
}
