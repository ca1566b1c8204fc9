//! One server among made-up ones: votes in, votes out.

use std::fmt::Write as _;
use std::sync::Arc;

use zk_core::election::{Delivery, Effect, Election, ElectionSettings};
use zk_core::quorum::Membership;
use zk_core::time::Mono;

use super::{Words, config, notification, show, show_sids, show_vote, state};

pub(crate) struct Scene {
    election: Election,
    now: Mono,
}

impl Scene {
    /// `server 1 of 1,2,3 …`
    pub(crate) fn open(words: &Words<'_>) -> Self {
        let version = words.value("version").unwrap_or("0");
        let in_force = Arc::new(config(words.0[3], words, version));
        let next = words.value("next").map(|voters| {
            let newer = format!("{:x}", in_force.version().0 + 1);
            Arc::new(config(voters, words, &newer))
        });
        let membership = Membership::new(in_force.clone(), next.unwrap_or(in_force));
        let settings = ElectionSettings { reconfig: words.has("reconfig"), ..ElectionSettings::default() };
        let election = Election::new(words.sid(1), settings, Arc::new(membership));
        Self { election, now: Mono::from_millis(0) }
    }

    pub(crate) fn run(&mut self, words: &Words<'_>) -> String {
        let mut out = vec![];
        if let Some(ms) = words.millis() {
            self.now = Mono::from_millis(self.now.millis() + ms);
            let delivery = if words.has("undelivered") { Delivery::None } else { Delivery::Some };
            self.election.on_timer(self.now, delivery, &mut out);
            return show_effects(&out);
        }
        match words.0[0] {
            "start" => self.election.start(self.now, words.candidate(), &mut out),
            "hear" => {
                let of = words.value("of");
                let told = of.map(|of| Arc::new(config(of, words, words.value("config").unwrap_or("0"))));
                let n = notification(words, 2, told);
                self.election.on_notification(self.now, words.sid(1), n, &mut out);
            }
            "established" => self.election.establish_epoch(words.0[1].parse().unwrap()),
            "settle" => self.election.settle(words.sid(1), words.zxid(), state(words.0[3])),
            "pause" => self.election.pause(),
            "failed" => self.election.leader_failed(words.sid(1)),
            "members" => {
                let members = Arc::new(config(words.0[1], words, words.value("version").unwrap_or("0")));
                self.election.set_membership(Arc::new(Membership::settled(members)));
            }
            "status" => return self.status(),
            other => panic!("no command {other:?}"),
        }
        show_effects(&out)
    }

    fn status(&self) -> String {
        let e = &self.election;
        let mut said = format!("{} r{}", e.state(), e.round());
        if let Some(proposal) = e.proposal() {
            write!(said, ", proposes {}", show_vote(&proposal)).unwrap();
        }
        if let Some((vote, round)) = e.current_vote() {
            write!(said, ", says {} r{round} otherwise", show_vote(&vote)).unwrap();
        }
        if let Some(deadline) = e.deadline() {
            write!(said, ", wakes in {} ms", deadline.since(self.now) / 1_000_000).unwrap();
        }
        said + "\n"
    }
}

fn show_effects(effects: &[Effect]) -> String {
    let mut said = String::new();
    for effect in effects {
        match effect {
            Effect::Send { to, notification } => writeln!(said, "to {to}: {}", show(notification)),
            Effect::ConnectAll => writeln!(said, "connect to all"),
            Effect::Decided(d) => {
                let by = show_sids(&d.supporters);
                writeln!(said, "decided: {} {} r{} by {by}", d.state, show_vote(&d.vote), d.round)
            }
            Effect::Adopt(config) => {
                writeln!(said, "adopt: {}", config.to_string().replace('\n', " "))
            }
            Effect::SeenLooking { sid } => writeln!(said, "{sid} is looking"),
        }
        .unwrap();
    }
    said
}
