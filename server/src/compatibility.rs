//! What is served, as `docs/compatibility.md` shows it: made of the tables that the server itself goes by.

use std::fmt::Write;

use zk_core::wire::operations::{OPERATIONS, Served};

use crate::config::keys::{self, Fate};

/// Between these lines the file belongs to this module.
const BEGIN: &str = "<!-- tables begin; `cargo xtask compatibility` writes them -->\n";
const END: &str = "<!-- tables end -->\n";

/// The text with its tables as they are now; `None` if it has no place for them.
pub fn renew(text: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, behind) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{behind}", tables()))
}

fn tables() -> String {
    let mut out =
        String::from("\n## Operations\n\n| opcode | operation | how it is served |\n|---|---|---|\n");
    for operation in OPERATIONS {
        let _ = writeln!(out, "| {} | {} | {} |", operation.op, operation.name, how(operation.served));
    }
    out += "\n## Properties\n\n| key | state |\n|---|---|\n";
    for (name, fate) in keys::all() {
        let more = if keys::is_family(name) { "…" } else { "" };
        let aliases: String = keys::aliases(name).iter().map(|alias| format!(", `{alias}`")).collect();
        let _ = writeln!(out, "| `{name}`{more}{aliases} | {} |", what_becomes_of(fate));
    }
    out.push('\n');
    out
}

fn how(served: Served) -> String {
    match served {
        Served::Ordered => "yes; by the leader".to_owned(),
        Served::OrderedWith(key) => match keys::fate(key) {
            Some(Fate::Applied) => format!("yes, with {key}; by the leader"),
            Some(fate) if is_read(fate) => format!("yes, with {key}; by the leader"),
            _ => format!("no: as with {key}=false"),
        },
        Served::Here => "yes; by the server that is asked".to_owned(),
        Served::Waits => "yes; waits for the leader".to_owned(),
        Served::Never(whence) => format!("-6 and a close, as in Java: {whence}"),
        Served::Without(what) => format!("as by a Java server without {what}"),
    }
}

fn is_read(fate: Fate) -> bool {
    matches!(fate, Fate::Ensemble("is read"))
}

fn what_becomes_of(fate: Fate) -> String {
    match fate {
        Fate::Applied => "applied".to_owned(),
        fate if is_read(fate) => "applied, in an ensemble".to_owned(),
        Fate::Ensemble(why) | Fate::NoEffect(why) => why.to_owned(),
        Fate::Provider { here, shut } => {
            let (here, shut) = (here.join(" and "), shut.join(" and "));
            format!("{here} are always there; {shut} open no door; any other is refused at start")
        }
        Fate::Refused { harmless: [], why } => format!("refused at start: {why}"),
        Fate::Refused { harmless, why } => {
            format!("refused at start unless it is {}: {why}", harmless.join(" or "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_shows_the_tables_of_now() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compatibility.md");
        let text = std::fs::read_to_string(file).unwrap();
        let renewed = renew(&text).expect("it has a place for tables");
        let differs = text.lines().zip(renewed.lines()).find(|(is, should)| is != should);
        assert!(text == renewed, "run `cargo xtask compatibility`; first to differ: {differs:?}");
    }

    #[test]
    fn a_family_is_told_from_a_key_and_names_of_the_guide_stand_beside_those_of_the_code() {
        let tables = tables();
        for line in [
            "| `server.`… | applied |\n",
            "| `request_throttle_max_requests`, `requestThrottleLimit` | applied |\n",
            "| 9 | sync | yes; waits for the leader |\n",
            "| `leaderServes` | applied, in an ensemble |\n",
        ] {
            assert!(tables.contains(line), "{line}");
        }
    }
}
