//! Several servers over made-up wires.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use zk_core::address::HostPort;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::ElectionSettings;
use zk_core::election::links::{AfterGreeting, Hello, LinkCommand, LinkEvent, LinkId, LinkSettings, Part};
use zk_core::election::port::{ElectionPort, PortAction, PortInput};
use zk_core::election::vote::Notification;
use zk_core::ids::Sid;
use zk_core::quorum::Membership;
use zk_core::time::Mono;

use super::{Words, config, notification, show, show_sids, show_vote, sids};

pub(crate) struct Scene {
    config: Arc<QuorumConfig>,
    up: BTreeMap<Sid, ElectionPort>,
    unreachable: Vec<Sid>,
    dials: VecDeque<Dial>,
    wires: Vec<Wire>,
    accepted: u64,
    now: Mono,
    said: String,
}

struct Dial {
    from: Sid,
    link: LinkId,
    to: Sid,
}

/// A connection. What is on its way to an end that is closed is lost.
struct Wire {
    ends: [End; 2],
    /// To each end.
    queues: [VecDeque<Item>; 2],
    /// It swallows everything.
    hole: bool,
}

struct End {
    /// Whose; a made-up process has a sid, too.
    sid: Sid,
    /// `None` at the end of a made-up process.
    link: Option<LinkId>,
    open: bool,
}

enum Item {
    Hello(Hello),
    Message(Notification),
    Garbage,
    Fin,
}

/// Something on its way.
enum Flight {
    Dial,
    Wire(usize, usize),
}

fn address(sid: Sid) -> HostPort {
    HostPort { host: format!("h{sid}"), port: 2 }
}

impl Scene {
    /// `ensemble 1,2,3 …`
    pub(crate) fn open(words: &Words<'_>) -> Self {
        Self {
            config: Arc::new(config(words.0[1], words, "0")),
            up: BTreeMap::new(),
            unreachable: vec![],
            dials: VecDeque::new(),
            wires: vec![],
            accepted: 0,
            now: Mono::from_millis(0),
            said: String::new(),
        }
    }

    pub(crate) fn run(&mut self, words: &Words<'_>) -> String {
        if let Some(ms) = words.millis() {
            self.pass(ms);
            return std::mem::take(&mut self.said);
        }
        match words.0[0] {
            "start" => self.start(words),
            "deliver" => {
                self.deliver(words.0.get(1).map(|pair| two(pair)));
            }
            "run" => while self.deliver(None) {},
            "established" => {
                let epoch = words.value("epoch").unwrap().parse().unwrap();
                for sid in sids(words.0[1]) {
                    self.up.get_mut(&sid).unwrap().establish_epoch(epoch);
                }
            }
            "crash" => self.end(words.sid(1), false),
            "power" => self.end(words.sid(2), true),
            "break" | "cut" => self.break_wire(words.sid(1), words.sid(2), words.0[0] == "break"),
            "unreachable" => self.unreachable.push(words.sid(1)),
            "reachable" => self.unreachable.retain(|sid| *sid != words.sid(1)),
            "garbage" => self.put(two(words.0[1]), Item::Garbage),
            "say" => {
                let n = notification(words, 2, None);
                self.put(two(words.0[1]), Item::Message(n));
            }
            "ring" | "dial" => self.made_up(words.sid(3), words.sid(1), words.0[0] == "ring"),
            "status" => self.status(),
            other => panic!("no command {other:?}"),
        }
        std::mem::take(&mut self.said)
    }

    fn start(&mut self, words: &Words<'_>) {
        let sid = words.sid(1);
        let links =
            LinkSettings { addresses: vec![address(sid)], dial_timeout_ms: 5000, hello_timeout_ms: 2000 };
        let membership = Arc::new(Membership::settled(self.config.clone()));
        let new = || ElectionPort::new(sid, ElectionSettings::default(), links, membership);
        let mut out = vec![];
        self.up.entry(sid).or_insert_with(new).start(self.now, words.candidate(), &mut out);
        self.carry_out(sid, out);
    }

    /// Ends a process. Its links are closed by the system, or nobody closes them.
    fn end(&mut self, sid: Sid, half_open: bool) {
        self.up.remove(&sid).unwrap();
        self.dials.retain(|dial| dial.from != sid);
        for wire in &mut self.wires {
            for at in 0..2 {
                if wire.ends[at].sid == sid && wire.ends[at].open {
                    wire.hole |= half_open;
                    wire.close(at);
                }
            }
        }
    }

