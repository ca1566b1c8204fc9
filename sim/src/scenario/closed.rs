//! Keys that take one of a few words: any other is an error at its place, with the nearest that there is.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::{InvariantSet, nearest};
use crate::faults::RANDOM_KINDS;
use crate::node::EVENTS;
use crate::oracle::Invariant;

macro_rules! closed {
    ($($key:ident: $($word:literal)|+;)*) => {
        $(pub(super) fn $key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
            let found = String::deserialize(from)?;
            one_of(&found, &[$($word),+]).map_err(D::Error::custom)?;
            Ok(Some(found))
        })*
    };
}

closed! {
    loss: "kill" | "power";
    point: "before-next-effect";
    direction: "both" | "in" | "out";
    ports: "all" | "election" | "quorum" | "client";
    disk: "slow-fsync";
    fsync: "eio" | "lie" | "slow";
    write: "eio" | "enospc";
    read: "eio";
}

/// `1..200`.
pub(super) fn seeds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RangeInclusive<u64>>, D::Error> {
    let found = String::deserialize(from)?;
    let ends =
        found.split_once("..").and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    match ends {
        Some((first, last)) if first <= last => Ok(Some(first..=last)),
        _ => Err(D::Error::custom(format!("\"{found}\": expected \"1..200\""))),
    }
}

/// Of `sim list-events`.
pub(super) fn event<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let found = String::deserialize(from)?;
    let names: Vec<&str> = EVENTS.iter().map(|(name, _)| *name).collect();
    if names.contains(&&*found) {
        return Ok(found);
    }
    let hint = nearest::hint(&found, &names);
    Err(D::Error::custom(format!("no event is called \"{found}\": see sim list-events{hint}")))
}

/// Kinds of `[[random]]`.
pub(super) fn kinds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let kinds = Vec::<String>::deserialize(from)?;
    kinds.iter().try_for_each(|kind| one_of(kind, RANDOM_KINDS)).map_err(D::Error::custom)?;
    Ok(kinds)
}

/// Invariants, by their numbers.
pub(super) fn invariants<'de, D: Deserializer<'de>>(from: D) -> Result<Option<InvariantSet>, D::Error> {
    let set = InvariantSet::deserialize(from)?;
    let known: Vec<&str> = Invariant::ALL.iter().map(|invariant| invariant.id()).collect();
    let (found, words) = match &set {
        InvariantSet::All(word) => (std::slice::from_ref(word), &["all"][..]),
        InvariantSet::Only(ids) | InvariantSet::Except { except: ids } => (&ids[..], &known[..]),
    };
    found.iter().try_for_each(|id| one_of(id, words)).map_err(D::Error::custom)?;
    Ok(Some(set))
}

fn one_of(found: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&found) {
        return Ok(());
    }
    let hint = nearest::hint(found, words);
    Err(format!("\"{found}\": expected one of {}{hint}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    #[test]
    fn a_word_that_is_none_is_told_with_its_place_and_the_nearest() {
        let wrong = |text: &str| Scenario::parse(text).expect_err("it is wrong");
        let fault = |action: &str| wrong(&format!("[[fault]]\nat = \"1s\"\ndo = {{ {action} }}"));
        let partition = |more| fault(&format!("partition = [\"all\"], {more}"));
        for (found, error) in [
            (
                partition("ports = \"quorm\""),
                ":3:37: \"quorm\": expected one of all, election, quorum, client; did you mean \"quorum\"?",
            ),
            (
                partition("direction = \"inn\""),
                ":3:41: \"inn\": expected one of both, in, out; did you mean \"in\"?",
            ),
            (
                fault("crash = \"all\", loss = \"powr\""),
                ":3:30: \"powr\": expected one of kill, power; did you mean \"power\"?",
            ),
            (
                wrong("[cluster]\nlog_share = \"nevr\""),
                ":2:13: \"nevr\": expected never, any, or thousandths of the snapshot's size; did you mean \"never\"?",
            ),
            (
                wrong("[[fault]]\non = { event = \"NewLeaderAckd\" }\ndo = { crash = \"all\" }"),
                ":2:16: no event is called \"NewLeaderAckd\": see sim list-events; did you mean \"NewLeaderAcked\"?",
            ),
        ] {
            assert_eq!(found, error);
        }
        for (text, near) in [
            ("[[random]]\nfaults = [\"pause\", \"crsh\"]\nevery = \"1s\"\nduration = \"1s\"", "crash"),
            ("[expect]\ninvariants = { except = [\"I011\"] }", "I01"),
            ("[expect]\ninvariants = \"al\"", "all"),
            ("[cluster]\nleader_serves = \"ys\"", "yes"),
            ("[expect.node.1]\nrole = \"folowing\"", "following"),
        ] {
            let found = wrong(text);
            assert!(
                found.starts_with(":2:") && found.ends_with(&format!("; did you mean \"{near}\"?")),
                "{found}"
            );
        }
    }
}
