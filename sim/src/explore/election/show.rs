//! The world in words, for the reader of a counterexample.

use std::fmt::Write as _;

use zk_core::election::vote::Notification;
use zk_core::ids::Sid;

use super::wires::{Item, Wire, Word};
use super::{Dial, Ensemble, Move, Server, sid};

impl Ensemble {
    pub(super) fn show_move(&self, step: &Move) -> String {
        match *step {
            Move::Start(node) => format!("{} starts", sid(node)),
            Move::Dial(at) => {
                let Dial { from, to, .. } = self.dials[at];
                let up = if self.server(to).port.is_some() { "" } else { " in vain" };
                format!("{} dials {}{up}", sid(from), sid(to))
            }
            Move::Deliver(wire, at) => {
                let Wire { ends, queues, .. } = &self.wires[wire];
                let what = queues[at].front().map_or_else(String::new, show);
                format!("{} > {}: {what}", sid(ends[1 - at].node), sid(ends[at].node))
            }
            Move::Finalize(node) => format!("{} has heard nothing better", sid(node)),
            Move::Silence(node) => format!("{} has heard nothing", sid(node)),
            Move::Break(wire) => {
                let [a, b] = self.wires[wire].ends;
                format!("the link of {} and {} breaks", sid(a.node), sid(b.node))
            }
            Move::Crash(node) => format!("{} crashes", sid(node)),
            Move::PowerCut(node) => format!("{} loses its power", sid(node)),
            Move::Establish(node) => {
                let team: Vec<_> = self.team(node).iter().map(|node| sid(*node).to_string()).collect();
                format!("{} establishes an epoch with {}", sid(node), team.join(", "))
            }
            Move::LoseRole(node) => format!("{} has nobody to share its role with", sid(node)),
        }
    }

    pub(super) fn show_all(&self) -> String {
        let mut said = String::new();
        for (node, this) in self.nodes.iter().enumerate() {
            let Server { port, data: (epoch, zxid), synced, .. } = &this.server;
            let (who, data) = (sid(node), format!("has epoch {epoch}, zxid {zxid:#x}"));
            let doing = port.as_ref().map_or_else(
                || "is down".into(),
                |port| {
                    let election = port.election();
                    let vote = election.proposal().or_else(|| election.current_vote().map(|(vote, _)| vote));
                    let leader = vote.map_or(Sid::NONE, |vote| vote.leader);
                    format!("is {} for {leader} in round {}", election.state(), election.round())
                },
            );
            writeln!(said, "  {who} {data}, {doing}, synchronised in {synced:?}").expect("strings take all");
        }
        for Wire { ends: [a, b], queues, hole } in &self.wires {
            let show_all = |i: usize| queues[i].iter().map(show).collect::<Vec<_>>().join(", ");
            let (to_a, to_b) = (show_all(0), show_all(1));
            let (a, b) = (
                format!("{} ({:?})", sid(a.node), self.part_of(a)),
                format!("{} ({:?})", sid(b.node), self.part_of(b)),
            );
            writeln!(said, "  wire {a} to {b}, hole {hole}: > [{to_b}] < [{to_a}]")
                .expect("strings take all");
        }
        said
    }
}

fn show(item: &Item) -> String {
    match item {
        Item::Hello(_) => "hello".into(),
        Item::Fin => "hangs up".into(),
        Item::Word(Word { notification: Notification { state, vote, round, .. }, .. }) => {
            format!("{state} {} zxid={} e{} r{round}", vote.leader, vote.zxid, vote.peer_epoch)
        }
    }
}
