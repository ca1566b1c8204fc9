//! What no single key of a fault can know: keys that go with one another, whom a verb can be about, what comes after what.

use super::places::Places;
use super::units::{Drawn, Ratio, Span, Unit};
use super::words::Selector;
use super::{Action, Fault, Scenario, nearest};

impl Scenario {
    pub(super) fn check_faults(&self, places: &Places) -> Result<(), String> {
        for (i, fault) in self.fault.iter().enumerate() {
            let check = Check { fault, path: format!("fault[{i}]"), places };
            check.triggers()?;
            check.after(&self.fault)?;
            check.verb()?;
            check.keys()?;
            check.selectors()?;
            check.disk()?;
            check.clock_and_client()?;
            check.numbers()?;
        }
        Ok(())
    }
}

/// The parts of `after`: a fault's name, whether its end is meant, and how long behind it.
pub(crate) fn parse_after(after: &str) -> Option<(&str, bool, Span)> {
    let (who, delay) = match after.split_once('+') {
        Some((who, delay)) => (who, Span::parse(delay.trim())?),
        None => (after, Span(0)),
    };
    match who.trim().split_once('.') {
        None => Some((who.trim(), false, delay)),
        Some((who, "end")) => Some((who, true, delay)),
        Some(_) => None,
    }
}

/// One fault, and where it stands.
struct Check<'a> {
    fault: &'a Fault,
    path: String,
    places: &'a Places,
}