    fn break_wire(&mut self, a: Sid, b: Sid, hole: bool) {
        let at = self.wire((a, b)).0;
        let wire = &mut self.wires[at];
        if hole {
            wire.hole = true;
            wire.queues.iter_mut().for_each(VecDeque::clear);
        } else {
            wire.queues.iter_mut().for_each(|queue| *queue = [Item::Fin].into());
        }
    }

    /// The open wire between two servers, and at which end the second one is.
    fn wire(&self, (from, to): (Sid, Sid)) -> (usize, usize) {
        let open = |wire: &Wire, at: usize| {
            wire.ends[at].sid == to && wire.ends[1 - at].sid == from && wire.ends.iter().all(|end| end.open)
        };
        let found = self
            .wires
            .iter()
            .enumerate()
            .rev()
            .find_map(|(i, wire)| (0..2).find(|at| open(wire, *at)).map(|at| (i, at)));
        found.unwrap_or_else(|| panic!("no wire between {from} and {to}"))
    }

    fn put(&mut self, pair: (Sid, Sid), item: Item) {
        let (wire, at) = self.wire(pair);
        self.wires[wire].put(at, item);
    }

    /// A process that is none of ours connects, says who it is, and hangs up or stays.
    fn made_up(&mut self, sid: Sid, to: Sid, rings: bool) {
        let wire = self.connect(sid, None, to);
        self.wires[wire].put(1, Item::Hello(Hello { sid, addresses: vec![address(sid)] }));
        if rings {
            self.wires[wire].close(0);
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, ms: u64) {
        while self.deliver(None) {}
        let until = Mono::from_millis(self.now.millis() + ms);
        loop {
            let next = self.up.values().filter_map(ElectionPort::deadline).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            let due = self.up.iter().filter(|(_, port)| port.deadline().is_some_and(|d| d <= next));
            for sid in due.map(|(sid, _)| *sid).collect::<Vec<_>>() {
                let mut out = vec![];
                self.up.get_mut(&sid).unwrap().on_timer(self.now, &mut out);
                self.carry_out(sid, out);
            }
            while self.deliver(None) {}
        }
        self.now = until;
    }

    /// Delivers what is on its way now; false if nothing was.
    fn deliver(&mut self, only: Option<(Sid, Sid)>) -> bool {
        let chosen = |from, to| only.is_none_or(|only| only == (from, to));
        let dials = self.dials.iter().filter(|d| chosen(d.from, d.to) && !self.unreachable.contains(&d.to));
        let mut flights: Vec<_> = dials.map(|_| Flight::Dial).collect();
        for (i, wire) in self.wires.iter().enumerate() {
            for at in 0..2 {
                if chosen(wire.ends[1 - at].sid, wire.ends[at].sid) {
                    flights.extend(wire.queues[at].iter().map(|_| Flight::Wire(i, at)));
                }
            }
        }
        let any = !flights.is_empty();
        for flight in flights {
            match flight {
                Flight::Dial => self.deliver_dial(only),
                Flight::Wire(wire, at) => self.deliver_item(wire, at),
            }
        }
        any
    }

    fn deliver_dial(&mut self, only: Option<(Sid, Sid)>) {
        let unreachable = &self.unreachable;
        let chosen =
            |d: &Dial| only.is_none_or(|only| only == (d.from, d.to)) && !unreachable.contains(&d.to);
        // It may have been taken back meanwhile.
        let Some(at) = self.dials.iter().position(chosen) else { return };
        let Dial { from, link, to } = self.dials.remove(at).unwrap();
        if self.up.contains_key(&to) {
            writeln!(self.said, "{from} dials {to}").unwrap();
            self.connect(from, Some(link), to);
            self.event(from, link, LinkEvent::Connected);
        } else {
            writeln!(self.said, "{from} dials {to} in vain").unwrap();
            self.event(from, link, LinkEvent::Failed);
        }
    }

    fn connect(&mut self, from: Sid, link: Option<LinkId>, to: Sid) -> usize {
        self.accepted += 1;
        let accepted = LinkId::Accepted(self.accepted);
        let end = |sid, link| End { sid, link, open: true };
        let ends = [end(from, link), end(to, Some(accepted))];
        self.wires.push(Wire { ends, queues: [VecDeque::new(), VecDeque::new()], hole: false });
        let wire = self.wires.len() - 1;
        self.event(to, accepted, LinkEvent::Accepted);
        wire
    }

    fn deliver_item(&mut self, wire: usize, at: usize) {
        let Wire { ends, queues, .. } = &mut self.wires[wire];
        let Some(item) = queues[at].pop_front() else { return };
        let (from, to) = (ends[1 - at].sid, ends[at].sid);
        let what = match &item {
            Item::Hello(_) => "hello".into(),
            Item::Message(n) => show(n),
            Item::Garbage => "garbage".into(),
            Item::Fin => "hangs up".into(),
        };
        let Some(link) = ends[at].link.filter(|_| ends[at].open) else {
            if ends[at].open {
                writeln!(self.said, "{from} > {to} (made up): {what}").unwrap();
            }
            return;
        };
        writeln!(self.said, "{from} > {to}: {what}").unwrap();
        match item {
            Item::Hello(hello) => self.event(to, link, LinkEvent::Heard(hello)),
            Item::Message(notification) => self.step(to, PortInput::Notification { link, notification }),
            Item::Garbage | Item::Fin => {
                self.wires[wire].close(at);
                self.event(to, link, LinkEvent::Closed);
            }
        }
    }

    fn event(&mut self, sid: Sid, link: LinkId, event: LinkEvent) {
        self.step(sid, PortInput::Link { link, event });
    }

    fn step(&mut self, sid: Sid, input: PortInput) {
        let Some(port) = self.up.get_mut(&sid) else { return };
        let mut out = vec![];
        port.step(self.now, input, &mut out);
        self.carry_out(sid, out);
    }

    fn carry_out(&mut self, sid: Sid, actions: Vec<PortAction>) {
        for action in actions {
            match action {
                PortAction::Link { link, command } => self.command(sid, link, command),
                PortAction::Decided(d) => {
                    let (vote, by) = (show_vote(&d.vote), show_sids(&d.supporters));
                    writeln!(self.said, "{sid} decided: {} {vote} r{} by {by}", d.state, d.round).unwrap();
                }
                PortAction::Adopt(config) => panic!("nobody has a config of version {}", config.version()),
                PortAction::SeenLooking { sid: other } => {
                    writeln!(self.said, "{sid} sees that {other} is looking").unwrap();
                }
            }
        }
    }

    fn command(&mut self, sid: Sid, link: LinkId, command: LinkCommand) {
        if let LinkCommand::Dial { sid: to, address: dialled } = command {
            assert_eq!(dialled, address(to));
            return self.dials.push_back(Dial { from: sid, link, to });
        }
        self.dials.retain(|dial| (dial.from, dial.link) != (sid, link));
        let is_it = |end: &End| end.open && end.sid == sid && end.link == Some(link);
        let found = self.wires.iter_mut().find_map(|wire| Some((wire.ends.iter().position(is_it)?, wire)));
        let Some((at, wire)) = found else { return };
        match command {
            LinkCommand::Dial { .. } => unreachable!(),
            LinkCommand::Greet { hello, then } => {
                wire.put(1 - at, Item::Hello(hello));
                if then == AfterGreeting::HangUp {
                    wire.close(at);
                }
            }
            LinkCommand::Send(notification) => {
                wire.put(1 - at, Item::Message(notification));
                self.event(sid, link, LinkEvent::Sent);
            }
            LinkCommand::HangUp => wire.close(at),
        }
    }

    fn status(&mut self) {
        for (sid, port) in &self.up {
            let e = port.election();
            let ends =
                self.wires.iter().flat_map(|wire| &wire.ends).filter(|end| end.sid == *sid && end.open);
            let mut parts: Vec<_> = ends.filter_map(|end| Some(port.links().part_of(end.link?))).collect();
            parts.sort();
            let parts = parts.iter().map(|part| match part {
                Part::Kept(other) => other.to_string(),
                Part::Dialling(other) => format!("dialling {other}"),
                Part::Unnamed => "somebody".into(),
                Part::None => "a link that it does not know".into(),
            });
            let parts: Vec<_> = parts.collect();
            write!(self.said, "{sid} {} r{}, linked with {}", e.state(), e.round(), parts.join(", "))
                .unwrap();
            let vote = e.proposal().or_else(|| e.current_vote().map(|(vote, _)| vote)).unwrap();
            writeln!(self.said, ", votes {}", show_vote(&vote)).unwrap();
        }
    }
}

impl Wire {
    fn put(&mut self, to: usize, item: Item) {
        if !self.hole && self.ends[to].open {
            self.queues[to].push_back(item);
        }
    }

    fn close(&mut self, at: usize) {
        self.ends[at].open = false;
        self.queues[at].clear();
        self.put(1 - at, Item::Fin);
    }
}

fn two(pair: &str) -> (Sid, Sid) {
    let (from, to) = pair.split_once('>').unwrap();
    (Sid(from.parse().unwrap()), Sid(to.parse().unwrap()))
}
