//! Wires by themselves: nodes are numbers, and what arrives is written down.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Wires with a clock, machines, and what arrived where.
struct Scene {
    wires: Wires,
    now: Time,
    due: Vec<(Time, WireDue)>,
    machines: BTreeMap<u32, Machine>,
    /// By node and name: text, with `<` for the beginning and `>` for the end.
    heard: BTreeMap<(u32, Name), String>,
}

fn quorum(n: u64) -> Name {
    Name::Quorum(LinkId::Dialled(n))
}

impl Scene {
    fn new(seed: u64) -> Self {
        let us = Duration::from_micros;
        let delay = Delay { min: us(100), mean: us(100), tail_one_in: 0, tail: us(0) };
        Self {
            wires: Wires::new(seed, delay),
            now: Time(0),
            due: Vec::new(),
            machines: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    fn machine(&self, node: u32) -> Machine {
        self.machines.get(&node).copied().unwrap_or(Machine::Answers)
    }

    fn run(&mut self, ns: u64) {
        let until = self.now.plus(ns);
        loop {
            self.wires.take_due(&mut self.due);
            let next = (0..self.due.len()).min_by_key(|i| self.due[*i].0).filter(|i| self.due[*i].0 <= until);
            let Some(next) = next else { break };
            let (at, due) = self.due.remove(next);
            self.now = self.now.max(at);
            match due {
                WireDue::Knock(id) => {
                    if let Some((node, _)) = self.wires.dialled(id) {
                        self.wires.knock(self.now, id, self.machine(node));
                    }
                }
                WireDue::Arrive(id, side) => {
                    let Some(node) = self.wires.node_at(id, side) else { continue };
                    let machine = self.machine(node);
                    while let Some((name, arrival)) = self.wires.arrive(self.now, id, side, machine) {
                        let heard = self.heard.entry((node, name)).or_default();
                        match arrival {
                            Arrival::Opened => heard.push('<'),
                            Arrival::Closed => heard.push('>'),
                            Arrival::Bytes(bytes) => heard.push_str(std::str::from_utf8(&bytes).unwrap()),
                        }
                    }
                }
                WireDue::GiveUp(id, side, since) => self.wires.give_up(self.now, id, side, since),
            }
        }
        self.now = until;
    }

    fn dial(&mut self, n: u64) {
        self.wires.dial(self.now, 1, quorum(n), 2);
    }

    fn say(&mut self, n: u64, text: &'static str) {
        self.wires.send(self.now, 1, quorum(n), Bytes::from_static(text.as_bytes()));
    }

    fn reply(&mut self, n: u64, text: &'static str) {
        self.wires.send(self.now, 2, accepted(n), Bytes::from_static(text.as_bytes()));
    }

    /// What node 1 heard on its n-th dial.
    fn dialler(&self, n: u64) -> &str {
        self.heard.get(&(1, quorum(n))).map_or("", String::as_str)
    }

    /// What node 2 heard on it.
    fn acceptor(&self, n: u64) -> &str {
        self.heard.get(&(2, accepted(n))).map_or("", String::as_str)
    }

    fn cut(&mut self, from: u32, to: u32, kind: Kind) -> CutId {
        self.wires.cut(Cut { from: vec![from], to: vec![to], port: None, kind })
    }
}

/// Connections are numbered as they are dialled.
fn accepted(n: u64) -> Name {
    Name::Quorum(LinkId::Accepted(n))
}

#[test]
fn bytes_arrive_in_order_and_a_close_behind_them() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    assert_eq!((scene.dialler(1), scene.acceptor(1)), ("<", "<"));
    scene.say(1, "abc");
    scene.reply(1, "xyz");
    scene.say(1, "def");
    scene.wires.close(scene.now, 1, quorum(1));
    scene.run(SECOND);
    assert_eq!((scene.dialler(1), scene.acceptor(1)), ("<", "<abcdef>"));
    assert!(scene.wires.is_empty());
}

#[test]
fn a_dial_is_refused_where_nobody_listens_and_hangs_where_nobody_is() {
    let mut scene = Scene::new(1);
    scene.machines.insert(2, Machine::Refuses);
    scene.dial(1);
    scene.run(SECOND);
    assert_eq!(scene.dialler(1), ">");
    scene.machines.insert(2, Machine::Off);
    scene.dial(2);
    scene.run(SECOND);
    assert_eq!(scene.dialler(2), "");
    scene.run(2 * SECOND);
    assert_eq!(scene.dialler(2), ">", "the dialler has had enough");
    scene.dial(3);
    scene.run(SECOND / 2);
    scene.machines.remove(&2);
    scene.run(SECOND);
    assert_eq!(scene.dialler(3), "<", "it was tried again");
}

#[test]
fn what_a_partition_holds_up_arrives_when_it_heals() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    let cut = scene.cut(1, 2, Kind::Lose);
    scene.say(1, "abc");
    scene.run(5 * SECOND);
    scene.reply(1, "x");
    scene.run(SECOND);
    assert_eq!((scene.dialler(1), scene.acceptor(1)), ("<x", "<"), "one way only");
    scene.wires.mend(scene.now, cut);
    scene.run(4 * SECOND);
    assert_eq!(scene.acceptor(1), "<abc");
}