impl Check<'_> {
    fn fail<T>(&self, key: &str, what: &str) -> Result<T, String> {
        Err(self.places.fail(&format!("{}.{key}", self.path), what))
    }

    /// What is wrong is that the key is there.
    fn misplaced<T>(&self, key: &str, what: &str) -> Result<T, String> {
        Err(self.places.fail_key(&format!("{}.{key}", self.path), what))
    }

    fn triggers(&self) -> Result<(), String> {
        let fault = self.fault;
        let triggers = [
            fault.at.is_some(),
            fault.after.is_some(),
            fault.when.is_some(),
            fault.on.is_some(),
            fault.every.is_some(),
        ];
        if triggers.iter().filter(|given| **given).count() != 1 {
            return Err(self.places.fail(&self.path, "expected exactly one of at, after, when, on, every"));
        }
        if fault.until.is_some() && fault.every.is_none() {
            return self.misplaced("until", "until goes with every");
        }
        if fault.name.as_ref().is_some_and(|name| name.is_empty() || name.contains(['+', '.'])) {
            return self
                .fail("name", "expected a name without \"+\" and \".\", which \"after\" has a use for");
        }
        Ok(())
    }

    /// It comes after a fault that there is, and that does not wait for it.
    fn after(&self, all: &[Fault]) -> Result<(), String> {
        let Some(after) = &self.fault.after else { return Ok(()) };
        let Some((name, ..)) = parse_after(after) else {
            let what = format!("\"{after}\": expected a fault's name, as kill, kill+500ms or kill.end+1s");
            return self.fail("after", &what);
        };
        let known: Vec<&str> = all.iter().filter_map(|other| other.name.as_deref()).collect();
        if !known.contains(&name) {
            let what = format!("no fault is called \"{name}\"{}", nearest::hint(name, &known));
            return self.fail("after", &what);
        }
        // Whoever waits for one that waits in turn: after as many steps as there are faults it is a circle.
        let mut names = vec![name];
        for _ in all {
            let waited_for = |fault: &&Fault| fault.name.as_deref().is_some_and(|name| names.contains(&name));
            let next: Option<Vec<&str>> = all
                .iter()
                .filter(waited_for)
                .map(|fault| Some(parse_after(fault.after.as_ref()?)?.0))
                .collect();
            let Some(next) = next else { return Ok(()) };
            names = next;
        }
        self.fail(
            "after",
            &format!("\"{name}\" waits for a fault that waits for it, and none of them ever begins"),
        )
    }

    fn verb(&self) -> Result<(), String> {
        let a = &self.fault.action;
        let missing = [
            ("reconfig", a.reconfig.is_some()),
            ("upgrade", a.upgrade.is_some()),
            ("expire_session", a.expire_session.is_some()),
            ("set", a.set.is_some()),
        ];
        if let Some((verb, _)) = missing.iter().find(|(_, given)| *given) {
            return self.misplaced(&format!("do.{verb}"), &format!("\"{verb}\" is not in this version"));
        }
        let others = [a.disk.is_some(), a.clock.is_some(), a.client.is_some(), a.partition.is_some()];
        let count = whom(a).len() + others.iter().filter(|given| **given).count();
        if count != 1 {
            return self.fail("do", "\"do\" needs exactly one verb");
        }
        Ok(())
    }

    fn keys(&self) -> Result<(), String> {
        let a = &self.fault.action;
        let cuts = a.partition.is_some() || a.hold.is_some() || a.dial_hang.is_some();
        let goes_with = [
            ("direction", a.direction.is_some(), cuts, "partition, hold or dial_hang"),
            ("ports", a.ports.is_some(), cuts || a.reset.is_some(), "partition, hold, dial_hang or reset"),
            ("rate", a.rate.is_some(), a.throttle.is_some(), "throttle"),
            ("one_in", a.one_in.is_some(), a.garble.is_some(), "garble"),
            ("loss", a.loss.is_some(), a.crash.is_some(), "crash"),
            ("point", a.point.is_some(), a.crash.is_some(), "crash"),
            ("factor", a.factor.is_some(), a.slow.is_some(), "slow"),
        ];
        self.nothing_stray("do", &goes_with)
    }

    /// Keys below `at`: whether each is given, whether it may be, and what it goes with.
    fn nothing_stray(&self, at: &str, goes_with: &[(&str, bool, bool, &str)]) -> Result<(), String> {
        match goes_with.iter().find(|(_, given, fits, _)| *given && !fits) {
            Some((key, _, _, with)) => {
                self.misplaced(&format!("{at}.{key}"), &format!("{key} goes with {with}"))
            }
            None => Ok(()),
        }
    }

    /// A selector that selects nobody there would be a fault that does not happen.
    fn selectors(&self) -> Result<(), String> {
        let a = &self.fault.action;
        for (verb, who) in whom(a) {
            let expected = match (verb, who) {
                ("twin", Selector::Node(_)) | ("heal", Selector::All) => None,
                ("twin", _) => Some("node:N"),
                ("heal", _) => Some("all"),
                ("reset", Selector::Client(_) | Selector::Clients) => None,
                (_, who) => (!selects_nodes(who)).then_some("nodes"),
            };
            if let Some(expected) = expected {
                return self.fail(&format!("do.{verb}"), &format!("\"{who}\": expected {expected}"));
            }
        }
        let within = [
            ("disk.node", a.disk.as_ref().and_then(|disk| disk.node.as_ref())),
            ("clock.node", a.clock.as_ref().and_then(|clock| clock.node.as_ref())),
        ];
        for (key, who) in within {
            if let Some(who) = who.filter(|who| !selects_nodes(who)) {
                return self.fail(&format!("do.{key}"), &format!("\"{who}\": expected nodes"));
            }
        }
        let who = a.client.as_ref().and_then(|client| client.who.as_ref());
        let is_client = |who: &Selector| {
            matches!(who, Selector::Client(_) | Selector::Clients | Selector::All | Selector::Any)
        };
        if let Some(who) = who.filter(|who| !is_client(who)) {
            let what = format!("\"{who}\": expected client:N, clients, all or any");
            return self.fail("do.client.who", &what);
        }
        self.sides()?;
        self.event_node()
    }

    fn sides(&self) -> Result<(), String> {
        let Some(sides) = &self.fault.action.partition else { return Ok(()) };
        if sides.is_empty() || sides.iter().filter(|side| **side == Selector::Rest).count() > 1 {
            let what = "partition: expected one or more lists of nodes, \"rest\" once at most";
            return self.fail("do.partition", what);
        }
        let is_for_clients = self.fault.action.ports.as_deref() == Some("client");
        let is_side = |side: &Selector| {
            *side == Selector::Rest || selects_nodes(side) || is_for_clients && *side == Selector::Clients
        };
        match sides.iter().position(|side| !is_side(side)) {
            Some(i) => self.fail(&format!("do.partition[{i}]"), &format!("\"{}\": expected nodes", sides[i])),
            None => Ok(()),
        }
    }

    fn event_node(&self) -> Result<(), String> {
        let (a, path) = (&self.fault.action, &self.path);
        if self.fault.on.is_none() {
            let sides = a.partition.iter().flatten().enumerate();
            let mut all: Vec<(String, &Selector)> =
                sides.map(|(i, side)| (format!("{path}.do.partition[{i}]"), side)).collect();
            all.extend(whom(a).into_iter().map(|(verb, who)| (format!("{path}.do.{verb}"), who)));
            let disk = a.disk.as_ref().and_then(|disk| disk.node.as_ref());
            let clock = a.clock.as_ref().and_then(|clock| clock.node.as_ref());
            all.extend(disk.map(|who| (format!("{path}.do.disk.node"), who)));
            all.extend(clock.map(|who| (format!("{path}.do.clock.node"), who)));
            if let Some((path, _)) = all.iter().find(|(_, who)| **who == Selector::EventNode) {
                return Err(self.places.fail(path, "\"event.node\" goes with on"));
            }
        }
        let at = self.fault.on.as_ref().and_then(|on| on.node.as_ref());
        match at.filter(|at| !matches!(at, Selector::Node(_) | Selector::Any | Selector::All)) {
            Some(at) => self.fail("on.node", &format!("\"{at}\": expected node:N or any")),
            None => Ok(()),
        }
    }

    fn disk(&self) -> Result<(), String> {
        let Some(disk) = &self.fault.action.disk else { return Ok(()) };
        let (fsync, write, read) = (disk.fsync.as_deref(), disk.write.as_deref(), disk.read.as_deref());
        if fsync.is_none() && write.is_none() && read.is_none() && disk.rot.is_none() {
            return self.fail("do.disk", "expected fsync, write, read or rot");
        }
        let fails = [fsync, write, read].contains(&Some("eio"));
        let goes_with = [
            ("times", disk.times.is_some(), fails, "eio"),
            ("factor", disk.factor.is_some(), fsync == Some("slow"), "fsync = \"slow\""),
            ("free", disk.free.is_some(), write == Some("enospc"), "write = \"enospc\""),
            ("bits", disk.bits.is_some(), disk.rot.is_some(), "rot"),
        ];
        self.nothing_stray("do.disk", &goes_with)
    }

    fn clock_and_client(&self) -> Result<(), String> {
        if let Some(clock) = &self.fault.action.clock {
            if clock.rate.is_none() && clock.jump.is_none() && clock.back.is_none() {
                return self.fail("do.clock", "expected rate, jump or back");
            }
            if clock.rate.as_ref().is_some_and(can_be_zero) {
                return self.fail("do.clock.rate", "a clock's rate is more than 0");
            }
        }
        match &self.fault.action.client {
            Some(client) if !client.silent && !client.reset => {
                self.fail("do.client", "expected silent = true or reset = true")
            }
            _ => Ok(()),
        }
    }

    /// Never, or by nothing.
    fn numbers(&self) -> Result<(), String> {
        let (fault, a) = (self.fault, &self.fault.action);
        let zero = [
            ("times", fault.times),
            ("on.nth", fault.on.as_ref().and_then(|on| on.nth)),
            ("do.factor", a.factor),
            ("do.one_in", a.one_in),
            ("do.disk.times", a.disk.as_ref().and_then(|disk| disk.times)),
            ("do.disk.factor", a.disk.as_ref().and_then(|disk| disk.factor)),
            ("do.disk.bits", a.disk.as_ref().and_then(|disk| disk.bits)),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, number)| *number == Some(0)) {
            return self.fail(key, "expected 1 or more");
        }
        let prob = fault.prob.iter().flat_map(ratios);
        if prob.into_iter().any(|Ratio(num, den)| num > den) {
            return self.fail("prob", "expected a probability, from 0 to 1");
        }
        Ok(())
    }
}

