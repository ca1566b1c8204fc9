//! Elections of real servers, replayed: our election in the place of each server hears what that server heard, and what it
//! says is compared with what that server said.
//!
//! A capture does not tell when a server began an election, left a role, or died; that is taken from what it said next. Two
//! things are not compared: how often the same is said, and proposals that a better one replaced within a round before Java
//! had a line to send them on, for that is a matter of milliseconds between its threads.

mod captures;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use captures::{Capture, Connection, Kind, captures};
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::vote::Notification;
use zk_core::election::{Candidate, Delivery, Effect, Election, ElectionSettings};
use zk_core::ids::{PeerState, Sid};
use zk_core::peer::election_link::{ElectionReader, Said};
use zk_core::quorum::Membership;
use zk_core::time::Mono;
use zk_core::wire::limits::JUTE_MAX_FIELD;
use zk_core::wire::quorum::{QuorumPacket, Sender};
use zk_core::wire::quorum_auth::QuorumAuthPacket;

/// What happened at one server, by the clock of the capture.
#[derive(Clone)]
struct Event {
    time: Mono,
    what: What,
}

#[derive(Clone)]
enum What {
    Heard(Sid, Notification),
    Said(Sid, Notification),
    /// It was synchronised in this epoch.
    Established(u32),
    /// It went to a leader's quorum port, or took the first learner at its own.
    Took(Sid),
}

fn time(seconds: f64) -> Mono {
    Mono((seconds * 1e9) as u64)
}

fn sid(name: &str) -> Option<Sid> {
    name.strip_prefix("server").map(|n| Sid(n.parse().unwrap()))
}

/// What happened at every server of a capture.
fn histories(capture: &Capture) -> BTreeMap<Sid, Vec<Event>> {
    let mut histories = BTreeMap::<Sid, Vec<Event>>::new();
    for connection in &capture.connections {
        match connection.kind {
            Kind::Election => election_events(connection, &mut histories),
            Kind::Quorum => quorum_events(connection, &mut histories),
        }
    }
    histories.values_mut().for_each(|events| events.sort_by_key(|event| event.time));
    histories
}

fn election_events(connection: &Connection, histories: &mut BTreeMap<Sid, Vec<Event>>) {
    let (dialer, listener) = (sid(&connection.dialer).unwrap(), sid(&connection.listener).unwrap());
    for (side, from, to, mut reader) in [
        (&connection.from_dialer, dialer, listener, ElectionReader::accepted()),
        (&connection.from_listener, listener, dialer, ElectionReader::dialled()),
    ] {
        for record in &side.records {
            if QuorumAuthPacket::begins(&record.bytes) == Some(true) {
                continue;
            }
            reader.push(&record.bytes);
            if let Said::Notification { notification, fault: None } = reader.next_said().unwrap().unwrap() {
                let time = time(record.time);
                let mut add = |who, what| histories.entry(who).or_default().push(Event { time, what });
                add(from, What::Said(to, notification.clone()));
                add(to, What::Heard(from, notification));
            }
        }
    }
}

fn quorum_events(connection: &Connection, histories: &mut BTreeMap<Sid, Vec<Event>>) {
    let (Some(learner), Some(leader)) = (sid(&connection.dialer), sid(&connection.listener)) else { return };
    let mut epoch = 0;
    for (side, sender) in
        [(&connection.from_dialer, Sender::Learner), (&connection.from_listener, Sender::Leader)]
    {
        for record in &side.records {
            let time = time(record.time);
            let mut add = |who, what| histories.entry(who).or_default().push(Event { time, what });
            // Pieces of a snapshot are no packets.
            match QuorumPacket::decode(record.bytes.clone(), sender, JUTE_MAX_FIELD) {
                Ok(QuorumPacket::FollowerInfo { .. } | QuorumPacket::ObserverInfo { .. }) => {
                    add(learner, What::Took(leader));
                    add(leader, What::Took(leader));
                }
                Ok(QuorumPacket::LeaderInfo { zxid, .. }) => epoch = zxid.epoch(),
                Ok(QuorumPacket::UpToDate) => {
                    add(learner, What::Established(epoch));
                    add(leader, What::Established(epoch));
                }
                _ => {}
            }
        }
    }
}

