//! What no single key of the other tables can know.

use super::faults::can_be_zero;
use super::places::Places;
use super::words::Selector;
use super::{Scenario, nearest};
use crate::trace::MARKS;
use crate::workload::Mix;

impl Scenario {
    pub(super) fn check_workloads(&self, places: &Places) -> Result<(), String> {
        for (i, workload) in self.workload.iter().enumerate() {
            if workload.rate.is_some() && workload.think.is_some() {
                return Err(places
                    .fail_key(&format!("workload[{i}].think"), "a workload has rate or think, not both"));
            }
            if workload.mix == Some(Mix::NONE) {
                return Err(places.fail(&format!("workload[{i}].mix"), "expected an operation in it"));
            }
        }
        for (i, random) in self.random.iter().enumerate() {
            if random.faults.is_empty() || random.max_concurrent == Some(0) {
                let key = if random.faults.is_empty() { "faults" } else { "max_concurrent" };
                return Err(places.fail(&format!("random[{i}].{key}"), "nothing would ever happen"));
            }
        }
        Ok(())
    }

    pub(super) fn check_links(&self, places: &Places) -> Result<(), String> {
        let default = &self.net.default;
        for (key, given) in [
            ("from", default.from.is_some()),
            ("to", default.to.is_some()),
            ("bandwidth", default.bandwidth.is_some()),
        ] {
            if given {
                let what = format!("{key} goes with [[net.link]]");
                return Err(places.fail_key(&format!("net.default.{key}"), &what));
            }
        }
        for (i, link) in self.net.link.iter().enumerate() {
            for (key, end) in [("from", &link.from), ("to", &link.to)] {
                if let Some(end) =
                    end.as_ref().filter(|end| !matches!(end, Selector::Node(_) | Selector::All))
                {
                    let what = format!("\"{end}\": expected node:N or all");
                    return Err(places.fail(&format!("net.link[{i}].{key}"), &what));
                }
            }
        }
        for (id, spec) in &self.cluster.node {
            if spec.clock_rate.as_ref().is_some_and(can_be_zero) {
                let what = "a clock's rate is more than 0";
                return Err(places.fail(&format!("cluster.node.{id}.clock_rate"), what));
            }
        }
        Ok(())
    }

    pub(super) fn check_expect(&self, places: &Places) -> Result<(), String> {
        let expect = &self.expect;
        let known: Vec<&str> = MARKS.iter().map(|(name, _)| *name).collect();
        for (key, marks) in
            [("seen", &expect.seen), ("sometimes", &expect.sometimes), ("never", &expect.never)]
        {
            if let Some(i) = marks.iter().position(|mark| !known.contains(&mark.as_str())) {
                let (mark, hint) = (&marks[i], nearest::hint(&marks[i], &known));
                let what = format!("no mark is called \"{mark}\": see sim list-marks{hint}");
                return Err(places.fail(&format!("expect.{key}[{i}]"), &what));
            }
        }
        let at_last = expect.last.as_ref().and_then(|last| last.node.as_ref());
        match at_last.filter(|who| !matches!(who, Selector::Node(_) | Selector::All)) {
            Some(who) => Err(places.fail("expect.final.node", &format!("\"{who}\": expected node:N or all"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_tables_are_told_where_they_stand() {
        for (text, error) in [
            (
                "[expect]\nseen = [\"power-cut\", \"power-cutt\"]",
                ":2:22: no mark is called \"power-cutt\": see sim list-marks; did you mean \"power-cut\"?",
            ),
            (
                "[expect]\nnever = [\"snapsync\"]",
                ":2:10: no mark is called \"snapsync\": see sim list-marks; did you mean \"snap-sync\"?",
            ),
            (
                "[expect]\nsometimes = [\"purge\"]",
                ":2:14: no mark is called \"purge\": see sim list-marks; did you mean \"purged\"?",
            ),
            ("[expect]\nfinal = { node = \"leader\" }", ":2:18: \"leader\": expected node:N or all"),
            ("seeds = \"9..3\"", ":1:9: \"9..3\": expected \"1..200\""),
            (
                "[[workload]]\nrate = \"100\"",
                ":2:8: \"100\": expected operations per second, such as \"100/s\"",
            ),
            (
                "[[workload]]\nrate = \"100/s\"\nthink = \"1s\"",
                ":3:1: a workload has rate or think, not both",
            ),
            ("[[workload]]\nmix = { set = 0 }", ":2:7: expected an operation in it"),
            (
                "[net.default]\ndelay = { tail = \"2s\" }",
                ":2:18: \"2s\": expected \"1/1000:2s\", one in so many and the longest",
            ),
            ("[net.default]\nbandwidth = 7", ":2:1: bandwidth goes with [[net.link]]"),
            ("[[net.link]]\nfrom = \"leader\"", ":2:8: \"leader\": expected node:N or all"),
            (
                "[cluster.node.1]\ndisk = \"slow-fsnc\"",
                ":2:8: \"slow-fsnc\": expected one of slow-fsync; did you mean \"slow-fsync\"?",
            ),
            ("[cluster.node.1]\nclock_rate = \"0\"", ":2:14: a clock's rate is more than 0"),
            (
                "[[random]]\nfaults = []\nevery = \"1s\"\nduration = \"1s\"",
                ":2:10: nothing would ever happen",
            ),
        ] {
            assert_eq!(Scenario::parse(text).expect_err("it is wrong"), error, "{text}");
        }
    }
}