/// Every verb whose value is a selector, with what is given.
fn whom(a: &Action) -> Vec<(&'static str, &Selector)> {
    let all = [
        ("crash", &a.crash),
        ("restart", &a.restart),
        ("pause", &a.pause),
        ("slow", &a.slow),
        ("reset", &a.reset),
        ("snapshot", &a.snapshot),
        ("purge", &a.purge),
        ("wipe", &a.wipe),
        ("backup", &a.backup),
        ("rollback", &a.rollback),
        ("twin", &a.twin),
        ("heal", &a.heal),
        ("throttle", &a.throttle),
        ("hold", &a.hold),
        ("dial_hang", &a.dial_hang),
        ("garble", &a.garble),
    ];
    all.into_iter().filter_map(|(verb, who)| Some((verb, who.as_ref()?))).collect()
}

const fn selects_nodes(who: &Selector) -> bool {
    !matches!(who, Selector::Rest | Selector::Client(_) | Selector::Clients)
}

/// The ends of what may be drawn.
pub(super) fn ratios(drawn: &Drawn<Ratio>) -> Vec<Ratio> {
    match drawn {
        Drawn::Fixed(ratio) => vec![*ratio],
        Drawn::Range(low, high) => vec![*low, *high],
        Drawn::Choice(all) => all.clone(),
    }
}