#[test]
fn a_sender_that_hears_nothing_gives_up_and_the_other_end_learns_when_it_sends() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    let cut = scene.cut(1, 2, Kind::Lose);
    scene.say(1, "abc");
    scene.run(20 * SECOND);
    assert_eq!((scene.dialler(1), scene.acceptor(1)), ("<>", "<"), "half-open");
    scene.wires.mend(scene.now, cut);
    scene.run(20 * SECOND);
    assert_eq!(scene.acceptor(1), "<", "what was given up is not sent again");
    scene.reply(1, "x");
    scene.run(SECOND);
    assert_eq!(scene.acceptor(1), "<>");
    assert!(scene.wires.is_empty());
}

#[test]
fn a_sender_whose_acknowledgements_are_lost_gives_up_too() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    scene.cut(2, 1, Kind::Lose);
    scene.say(1, "abc");
    scene.run(SECOND);
    assert_eq!(scene.acceptor(1), "<abc");
    scene.run(20 * SECOND);
    assert_eq!(scene.dialler(1), "<>");
}

#[test]
fn nobody_gives_up_on_a_closed_window() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    let cut = scene.cut(1, 2, Kind::Hold);
    scene.say(1, "abc");
    scene.run(100 * SECOND);
    assert_eq!((scene.dialler(1), scene.acceptor(1)), ("<", "<"));
    assert_eq!(scene.wires.in_flight(1, quorum(1)), 3);
    scene.wires.mend(scene.now, cut);
    scene.run(4 * SECOND);
    assert_eq!(scene.acceptor(1), "<abc");
}

#[test]
fn a_machine_without_power_says_nothing_and_refuses_when_it_is_back() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    scene.wires.crash(scene.now, 2, Loss::Power);
    scene.machines.insert(2, Machine::Off);
    scene.run(60 * SECOND);
    assert_eq!(scene.dialler(1), "<", "half-open");
    scene.say(1, "abc");
    scene.run(5 * SECOND);
    assert_eq!(scene.dialler(1), "<");
    scene.machines.remove(&2);
    scene.wires.booted(scene.now, 2);
    scene.run(4 * SECOND);
    assert_eq!(scene.dialler(1), "<>");
    assert!(scene.wires.is_empty());
}

#[test]
fn a_killed_process_is_heard_of_at_once() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut scene = Scene::new(seed);
        scene.dial(1);
        scene.run(SECOND);
        scene.reply(1, "abc");
        scene.wires.crash(scene.now, 2, Loss::Kill);
        scene.run(SECOND);
        ends.insert(scene.dialler(1).to_owned());
    }
    let expected = ["<>", "<a>", "<ab>", "<abc>"].map(str::to_owned);
    assert_eq!(ends, expected.into(), "in order, or by a reset that cuts anywhere");
}

#[test]
fn after_a_reset_old_bytes_may_arrive_when_a_new_connection_stands() {
    let mut is_late = false;
    for seed in 0..50 {
        let mut scene = Scene::new(seed);
        scene.dial(1);
        scene.run(SECOND);
        scene.say(1, "old");
        assert_eq!(scene.wires.reset(scene.now, |from, to, _| (from, to) == (1, 2)), 1);
        scene.run(SECOND / 10);
        if scene.dialler(1) == "<>" && !scene.acceptor(1).ends_with('>') {
            scene.dial(2);
            scene.run(SECOND / 10);
            scene.say(2, "new");
            scene.run(SECOND / 10);
            is_late |= scene.acceptor(2) == "<new" && !scene.acceptor(1).ends_with('>');
        }
        scene.run(5 * SECOND);
        assert!(scene.dialler(1).ends_with('>') && scene.acceptor(1).ends_with('>'));
        assert!("<old>".starts_with(scene.acceptor(1).trim_end_matches('>')));
    }
    assert!(is_late);
}

#[test]
fn a_dial_may_hang_while_a_connection_stands() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    let cut = Cut { from: vec![2], to: vec![1], port: None, kind: Kind::Hang };
    let cut = scene.wires.cut(cut);
    scene.dial(2);
    scene.say(1, "goes on");
    scene.run(SECOND);
    assert_eq!((scene.acceptor(1), scene.dialler(2)), ("<goes on", ""), "neither connected nor refused");
    scene.wires.mend(scene.now, cut);
    scene.run(4 * SECOND);
    assert_eq!(scene.dialler(2), "<");
}

#[test]
fn a_slow_path_takes_its_time_and_a_garbled_one_flips_bits() {
    let mut scene = Scene::new(1);
    scene.dial(1);
    scene.run(SECOND);
    scene.wires.paths.set_rate(1, 2, Some(2));
    scene.say(1, "abcdefgh");
    scene.run(3 * SECOND);
    assert!(scene.acceptor(1).len() < 9);
    scene.run(2 * SECOND);
    assert_eq!(scene.acceptor(1), "<abcdefgh");
    scene.say(1, "ijklmnopqrstuvwxyz");
    scene.run(SECOND);
    scene.wires.paths.set_rate(1, 2, None);
    scene.wires.let_flow(scene.now);
    scene.run(SECOND);
    assert_eq!(scene.acceptor(1), "<abcdefghijklmnopqrstuvwxyz", "what had queued does not stay slow");
    scene.wires.paths.set_garbled(1, 2, Some(1));
    let sent = Bytes::from_static(b"same");
    assert_ne!(scene.wires.paths.garble(1, 2, sent.clone(), || 12345 << 40), sent);
}
