//! Nodes that a scenario names must be there: a fault at `node:7` of three would never happen, and nobody would hear of it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units::Drawn;
use super::words::Selector;
use super::{Scenario, place};

impl Scenario {
    /// Reads the text once more, for the places of what it names.
    pub(super) fn check_nodes(&self, text: &str) -> Result<(), String> {
        let most = self.nodes_max();
        let Ok(table) = DeTable::parse(text) else { return Ok(()) };
        walk(table.get_ref(), &mut Vec::new(), &mut |path, found| {
            let (number, span) = match found {
                Found::Key(key) if is_by_node(path) => (key.get_ref().parse().ok(), key.span()),
                Found::Text(value, text) if path.last() == Some(&"when") => {
                    (in_predicate(text, most), value.span())
                }
                Found::Text(value, text) if !is_prose(path) => match Selector::parse(text) {
                    Ok(Selector::Node(number)) => (Some(number), value.span()),
                    _ => return Ok(()),
                },
                Found::Number(value, digits) if path == ["expect", "leader"] => {
                    (digits.parse().ok(), value.span())
                }
                _ => return Ok(()),
            };
            match number {
                Some(number) if (1..=most).contains(&number) => Ok(()),
                None if matches!(found, Found::Text(..)) => Ok(()),
                _ => {
                    let wrong = &text[span.clone()];
                    Err(format!("{}: {wrong}: there are {most} nodes at most", place(text, span.start)))
                }
            }
        })
    }

    /// Members, and behind them the machines of twins.
    fn nodes_max(&self) -> u32 {
        let most = |count: Option<&Drawn<u32>>, default| match count {
            None => default,
            Some(Drawn::Fixed(n) | Drawn::Range(_, n)) => *n,
            Some(Drawn::Choice(all)) => all.iter().copied().max().unwrap_or(default),
        };
        let members =
            most(self.cluster.voters.as_ref(), 1).saturating_add(most(self.cluster.observers.as_ref(), 0));
        let twins = self.fault.iter().filter(|fault| fault.action.twin.is_some()).count();
        members.saturating_add(u32::try_from(twins).unwrap_or(u32::MAX))
    }
}

/// What stands at a path.
enum Found<'a> {
    Key(&'a Spanned<std::borrow::Cow<'a, str>>),
    Text(&'a Spanned<DeValue<'a>>, &'a str),
    Number(&'a Spanned<DeValue<'a>>, &'a str),
}

type Visit<'v> = &'v mut dyn FnMut(&[&str], &Found<'_>) -> Result<(), String>;

fn walk<'a>(table: &'a DeTable<'a>, path: &mut Vec<&'a str>, visit: Visit<'_>) -> Result<(), String> {
    for (key, value) in table {
        visit(path, &Found::Key(key))?;
        path.push(key.get_ref());
        step(value, path, visit)?;
        path.pop();
    }
    Ok(())
}

fn step<'a>(
    value: &'a Spanned<DeValue<'a>>,
    path: &mut Vec<&'a str>,
    visit: Visit<'_>,
) -> Result<(), String> {
    match value.get_ref() {
        DeValue::String(text) => visit(path, &Found::Text(value, text)),
        DeValue::Integer(number) => visit(path, &Found::Number(value, number.as_str())),
        DeValue::Array(all) => all.iter().try_for_each(|value| step(value, path, visit)),
        DeValue::Table(table) => walk(table, path, visit),
        _ => Ok(()),
    }
}

fn is_by_node(path: &[&str]) -> bool {
    path == ["cluster", "node"] || path == ["expect", "node"]
}

fn is_prose(path: &[&str]) -> bool {
    matches!(path.last(), Some(&("title" | "why" | "name")))
}

/// The first node that a predicate names and that is none of so many.
fn in_predicate(text: &str, most: u32) -> Option<u32> {
    let named = text.split("node(").skip(1).filter_map(|rest| rest.split(')').next()?.trim().parse().ok());
    named.into_iter().find(|number| !(1..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_there_is_not_is_refused_where_it_stands() {
        let of =
            |more: &str| Scenario::parse(&format!("[cluster]\nvoters = \"3..5\"\nobservers = 1\n{more}"));
        for (text, wrong) in [
            ("[cluster.node.7]\nboot = \"1s\"", ":4:15: 7"),
            ("[cluster.node.x]\nboot = \"1s\"", ":4:15: x"),
            ("[expect.node.8]\nrole = \"leading\"", ":4:14: 8"),
            ("[expect]\nleader = 7", ":5:10: 7"),
            ("[[fault]]\nat = \"1s\"\ndo = { crash = \"node:7\" }", ":6:16: \"node:7\""),
            ("[[fault]]\nat = \"1s\"\ndo = { partition = [\"node:1\", \"node:0\"] }", ":6:31: \"node:0\""),
            (
                "[[fault]]\nwhen = \"node(6).up && node(9).up\"\ndo = { crash = \"all\" }",
                ":5:8: \"node(6).up && node(9).up\"",
            ),
        ] {
            assert_eq!(of(text).unwrap_err(), format!("{wrong}: there are 6 nodes at most"), "{text}");
        }
        let named = "title = \"node:9\"\nwhy = \"node:9\"\n[cluster]\nvoters = 2\n[[fault]]\nname = \"node:9\"\nat = \"1s\"\n\
                     do = { crash = \"node:2\" }\n[[fault]]\nat = \"1s\"\ndo = { twin = \"node:1\" }\n[[fault]]\nat = \"2s\"\n\
                     do = { pause = \"node:3\" }";
        Scenario::parse(named).expect("prose is prose, and a twin is behind the members");
    }
}