/// One server's part, played by our election.
struct Replay<'a> {
    me: Sid,
    events: &'a [Event],
    membership: Arc<Membership>,
    election: Election,
    now: Mono,
    at: usize,
    said: Vec<(Sid, Notification)>,
    /// At which event, and for whom.
    decided: Vec<(usize, Sid)>,
}

impl<'a> Replay<'a> {
    fn run(me: Sid, events: &'a [Event]) -> Self {
        let config = events.iter().find_map(|event| match &event.what {
            What::Said(_, notification) => notification.config.clone(),
            _ => None,
        });
        let config: Arc<QuorumConfig> = config.expect("every server said something");
        let membership = Arc::new(Membership::settled(config));
        let election = Election::new(me, ElectionSettings::default(), membership.clone());
        let (now, said, decided) = (Mono::default(), vec![], vec![]);
        let mut replay = Self { me, events, membership, election, now, at: 0, said, decided };
        for (at, event) in events.iter().enumerate() {
            replay.at = at;
            replay.pass(event.time);
            match &event.what {
                What::Heard(from, notification) => replay.hear(at, *from, notification),
                What::Said(to, notification) => {
                    let looks = notification.state == PeerState::Looking;
                    if looks && !replay.elects() && !replay.is_late(*to, notification) {
                        replay.start(at);
                    }
                }
                What::Established(epoch) => replay.election.establish_epoch(*epoch),
                What::Took(_) => {}
            }
        }
        replay
    }

    /// True from the beginning of an election to its end.
    fn elects(&self) -> bool {
        self.election.proposal().is_some()
    }

    fn pass(&mut self, until: Mono) {
        while let Some(deadline) = self.election.deadline().filter(|deadline| *deadline <= until) {
            self.now = deadline;
            self.fire();
        }
        self.now = until;
    }

    fn fire(&mut self) {
        let mut out = vec![];
        let deadline = self.election.deadline().unwrap();
        self.election.on_timer(deadline, Delivery::Some, &mut out);
        self.take(out);
    }

    fn hear(&mut self, at: usize, from: Sid, notification: &Notification) {
        let answer = self.next_word(at, from).cloned();
        let looks = notification.state == PeerState::Looking;
        let settled = answer.as_ref().is_some_and(|answer| answer.state != PeerState::Looking);
        if looks && settled && self.elects() {
            // The silence that ends the election has ended by the server's own clock.
            self.fire();
        }
        if let Some(config) = answer.filter(|_| settled).and_then(|answer| answer.config) {
            // The first leader gives the first config a version.
            self.election.set_membership(Arc::new(Membership::settled(config)));
        }
        let left = self.election.state() != PeerState::Looking && !settled;
        if looks && left && self.membership.quorums().is_voter(from) {
            self.leave(at);
        }
        let mut out = vec![];
        self.election.on_notification(self.now, from, notification.clone(), &mut out);
        self.take(out);
    }

    /// A word of an election that may be over: it waited for a link, or was sent again on a new one.
    fn is_late(&self, to: Sid, notification: &Notification) -> bool {
        self.said.iter().any(|(whom, said)| *whom == to && said == notification)
    }

    /// What the server says next to `to`.
    fn next_word(&self, at: usize, to: Sid) -> Option<&Notification> {
        self.events[at..].iter().find_map(|event| match &event.what {
            What::Said(whom, n) if *whom == to => {
                (n.state != PeerState::Looking || !self.is_late(to, n)).then_some(n)
            }
            _ => None,
        })
    }

    /// What the server says next of its own election.
    fn next_vote(&self, at: usize) -> Option<&Notification> {
        self.events[at..].iter().find_map(|event| match &event.what {
            What::Said(_, notification) if notification.state == PeerState::Looking => Some(notification),
            _ => None,
        })
    }

    /// The server has left its role, or is a new process: then it begins with round 1 again.
    fn leave(&mut self, at: usize) {
        self.election.pause();
        let next = self.next_vote(at).map_or(0, |vote| vote.round);
        if next <= self.election.round() {
            self.election = Election::new(self.me, ElectionSettings::default(), self.membership.clone());
        }
    }

