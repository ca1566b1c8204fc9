//! Words of the scenario language that carry a grammar of their own: selectors and losses.

use std::fmt;

use serde::Deserialize;
use zk_core::replica;

use super::nearest;

/// Which nodes or clients something is about (simulation brief §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The node that leads, as most others see it.
    Leader,
    /// Every node that believes so.
    LeaderClaimed,
    /// A follower.
    Follower(Which),
    /// An observer.
    Observer(Which),
    /// This one.
    Node(u32),
    /// A quorum; with the leader in it or not.
    Quorum(Leadership),
    /// A minority; with the leader in it or not.
    Minority(Leadership),
    /// Everybody who is in no other list.
    Rest,
    /// So many, drawn.
    Random(u32),
    /// This client.
    Client(u32),
    /// All clients.
    Clients,
    /// All nodes.
    All,
    /// Any one.
    Any,
    /// The node of the event that triggered.
    EventNode,
}

/// A log's share, as scenarios have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogShare(pub replica::LogShare);

/// Which of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words themselves
pub enum Which {
    Any,
    MaxZxid,
    MinZxid,
    Slowest,
}

/// Whether the leader is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words themselves
pub enum Leadership {
    With,
    Without,
    Either,
}

/// What a selector may begin with, for messages.
const SELECTORS: &[&str] = &[
    "leader",
    "leader:claimed",
    "follower:any",
    "follower:max_zxid",
    "follower:min_zxid",
    "follower:slowest",
    "observer:any",
    "node:N",
    "quorum",
    "quorum(with leader)",
    "quorum(without leader)",
    "minority",
    "minority(with leader)",
    "minority(without leader)",
    "rest",
    "random(N)",
    "client:N",
    "clients",
    "all",
    "any",
    "event.node",
];

impl Selector {
    /// Reads one; the error names the nearest that there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |prefix: &str, suffix: &str| {
            text.strip_prefix(prefix)?.strip_suffix(suffix)?.trim().parse::<u32>().ok()
        };
        let which = |word| match word {
            "any" => Some(Which::Any),
            "max_zxid" => Some(Which::MaxZxid),
            "min_zxid" => Some(Which::MinZxid),
            "slowest" => Some(Which::Slowest),
            _ => None,
        };
        let found = match text {
            "leader" => Some(Self::Leader),
            "leader:claimed" => Some(Self::LeaderClaimed),
            "follower" => Some(Self::Follower(Which::Any)),
            "observer" => Some(Self::Observer(Which::Any)),
            "quorum" => Some(Self::Quorum(Leadership::Either)),
            "quorum(with leader)" => Some(Self::Quorum(Leadership::With)),
            "quorum(without leader)" => Some(Self::Quorum(Leadership::Without)),
            "minority" => Some(Self::Minority(Leadership::Either)),
            "minority(with leader)" => Some(Self::Minority(Leadership::With)),
            "minority(without leader)" => Some(Self::Minority(Leadership::Without)),
            "rest" => Some(Self::Rest),
            "clients" => Some(Self::Clients),
            "all" => Some(Self::All),
            "any" => Some(Self::Any),
            "event.node" => Some(Self::EventNode),
            _ => None,
        };
        let found = found
            .or_else(|| number("node:", "").map(Self::Node))
            .or_else(|| number("client:", "").map(Self::Client))
            .or_else(|| number("random(", ")").map(Self::Random))
            .or_else(|| text.strip_prefix("follower:").and_then(which).map(Self::Follower))
            .or_else(|| text.strip_prefix("observer:").and_then(which).map(Self::Observer));
        found.ok_or_else(|| format!("\"{text}\" selects nothing{}", nearest::hint(text, SELECTORS)))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |which: &Which| match which {
            Which::Any => "any",
            Which::MaxZxid => "max_zxid",
            Which::MinZxid => "min_zxid",
            Which::Slowest => "slowest",
        };
        let leadership = |leadership: &Leadership| match leadership {
            Leadership::With => "(with leader)",
            Leadership::Without => "(without leader)",
            Leadership::Either => "",
        };
        match self {
            Self::Leader => f.write_str("leader"),
            Self::LeaderClaimed => f.write_str("leader:claimed"),
            Self::Follower(w) => write!(f, "follower:{}", which(w)),
            Self::Observer(w) => write!(f, "observer:{}", which(w)),
            Self::Node(id) => write!(f, "node:{id}"),
            Self::Quorum(l) => write!(f, "quorum{}", leadership(l)),
            Self::Minority(l) => write!(f, "minority{}", leadership(l)),
            Self::Rest => f.write_str("rest"),
            Self::Random(n) => write!(f, "random({n})"),
            Self::Client(n) => write!(f, "client:{n}"),
            Self::Clients => f.write_str("clients"),
            Self::All => f.write_str("all"),
            Self::Any => f.write_str("any"),
            Self::EventNode => f.write_str("event.node"),
        }
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// How long a log may be that is sent instead of a snapshot: `never`, `any`, or thousandths of the snapshot's size.
impl<'de> Deserialize<'de> for LogShare {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match &*text {
            "never" => Ok(Self(replica::LogShare::Never)),
            "any" => Ok(Self(replica::LogShare::Any)),
            permille => match permille.parse() {
                Ok(permille) => Ok(Self(replica::LogShare::OfSnapshot { permille })),
                Err(_) => Err(serde::de::Error::custom(format!(
                    "\"{text}\": expected never, any, or thousandths of the snapshot's size{}",
                    nearest::hint(&text, &["never", "any"])
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selector_of_the_language_is_read() {
        for text in SELECTORS {
            let text = text.replace("(N)", "(2)").replace(":N", ":3");
            let selector = Selector::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(Selector::parse(&selector.to_string()), Ok(selector), "{text}");
        }
        assert_eq!(Selector::parse("node:3"), Ok(Selector::Node(3)));
        assert_eq!(Selector::parse("random(2)"), Ok(Selector::Random(2)));
    }

    #[test]
    fn a_wrong_one_is_told_the_nearest() {
        assert_eq!(
            Selector::parse("leadr").unwrap_err(),
            "\"leadr\" selects nothing; did you mean \"leader\"?"
        );
    }
}