pub(super) fn can_be_zero(drawn: &Drawn<Ratio>) -> bool {
    ratios(drawn).iter().any(|ratio| ratio.0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Scenario::parse(text).expect_err("it is wrong")
    }

    #[test]
    fn what_a_fault_cannot_say_is_told_where_it_stands() {
        for (action, error) in [
            ("crash = \"all\", pause = \"all\"", ":3:6: \"do\" needs exactly one verb"),
            ("loss = \"kill\"", ":3:6: \"do\" needs exactly one verb"),
            ("pause = \"all\", loss = \"kill\"", ":3:23: loss goes with crash"),
            (
                "reset = \"all\", direction = \"in\"",
                ":3:23: direction goes with partition, hold or dial_hang",
            ),
            ("set = { tick = 1 }", ":3:8: \"set\" is not in this version"),
            ("twin = \"leader\"", ":3:15: \"leader\": expected node:N"),
            ("heal = \"node:1\"", ":3:15: \"node:1\": expected all"),
            ("crash = \"clients\"", ":3:16: \"clients\": expected nodes"),
            ("crash = \"rest\"", ":3:16: \"rest\": expected nodes"),
            ("crash = \"event.node\"", ":3:16: \"event.node\" goes with on"),
            ("partition = [\"all\", \"clients\"]", ":3:28: \"clients\": expected nodes"),
            (
                "partition = [\"rest\", \"rest\"]",
                ":3:20: partition: expected one or more lists of nodes, \"rest\" once at most",
            ),
            ("disk = { node = \"all\" }", ":3:15: expected fsync, write, read or rot"),
            ("disk = { node = \"rest\", read = \"eio\" }", ":3:24: \"rest\": expected nodes"),
            ("disk = { fsync = \"slow\", times = 2 }", ":3:33: times goes with eio"),
            ("disk = { write = \"eio\", times = 0 }", ":3:40: expected 1 or more"),
            ("disk = { write = \"eio\", free = 7 }", ":3:32: free goes with write = \"enospc\""),
            ("clock = { node = \"all\" }", ":3:16: expected rate, jump or back"),
            ("clock = { rate = \"0..2\" }", ":3:25: a clock's rate is more than 0"),
            ("client = { who = \"any\" }", ":3:17: expected silent = true or reset = true"),
            (
                "client = { who = \"leader\", reset = true }",
                ":3:25: \"leader\": expected client:N, clients, all or any",
            ),
            ("garble = \"all\", one_in = 0", ":3:33: expected 1 or more"),
        ] {
            assert_eq!(wrong(&format!("[[fault]]\nat = \"1s\"\ndo = {{ {action} }}")), error, "{action}");
        }
    }

    #[test]
    fn when_a_fault_cannot_come_is_told_where_it_stands() {
        for (when, error) in [
            ("at = \"1s\"\nevery = \"1s\"", ":2:1: expected exactly one of at, after, when, on, every"),
            ("at = \"1s\"\nuntil = \"1s\"", ":4:1: until goes with every"),
            ("at = \"1s\"\ntimes = 0", ":4:9: expected 1 or more"),
            ("at = \"1s\"\nprob = \"3/2\"", ":4:8: expected a probability, from 0 to 1"),
            (
                "at = \"1s\"\nname = \"a.b\"",
                ":4:8: expected a name without \"+\" and \".\", which \"after\" has a use for",
            ),
            ("on = { event = \"RoleLeft\", nth = 0 }", ":3:34: expected 1 or more"),
            ("on = { event = \"RoleLeft\", node = \"leader\" }", ":3:35: \"leader\": expected node:N or any"),
            ("after = \"kil\"", ":3:9: no fault is called \"kil\"; did you mean \"kill\"?"),
            ("after = \"kil+1s\"", ":3:9: no fault is called \"kil\"; did you mean \"kill\"?"),
            (
                "after = \"kill+5parsecs\"",
                ":3:9: \"kill+5parsecs\": expected a fault's name, as kill, kill+500ms or kill.end+1s",
            ),
            (
                "after = \"kill.ende\"",
                ":3:9: \"kill.ende\": expected a fault's name, as kill, kill+500ms or kill.end+1s",
            ),
            (
                "name = \"two\"\nafter = \"two\"",
                ":4:9: \"two\" waits for a fault that waits for it, and none of them ever begins",
            ),
            (
                "name = \"two\"\nafter = \"three\"",
                ":4:9: \"three\" waits for a fault that waits for it, and none of them ever begins",
            ),
        ] {
            let others = "[[fault]]\nname = \"kill\"\nat = \"1s\"\ndo = { crash = \"all\" }\n\
                          [[fault]]\nname = \"three\"\nafter = \"two.end\"\ndo = { crash = \"all\" }\n";
            let two = if when.contains("\"two\"") {
                ""
            } else {
                "[[fault]]\nname = \"two\"\nat = \"1s\"\ndo = { crash = \"all\" }\n"
            };
            let text = format!("\n[[fault]]\n{when}\ndo = {{ crash = \"all\" }}\n{others}{two}");
            assert_eq!(wrong(&text), error, "{when}");
        }
        assert_eq!(parse_after("kill.end + 1s"), Some(("kill", true, Span(1_000_000_000))));
    }
}
