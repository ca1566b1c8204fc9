//! A process starts: recovery, repairs, and what is checked of them.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use zk_core::disk::planner::LogPlanner;
use zk_core::disk::recovery::{self, Recovered};
use zk_core::event::Event;
use zk_core::replica::{ClientService, Replica};

use super::actions::commit;
use super::files::Batch;
use super::{Conns, Context, Effect, IDLE_CHECK_NS, Node, NodeEvent, Server, Shards, Stop};
use crate::dice::Site;
use crate::disk::Disk;
use crate::oracle::{Invariant, Violation};

impl Node {
    /// Starts the process: recovery, repairs, replica.
    pub fn boot(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        assert!(self.server.is_none(), "one process at a time");
        self.incarnation += 1;
        self.refused = None;
        self.is_off = false;
        let recovered = match recovery::recover(&mut self.disk, &self.settings.disk) {
            Ok(recovered) => recovered,
            Err(fault) => {
                cx.trace.headline(cx.at, &self.name(), &format!("refuses to start: {fault}"));
                cx.trace.mark("recovery-refused");
                self.refused = Some(fault);
                if let Some(ensemble) = &mut *cx.ensemble {
                    ensemble.refused(self.id)?;
                }
                return Ok(());
            }
        };
        for op in &recovered.repairs {
            self.boundary()?;
            if let Err(error) = self.disk.run(op) {
                return Err(Stop::Fatal(format!("repair: {error}")));
            }
        }
        self.boundary()?;
        self.check_recovered(&recovered, cx)?;
        self.tell_recovered(&recovered, cx);
        let seed = cx.dice.draw(Site::ReplicaSeed, self.id);
        let now = self.clock.now(cx.at);
        let mut out = Vec::new();
        let replica = Replica::open(self.settings.replica.clone(), &recovered, seed, now, &mut out);
        let serves = replica.standing().clients == ClientService::Open;
        self.server = Some(Box::new(Server {
            replica,
            tree: recovered.tree,
            conns: Conns::default(),
            watches: Shards::new(),
            links: BTreeMap::new(),
            inputs: VecDeque::new(),
            outbox: Vec::new(),
            told: None,
            unsent: BytesMut::with_capacity(super::links::ROOM),
            unread: Vec::new(),
            is_stepping: true,
            is_listening: false,
            serves,
            serves_readers: false,
            planner: LogPlanner::new(self.settings.disk),
            commands: VecDeque::new(),
            batch: Batch::default(),
            applying: VecDeque::new(),
            reload: None,
            log_reads: VecDeque::new(),
            snapshot: None,
            armed: None,
            heard: BTreeMap::new(),
            started: now.mono,
        }));
        self.show_replica(cx)?;
        self.carry_out(&mut out, cx)?;
        self.server().is_stepping = false;
        if let Some(input) = self.server().inputs.pop_front() {
            self.input(input, cx)?;
        }
        cx.effects.push(Effect::Schedule(cx.at.plus(IDLE_CHECK_NS), NodeEvent::Idle));
        if let Some((every, _)) = self.settings.purge {
            cx.effects.push(Effect::Schedule(cx.at.plus(every / 2), NodeEvent::Purge));
        }
        self.arm(cx);
        Ok(())
    }

    fn tell_recovered(&self, recovered: &Recovered, cx: &mut Context<'_>) {
        let what = format!("starts at {} with {} znodes", recovered.last_zxid, recovered.tree.node_count());
        cx.trace.headline(cx.at, &self.name(), &what);
        for event in &recovered.events {
            let what = match event {
                Event::TornTailDropped { file, offset } => {
                    cx.trace.mark("torn-tail-dropped");
                    format!("drops the torn end of {file} from byte {offset} on")
                }
                Event::SnapshotSkipped { file, why } => {
                    cx.trace.mark("snapshot-skipped");
                    format!("passes over {file}: {why}")
                }
                other => format!("{other:?}"),
            };
            cx.trace.headline(cx.at, &self.name(), &what);
        }
    }

    /// I18, I20, I23, I24: what came back is what was promised, and comes back the same from any snapshot.
    fn check_recovered(&mut self, recovered: &Recovered, cx: &mut Context<'_>) -> Result<(), Stop> {
        if self.disk.is_destroyed() && recovered.last_zxid < self.ledger.promised() {
            let what = format!(
                "serves at {} though {} was promised: damage must be refused",
                recovered.last_zxid,
                self.ledger.promised()
            );
            return Err(Violation { invariant: Invariant::I18, what }.into());
        }
        for event in &recovered.events {
            if let Event::DigestMismatch { zxid } = event {
                let what = format!("recovery finds another digest at {zxid}");
                return Err(Violation { invariant: Invariant::I20, what }.into());
            }
        }
        if let Some(ensemble) = &mut *cx.ensemble {
            ensemble.booted(self.id, recovered.last_zxid, recovered.epochs)?;
            cx.commits.compare_committed(&recovered.tree)?;
        } else {
            for txn in self.ledger.recovered(&recovered.tree)? {
                commit(&txn, cx.commits, cx.histories)?;
                cx.trace.mark("unacknowledged-write-recovered");
            }
            cx.commits.compare(&recovered.tree)?;
        }
        self.check_other_snapshots(recovered)
    }

    fn check_other_snapshots(&self, recovered: &Recovered) -> Result<(), Stop> {
        let mut disk = self.disk.clone();
        disk.faults = Default::default();
        let again = |disk: &mut Disk| recovery::recover(disk, &self.settings.disk);
        let differs = |what: String| Stop::from(Violation { invariant: Invariant::I24, what });
        let second =
            again(&mut disk).map_err(|fault| differs(format!("a second recovery refuses: {fault}")))?;
        if (second.last_zxid, second.tree.digest()) != (recovered.last_zxid, recovered.tree.digest()) {
            return Err(differs(format!("a second recovery ends at {}", second.last_zxid)));
        }
        if !self.disk.is_destroyed() && disk.drop_newest_snapshot() > 0 {
            let older =
                again(&mut disk).map_err(|fault| differs(format!("from an older snapshot: {fault}")))?;
            if (older.last_zxid, older.tree.digest()) != (recovered.last_zxid, recovered.tree.digest()) {
                return Err(differs(format!(
                    "from an older snapshot recovery ends at {} with digest {:#x}, not {} with {:#x}",
                    older.last_zxid,
                    older.tree.digest(),
                    recovered.last_zxid,
                    recovered.tree.digest()
                )));
            }
        }
        Ok(())
    }
}
