//! Nodes and clients that a scenario names must be there: a fault at `node:7` of three would never happen, and nobody would hear
//! of it.

use std::collections::BTreeMap;

use super::Scenario;
use super::places::{Found, Places};
use super::units::Drawn;
use super::words::Selector;

/// What fits into the high byte of a session id.
const MEMBERS_MAX: u32 = 255;

impl Scenario {
    pub(super) fn check_nodes(&self, places: &Places) -> Result<(), String> {
        self.check_members(places)?;
        self.check_groups(places)?;
        let most = self.nodes_max();
        let clients =
            self.workload.iter().fold(0u32, |sum, w| sum.saturating_add(at_most(w.clients.as_ref(), 4)));
        let none = |at: usize, wrong: &str| {
            let what = format!("{wrong}: there are {most} nodes at most");
            Err(places.fail_at(at, &what))
        };
        for place in places.iter() {
            let (value, path) = (&place.value, place.path.as_str());
            let is_node = |number: &u32| (1..=most).contains(number);
            match &place.found {
                Found::Other if is_by_node(path) => {
                    let key = place.key.clone().unwrap_or_else(|| value.clone());
                    let wrong = places.written(&key);
                    if !wrong.trim_matches('"').parse().is_ok_and(|number| is_node(&number)) {
                        return none(key.start, wrong);
                    }
                }
                Found::Number(digits)
                    if path == "expect.leader" && !digits.parse().is_ok_and(|number| is_node(&number)) =>
                {
                    return none(value.start, places.written(value));
                }
                Found::Text(text)
                    if path.ends_with(".when") && named_in(text).any(|number| !is_node(&number)) =>
                {
                    return none(value.start, places.written(value));
                }
                Found::Text(text) if !is_prose(path) => match Selector::parse(text) {
                    Ok(Selector::Node(number)) if !is_node(&number) => {
                        return none(value.start, places.written(value));
                    }
                    Ok(Selector::Client(number)) if number >= clients => {
                        let wrong = places.written(value);
                        let what = format!("{wrong}: there are {clients} clients at most, from client:0 on");
                        return Err(places.fail_at(value.start, &what));
                    }
                    Ok(Selector::Observer(_)) if at_most(self.cluster.observers.as_ref(), 0) == 0 => {
                        let what = format!("{}: there are no observers", places.written(value));
                        return Err(places.fail_at(value.start, &what));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// So many as there can be, whatever is drawn.
    fn check_members(&self, places: &Places) -> Result<(), String> {
        let cluster = &self.cluster;
        let (voters, observers) =
            (at_most(cluster.voters.as_ref(), 1), at_most(cluster.observers.as_ref(), 0));
        let nobody = cluster.voters.as_ref().is_some_and(|voters| at_least(voters) == 0);
        if !nobody && voters.saturating_add(observers) <= MEMBERS_MAX {
            return Ok(());
        }
        let key = if nobody || voters > MEMBERS_MAX || observers == 0 { "voters" } else { "observers" };
        let what = format!("expected a voter, and {MEMBERS_MAX} members at most");
        Err(places.fail(&format!("cluster.{key}"), &what))
    }

    /// Every voter is in one group; groups are of as many voters as there always are.
    fn check_groups(&self, places: &Places) -> Result<(), String> {
        let cluster = &self.cluster;
        let Some(groups) = &cluster.groups else {
            let weighs = cluster.node.iter().find(|(_, spec)| spec.weight.is_some());
            return weighs.map_or(Ok(()), |(id, _)| {
                Err(places.fail_key(&format!("cluster.node.{id}.weight"), "weight goes with groups"))
            });
        };
        let voters = match &cluster.voters {
            None => 1,
            Some(Drawn::Fixed(voters)) => *voters,
            Some(_) => return Err(places.fail("cluster.voters", "with groups, expected one number")),
        };
        let mut of = BTreeMap::new();
        for (i, group) in groups.iter().enumerate() {
            for (j, id) in group.iter().enumerate() {
                let wrong = |what: &str| Err(places.fail(&format!("cluster.groups[{i}][{j}]"), what));
                if !(1..=voters).contains(id) {
                    return wrong(&format!("{id}: expected one of the {voters} voters"));
                }
                if let Some(other) = of.insert(*id, i + 1) {
                    return wrong(&format!("{id}: it is in group {other} already"));
                }
            }
            if group.is_empty() {
                return Err(places.fail(&format!("cluster.groups[{i}]"), "expected voters in it"));
            }
        }
        match (1..=voters).find(|id| !of.contains_key(id)) {
            Some(id) => Err(places.fail("cluster.groups", &format!("expected voter {id} in a group"))),
            None => Ok(()),
        }
    }

    /// Members, and behind them the machines of twins.
    fn nodes_max(&self) -> u32 {
        let members = at_most(self.cluster.voters.as_ref(), 1)
            .saturating_add(at_most(self.cluster.observers.as_ref(), 0));
        let twins = self.fault.iter().filter(|fault| fault.action.twin.is_some()).count();
        members.saturating_add(u32::try_from(twins).unwrap_or(u32::MAX))
    }
}

fn at_most(count: Option<&Drawn<u32>>, default: u32) -> u32 {
    match count {
        None => default,
        Some(Drawn::Fixed(n) | Drawn::Range(_, n)) => *n,
        Some(Drawn::Choice(all)) => all.iter().copied().max().unwrap_or(default),
    }
}

fn at_least(count: &Drawn<u32>) -> u32 {
    match count {
        Drawn::Fixed(n) | Drawn::Range(n, _) => *n,
        Drawn::Choice(all) => all.iter().copied().min().unwrap_or(0),
    }
}

/// `cluster.node.3` and `expect.node.3`, and nothing within them.
fn is_by_node(path: &str) -> bool {
    let id = path.strip_prefix("cluster.node.").or_else(|| path.strip_prefix("expect.node."));
    id.is_some_and(|id| !id.contains(['.', '[']))
}

fn is_prose(path: &str) -> bool {
    matches!(path.rsplit('.').next(), Some("title" | "why" | "name"))
}

/// Nodes that a predicate names.
fn named_in(text: &str) -> impl Iterator<Item = u32> {
    text.split("node(").skip(1).filter_map(|rest| rest.split(')').next()?.trim().parse().ok())
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

    #[test]
    fn members_and_groups_that_cannot_be_are_refused_where_they_stand() {
        let many = "expected a voter, and 255 members at most";
        for (text, wrong) in [
            ("[cluster]\nvoters = 300", format!(":2:10: {many}")),
            ("[cluster]\nvoters = \"0..3\"", format!(":2:10: {many}")),
            ("[cluster]\nvoters = [3, 256]", format!(":2:10: {many}")),
            ("[cluster]\nvoters = 200\nobservers = 56", format!(":3:13: {many}")),
            (
                "[cluster]\nvoters = 3\ngroups = [[1, 2], [9]]",
                ":3:20: 9: expected one of the 3 voters".to_owned(),
            ),
            (
                "[cluster]\nvoters = 3\nobservers = 1\ngroups = [[1, 2], [3, 4]]",
                ":4:23: 4: expected one of the 3 voters".to_owned(),
            ),
            (
                "[cluster]\nvoters = 3\ngroups = [[1, 2], [3, 1]]",
                ":3:23: 1: it is in group 1 already".to_owned(),
            ),
            ("[cluster]\nvoters = 3\ngroups = [[1, 2]]", ":3:10: expected voter 3 in a group".to_owned()),
            ("[cluster]\nvoters = 3\ngroups = [[1, 2, 3], []]", ":3:22: expected voters in it".to_owned()),
            (
                "[cluster]\nvoters = \"3..5\"\ngroups = [[1]]",
                ":2:10: with groups, expected one number".to_owned(),
            ),
            (
                "[cluster]\nvoters = 3\n[cluster.node.1]\nweight = 2",
                ":4:1: weight goes with groups".to_owned(),
            ),
            (
                "[[workload]]\nclients = 2\n[[fault]]\nat = \"1s\"\ndo = { client = { who = \"client:2\", silent = true } }",
                ":5:25: \"client:2\": there are 2 clients at most, from client:0 on".to_owned(),
            ),
            (
                "[[fault]]\nat = \"1s\"\ndo = { crash = \"observer:any\" }",
                ":3:16: \"observer:any\": there are no observers".to_owned(),
            ),
        ] {
            assert_eq!(Scenario::parse(text).unwrap_err(), wrong, "{text}");
        }
    }
}