    fn start(&mut self, at: usize) {
        self.leave(at);
        let round = self.next_vote(at).unwrap().round;
        let votes = self.events[at..].iter().filter_map(|event| match &event.what {
            What::Said(_, n) if n.state == PeerState::Looking && n.round == round => Some(n.vote),
            _ => None,
        });
        let votes: Vec<_> = votes.collect();
        // A server that never had the time to propose itself has what it proposed.
        let vote = votes.iter().find(|vote| vote.leader == self.me).unwrap_or(&votes[0]);
        let current_epoch = u32::try_from(vote.peer_epoch).unwrap_or(0);
        let mut out = vec![];
        self.election.start(self.now, Candidate { zxid: vote.zxid, current_epoch }, &mut out);
        self.take(out);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, notification } => self.said.push((to, notification)),
                Effect::Decided(decision) => self.decided.push((self.at, decision.vote.leader)),
                Effect::ConnectAll | Effect::SeenLooking { .. } => {}
                Effect::Adopt(config) => panic!("reconfig is off, yet {config} is adopted"),
            }
        }
    }
}

/// What was said to one server: the last word of each state and round.
fn last_words<'a>(said: impl Iterator<Item = (&'a Sid, &'a Notification)>, to: Sid) -> Vec<Notification> {
    let mut words = Vec::<Notification>::new();
    for (_, n) in said.filter(|(whom, _)| **whom == to) {
        match words.last_mut() {
            Some(last) if (last.state, last.round) == (n.state, n.round) && last.vote <= n.vote => {
                *last = n.clone()
            }
            _ => words.push(n.clone()),
        }
    }
    words
}

fn show(words: &[Notification]) -> String {
    let mut text = String::new();
    for n in words {
        let v = n.vote;
        write!(text, "[{} {} {} e{} r{}] ", n.state, v.leader, v.zxid, v.peer_epoch, n.round).unwrap();
    }
    text
}

#[test]
fn our_election_says_what_java_said_and_ends_as_it_ended() {
    let (mut compared, mut unsaid, mut decisions, mut differ) = (0, 0, 0, String::new());
    for capture in captures() {
        for (me, events) in histories(&capture) {
            if capture.name.ends_with("snap-and-observer") && [Sid(2), Sid(3)].contains(&me) {
                continue; // Their election was over before the recording began.
            }
            let replay = Replay::run(me, &events);
            let java = events.iter().filter_map(|event| match &event.what {
                What::Said(to, notification) => Some((to, notification)),
                _ => None,
            });
            let java: Vec<_> = java.collect();
            let mut peers: Vec<_> = java.iter().map(|(to, _)| **to).collect();
            peers.sort();
            peers.dedup();
            for to in peers {
                let theirs = last_words(java.iter().copied(), to);
                let ours = last_words(replay.said.iter().map(|(to, n)| (to, n)), to);
                compared += theirs.len();
                let (ours, replaced): (Vec<_>, Vec<_>) =
                    ours.into_iter().partition(|n| n.state != PeerState::Looking || theirs.contains(n));
                unsaid += replaced.len();
                if theirs != ours {
                    let (theirs, ours) = (show(&theirs), show(&ours));
                    writeln!(differ, "{} {me} to {to}\n  java {theirs}\n  ours {ours}", capture.name)
                        .unwrap();
                }
            }
            for (at, leader) in replay.decided {
                let took = events[at..].iter().find_map(|event| match event.what {
                    What::Took(leader) => Some(leader),
                    _ => None,
                });
                // An observer may go to an observer master.
                assert!(
                    took.is_none_or(|took| took == leader),
                    "{} {me}: {took:?}, not {leader}",
                    capture.name
                );
                decisions += usize::from(took.is_some());
            }
        }
    }
    assert!(differ.is_empty(), "{differ}");
    assert_eq!(
        (compared, unsaid, decisions),
        (176, 1, 60),
        "words, words that were replaced unsent, elections"
    );
}
