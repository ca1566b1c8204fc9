//! Several replicas, their disks, and the wires between them. Everything that could happen next is a choice of whoever
//! drives the world: a text that runs it until it is quiet, or dice.

#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part

pub(crate) mod check;
mod clients;
pub(crate) mod disk;
pub(crate) mod puppets;
pub(crate) mod show;
pub(crate) mod wires;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use zk_core::action::{Action, CloseReason, Commit, ConfigNode, SessionAnswer, SessionScope};
use zk_core::address::HostPort;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::ElectionSettings;
use zk_core::election::links::{self, AfterGreeting, LinkCommand, LinkSettings};
use zk_core::election::port::PortInput;
use zk_core::error::DiskFault;
use zk_core::event::Event;
use zk_core::ids::{ConnId, LinkId, SessionId, Sid, Zxid};
use zk_core::input::{Input, LinkEvent};
use zk_core::quorum::Membership;
use zk_core::replica::{
    ClientService, Ensemble, LocalSessions, LogShare, Outbox, ReaperSettings, Reconfig, Replica,
    ReplicaConfig, RoleKind, SyncChoice, SyncReads,
};
use zk_core::time::{Mono, Now, WallMs};
use zk_core::tree::{Changes, Tree, TxnResult};
use zk_core::wire::quorum::QuorumPacket;
use zk_core::wire::txn::TxnBody;

use check::Ledger;
use disk::{Disk, Image};
use wires::{Dial, End, Item, Name, Wire};

/// What a text may set.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) window_bytes: usize,
    pub(crate) log_share: LogShare,
    pub(crate) sync_choice: SyncChoice,
    pub(crate) sync_reads: SyncReads,
    pub(crate) backlog_max: usize,
    pub(crate) held_max: usize,
    pub(crate) snap_count: u32,
    pub(crate) leader_serves: ClientService,
    /// Anybody may change the members.
    pub(crate) reconfig: Reconfig,
    pub(crate) local_sessions: LocalSessions,
    pub(crate) read_only_after_ms: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_bytes: 1 << 20,
            log_share: LogShare::Any,
            sync_choice: SyncChoice::Least,
            sync_reads: SyncReads::Confirmed,
            backlog_max: 1 << 20,
            held_max: 1 << 20,
            snap_count: 100_000,
            leader_serves: ClientService::Open,
            reconfig: Reconfig::Disabled,
            local_sessions: LocalSessions::Off,
            read_only_after_ms: None,
        }
    }
}

pub(crate) struct Server {
    pub(crate) up: Option<Up>,
    pub(crate) disk: Disk,
    pub(crate) starts: u64,
    /// As its files have it; `None` until somebody has written them.
    pub(crate) membership: Option<Arc<Membership>>,
    /// The disk waits for a word.
    pub(crate) disk_held: bool,
    /// So does the tree.
    pub(crate) apply_held: bool,
}

pub(crate) struct Up {
    pub(crate) replica: Replica,
    pub(crate) tree: Tree,
    pub(crate) applying: VecDeque<Job>,
    /// Inputs that come of what was asked.
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) listening: bool,
    /// A background snapshot.
    pub(crate) snapshot: Option<Tree>,
    pub(crate) conns: BTreeMap<ConnId, Option<SessionId>>,
}

pub(crate) enum Job {
    Commits(Vec<Commit>),
    Adopt(Box<Tree>),
    Config(ConfigNode),
}

/// Something that could happen next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    Dial(usize),
    Deliver(usize, usize),
    Disk(Sid),
    Apply(Sid),
    Snapshot(Sid),
}

pub(crate) struct World {
    /// As it began.
    pub(crate) config: Arc<QuorumConfig>,
    /// As of the last reconfig that is committed.
    pub(crate) ruling: Arc<QuorumConfig>,
    pub(crate) options: Options,
    pub(crate) servers: BTreeMap<Sid, Server>,
    /// Played by the text.
    pub(crate) puppets: BTreeSet<Sid>,
    /// What was said to them on the quorum port: by whom, to whom.
    pub(crate) heard: Vec<(Sid, Sid, QuorumPacket)>,
    /// Digests of a recorded history mean nothing here.
    pub(crate) history_is_made_up: bool,
    /// Everybody's wall clock, if it does not go with the time of the world. ms.
    pub(crate) wall_ms: Option<i64>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) dials: Vec<Dial>,
    pub(crate) cut: BTreeSet<(Sid, Sid)>,
    /// Directions in which nothing is delivered at the moment.
    pub(crate) held: BTreeSet<(Sid, Sid)>,
    pub(crate) now: Mono,
    pub(crate) ledger: Ledger,
    accepted: u64,
    pub(crate) sessions: Vec<SessionId>,
    xid: i32,
    /// Creates that were answered: they must be there for ever.
    pub(crate) answered: BTreeMap<String, Zxid>,
    /// Shown: pings, and the election.
    pub(crate) verbose: bool,
    pub(crate) said: String,
}

pub(crate) const TICK_MS: u32 = 1000;

/// `MUSEUM=P10` plants that bug in every server.
#[cfg(feature = "museum")]
fn planted() -> Option<zk_core::museum::Exhibit> {
    zk_core::museum::Exhibit::parse(&std::env::var("MUSEUM").ok()?)
}

fn address(sid: Sid) -> HostPort {
    HostPort { host: format!("h{sid}"), port: 2 }
}

impl World {
    pub(crate) fn new(config: QuorumConfig, options: Options) -> Self {
        Self {
            config: Arc::new(config.clone()),
            ruling: Arc::new(config),
            options,
            servers: BTreeMap::new(),
            puppets: BTreeSet::new(),
            heard: vec![],
            wall_ms: None,
            history_is_made_up: false,
            wires: vec![],
            dials: vec![],
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            now: Mono::from_millis(0),
            ledger: Ledger::default(),
            accepted: 0,
            sessions: vec![],
            xid: 0,
            answered: BTreeMap::new(),
            verbose: false,
            said: String::new(),
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.said, "{line}").unwrap();
    }

    fn clock(&self) -> Now {
        Now { mono: self.now, wall: WallMs(self.wall_ms.unwrap_or_else(|| self.now.millis() as i64)) }
    }

    fn replica_config(&self, sid: Sid) -> ReplicaConfig {
        let options = &self.options;
        let written = self.servers.get(&sid).and_then(|server| server.membership.clone());
        let ensemble = Ensemble {
            membership: written.unwrap_or_else(|| Arc::new(Membership::settled(self.config.clone()))),
            election: ElectionSettings {
                #[cfg(feature = "museum")]
                museum: planted(),
                ..ElectionSettings::default()
            },
            links: LinkSettings {
                addresses: vec![address(sid)],
                dial_timeout_ms: 5000,
                hello_timeout_ms: 5000,
            },
            init_limit: 10,
            sync_limit: 5,
            connect_limit: None,
            window_count: 500,
            window_bytes: options.window_bytes,
            log_share: options.log_share,
            sync_choice: options.sync_choice,
            sync_reads: options.sync_reads,
            backlog_max: options.backlog_max,
            held_max: options.held_max,
            leader_serves: options.leader_serves,
            local_sessions: options.local_sessions,
            read_only_after_ms: options.read_only_after_ms,
            syncs_max: zk_core::replica::SyncsMax::default(),
            observer_delay_ms: 0,
        };
        ReplicaConfig {
            sid,
            tick_ms: TICK_MS,
            snap_count: options.snap_count,
            snap_size_limit: 0,
            digest: true,
            skip_acl: options.reconfig.is_enabled(),
            enforce_quota: false,
            reaper: ReaperSettings::JAVAS,
            outstanding_max: 1000,
            reconfig: options.reconfig,
            ensemble: Some(ensemble),
            #[cfg(feature = "museum")]
            museum: planted(),
        }
    }

    /// A server that does not run yet, and its disk.
    pub(crate) fn place_disk(&mut self, sid: Sid, disk: Disk) {
        self.servers.insert(
            sid,
            Server { up: None, disk, starts: 0, membership: None, disk_held: false, apply_held: false },
        );
    }

    /// Starts a server from what its disk holds.
    pub(crate) fn start(&mut self, sid: Sid) {
        let config = self.replica_config(sid);
        if !self.servers.contains_key(&sid) {
            self.place_disk(sid, Disk::default());
        }
        let server = self.servers.get_mut(&sid).unwrap();
        assert!(server.up.is_none(), "server {sid} runs");
        server.starts += 1;
        let recovered = server.disk.image.recover();
        let tree = &recovered.tree;
        self.ledger.is_as_committed(tree.last_zxid(), tree.digest(), &format!("{sid} recovers a tree"));
        let seed = server.starts * 1000 + sid.0 as u64;
        let now = Now { mono: self.now, wall: WallMs(self.now.millis() as i64) };
        let mut out = Outbox::new();
        let replica = Replica::open(config, &recovered, seed, now, &mut out);
        server.up = Some(Up {
            replica,
            tree: recovered.tree,
            applying: VecDeque::new(),
            inputs: VecDeque::new(),
            listening: false,
            snapshot: None,
            conns: BTreeMap::new(),
        });
        self.carry_out(sid, out);
    }

    /// Ends a process; of what its disk was told and has not reported, `kept` commands are there nevertheless.
    pub(crate) fn crash(&mut self, sid: Sid, kept: usize) {
        let server = self.servers.get_mut(&sid).unwrap();
        server.up = None;
        server.disk.power_cut(kept);
        server.disk_held = false;
        server.apply_held = false;
        self.dials.retain(|dial| dial.from != sid);
        for wire in &mut self.wires {
            for at in 0..2 {
                if wire.ends[at].sid == sid {
                    wire.close(at);
                }
            }
        }
    }

    pub(crate) fn up(&mut self, sid: Sid) -> &mut Up {
        self.servers.get_mut(&sid).unwrap().up.as_mut().unwrap_or_else(|| panic!("server {sid} is down"))
    }

    pub(crate) fn replica(&self, sid: Sid) -> &Replica {
        &self.servers[&sid].up.as_ref().unwrap_or_else(|| panic!("server {sid} is down")).replica
    }

    pub(crate) fn running(&self) -> Vec<Sid> {
        self.servers.iter().filter(|(_, server)| server.up.is_some()).map(|(sid, _)| *sid).collect()
    }

    pub(crate) fn step(&mut self, sid: Sid, input: Input) {
        if self.puppets.contains(&sid) {
            return;
        }
        let now = self.clock();
        let mut out = Outbox::new();
        let up = self.up(sid);
        up.replica.step(now, input, &up.tree, &mut out);
        self.carry_out(sid, out);
        while let Some(up) = self.servers.get_mut(&sid).unwrap().up.as_mut()
            && let Some(input) = up.inputs.pop_front()
        {
            let mut out = Outbox::new();
            up.replica.step(now, input, &up.tree, &mut out);
            self.carry_out(sid, out);
        }
    }

    /// What can happen now.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let mut choices = vec![];
        let open = |a: Sid, b: Sid| !self.held.contains(&(a, b));
        for (i, dial) in self.dials.iter().enumerate() {
            if open(dial.from, dial.to) {
                choices.push(Choice::Dial(i));
            }
        }
        for (i, wire) in self.wires.iter().enumerate() {
            for at in 0..2 {
                if !wire.queues[at].is_empty() && open(wire.ends[1 - at].sid, wire.ends[at].sid) {
                    choices.push(Choice::Deliver(i, at));
                }
            }
        }
        for (sid, server) in &self.servers {
            let Some(up) = &server.up else { continue };
            if !server.disk_held && !server.disk.queue.is_empty() {
                choices.push(Choice::Disk(*sid));
            }
            if !server.apply_held && !up.applying.is_empty() {
                choices.push(Choice::Apply(*sid));
            }
            if up.snapshot.is_some() {
                choices.push(Choice::Snapshot(*sid));
            }
        }
        choices
    }

    pub(crate) fn choose(&mut self, choice: Choice) {
        match choice {
            Choice::Dial(i) => self.deliver_dial(i),
            Choice::Deliver(wire, at) => self.deliver(wire, at),
            Choice::Disk(sid) => self.disk_works(sid),
            Choice::Apply(sid) => self.apply(sid),
            Choice::Snapshot(sid) => {
                let tree = self.up(sid).snapshot.take().unwrap();
                let zxid = tree.last_zxid();
                self.servers.get_mut(&sid).unwrap().disk.image.snapshots.insert(zxid, tree);
                self.step(sid, Input::SnapshotDone { zxid });
            }
        }
    }

    /// Lets everything happen that can happen without time passing.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            let Some(choice) = self.choices().first().copied() else { return };
            self.choose(choice);
        }
        let last = self.said.len().saturating_sub(2000);
        panic!("it does not come to rest: {:?} {}", self.choices(), &self.said[last..]);
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = Mono::from_millis(self.now.millis() + ms);
        self.run();
        let mut idle = 0;
        while let Some(next) = self.next_timer().filter(|next| *next <= until) {
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 1000, "a deadline that a tick does not move: {}", self.said);
            self.now = self.now.max(next);
            self.tick();
            self.run();
        }
        self.now = until;
    }

    pub(crate) fn next_timer(&self) -> Option<Mono> {
        self.servers.values().filter_map(|s| s.up.as_ref()?.replica.deadline()).min()
    }

    /// Ticks whoever wants one now.
    pub(crate) fn tick(&mut self) {
        for sid in self.running() {
            if self.replica(sid).deadline().is_some_and(|deadline| deadline <= self.now) {
                self.step(sid, Input::Tick);
            }
        }
    }

    /// Who serves as leader.
    pub(crate) fn leader(&self) -> Option<Sid> {
        let leads = |sid: &Sid| {
            let standing = self.replica(*sid).standing();
            standing.role == RoleKind::Leading && standing.phase == zk_core::replica::Phase::Broadcast
        };
        self.running().into_iter().find(leads)
    }

    fn disk_works(&mut self, sid: Sid) {
        let disk = &mut self.servers.get_mut(&sid).unwrap().disk;
        let token = disk.advance();
        self.check_durability();
        if let Some(token) = token {
            self.step(sid, Input::Durable(token));
        }
    }

    fn check_durability(&self) {
        if !self.puppets.is_empty() {
            // Nobody knows what is on their disks.
            return;
        }
        let images = self.servers.iter().map(|(sid, server)| (*sid, &server.disk.image)).collect();
        let ruling = Membership::settled(self.ruling.clone());
        let quorum = |sids: &BTreeSet<Sid>| ruling.quorums().contains_quorum(|sid| sids.contains(&sid));
        self.ledger.is_durable(self.ledger.newest(3), &images, quorum);
    }

    fn apply(&mut self, sid: Sid) {
        let Some(job) = self.up(sid).applying.pop_front() else { return };
        match job {
            Job::Commits(commits) => {
                for commit in commits {
                    self.apply_commit(sid, &commit);
                }
            }
            Job::Adopt(tree) => {
                self.ledger.is_as_committed(tree.last_zxid(), tree.digest(), &format!("{sid} adopts a tree"));
                self.up(sid).tree = *tree;
            }
            Job::Config(ConfigNode { text, version, time }) => {
                self.up(sid).tree.set_config(&text, version, time);
                return;
            }
        }
        let applied = self.up(sid).tree.last_zxid();
        self.step(sid, Input::Applied(applied));
    }

    fn apply_commit(&mut self, sid: Sid, commit: &Commit) {
        let (txn, origin, mode) = match commit {
            Commit::Sync { conn } => {
                self.say(&format!("{}: synced", show::conn(*conn)));
                return;
            }
            Commit::Refused { conn, error } => {
                self.say(&format!("{}: refused, {error:?}", show::conn(*conn)));
                return;
            }
            Commit::Closed { conn } => {
                self.say(&format!("{}: session closed", show::conn(*conn)));
                self.up(sid).conns.remove(conn);
                return;
            }
            Commit::Txn { txn, origin, mode } => (txn, origin, mode),
        };
        let up = self.up(sid);
        let before = up.tree.last_zxid();
        let result = up.tree.apply(txn, *mode, &mut Changes::new());
        let digest = up.tree.digest();
        let zxid = txn.header.zxid;
        let new = self.ledger.applied(zxid, before, txn.to_bytes(), digest);
        if new {
            self.check_durability();
            if let TxnBody::Reconfig { data, .. } = &txn.body {
                let text = std::str::from_utf8(data.as_ref().unwrap()).unwrap();
                self.ruling = Arc::new(QuorumConfig::parse(text).unwrap());
                assert_eq!(self.ruling.version(), zxid, "a config is named by its reconfig");
                // So a reconfig needs both.
                self.check_durability();
            }
        }
        if let Some(conn) = origin {
            if result == TxnResult::SessionCreated {
                self.up(sid).conns.insert(*conn, Some(txn.header.session));
            }
            if let TxnResult::Created { path, .. } = &result {
                self.answered.insert(path.to_string(), zxid);
            }
            let said = show::result(&result);
            self.say(&format!("{}: {zxid} {said}", show::conn(*conn)));
        }
    }

    fn carry_out(&mut self, sid: Sid, out: Outbox) {
        for action in out {
            self.act(sid, action);
        }
    }

    fn act(&mut self, sid: Sid, action: Action) {
        match action {
            Action::Disk(command) => self.servers.get_mut(&sid).unwrap().disk.queue.push_back(command),
            Action::Apply(commits) => self.up(sid).applying.push_back(Job::Commits(commits)),
            Action::Adopt(tree) => self.up(sid).applying.push_back(Job::Adopt(tree)),
            Action::ConfigNode(node) => self.up(sid).applying.push_back(Job::Config(node)),
            Action::Membership(membership) => {
                let said = show::membership(&membership);
                self.servers.get_mut(&sid).unwrap().membership = Some(membership);
                self.say(&format!("{sid}: {said}"));
            }
            Action::Snapshot => {
                let up = self.up(sid);
                up.snapshot = Some(up.tree.view());
            }
            Action::Reload { to } => {
                let server = self.servers.get_mut(&sid).unwrap();
                assert!(server.disk.queue.is_empty(), "a reload while the disk has work");
                let reloaded: Result<_, DiskFault> = server.disk.image.recover_to(to).map(Box::new);
                server.up.as_mut().unwrap().inputs.push_back(Input::Reloaded(reloaded));
            }
            Action::ReadLog { query, from, to, limit } => {
                let server = self.servers.get_mut(&sid).unwrap();
                let part = server.disk.image.read_log(from, to, limit);
                server.up.as_mut().unwrap().inputs.push_back(Input::LogPart { query, part });
            }
            Action::Election { link, command } => self.election(sid, link, command),
            Action::Listen => self.up(sid).listening = true,
            Action::Unlisten => self.up(sid).listening = false,
            Action::Dial { sid: to, link } => {
                self.dials.push(Dial { from: sid, name: Name::Quorum(link), to });
            }
            Action::Send { link, packet } => {
                self.check_promise(sid, &packet);
                self.put(sid, Name::Quorum(link), Item::Packet(packet));
            }
            Action::SendView { link, view } => self.put(sid, Name::Quorum(link), Item::View(view)),
            Action::Hang { link, why } => {
                self.say(&format!("{sid}: hangs up {link}, {why:?}"));
                self.close(sid, Name::Quorum(link));
            }
            Action::Role(standing) => {
                self.say(&format!("{sid}: {}", show::standing(&standing)));
                if standing.clients == ClientService::Closed {
                    self.up(sid).conns.clear();
                }
            }
            Action::SessionExpired { session } => {
                self.up(sid).conns.retain(|_, served| *served != Some(session));
            }
            Action::SessionMoved { session } => {
                let name = self.session_name(session);
                self.say(&format!("{sid}: {name} has moved"));
                self.up(sid).conns.retain(|_, served| *served != Some(session));
            }
            Action::Session { conn, answer } => {
                let said = match answer {
                    SessionAnswer::Attached { session, scope, .. } => {
                        self.up(sid).conns.insert(conn, Some(session));
                        let name = self.session_name(session);
                        match scope {
                            SessionScope::Global => format!("attached to {name}"),
                            scope => format!("attached to {name}, {scope:?}"),
                        }
                    }
                    SessionAnswer::Invalid => "invalid session".into(),
                };
                self.say(&format!("{}: {said}", show::conn(conn)));
            }
            Action::Close { conn, why } => {
                self.up(sid).conns.remove(&conn);
                if why != CloseReason::NotServing || self.verbose {
                    self.say(&format!("{}: closed, {why:?}", show::conn(conn)));
                }
            }
            Action::Event(event) => self.event(sid, &event),
            Action::Fatal(why) => panic!("server {sid}: {why}"),
        }
    }

    fn event(&mut self, sid: Sid, event: &Event) {
        match event {
            Event::EpochEstablished { epoch, .. }
                if self.replica(sid).standing().role == RoleKind::Leading =>
            {
                self.ledger.leads(*epoch, sid);
            }
            Event::DigestMismatch { zxid } if !self.history_is_made_up => {
                panic!("I20: server {sid} differs at {zxid}")
            }
            _ => {}
        }
        if let Event::SessionCreating { session, .. } | Event::LocalSessionBegun { session, .. } = event {
            self.sessions.push(*session);
        }
        if let Some(said) = show::event(event, |session| self.session_name(session)) {
            self.say(&format!("{sid}: {said}"));
        }
    }

    /// I17: nothing is said that a power cut would make untrue.
    fn check_promise(&self, sid: Sid, packet: &QuorumPacket) {
        let server = &self.servers[&sid];
        let image: &Image = &server.disk.image;
        let facts = server.up.as_ref().unwrap().replica.durable_facts().unwrap();
        assert!(facts.zxid <= image.last().unwrap_or_default(), "{facts:?} is more than is on the disk");
        match packet {
            QuorumPacket::Ack { zxid } if zxid.counter() > 0 => {
                assert!(image.log.iter().any(|r| r.zxid == *zxid), "I17: {sid} acknowledges {zxid}");
            }
            QuorumPacket::Ack { zxid } => {
                assert_eq!(image.current, Some(zxid.epoch()), "I17: {sid} acknowledges NEWLEADER {zxid}");
            }
            QuorumPacket::AckEpoch { current_epoch, .. } => {
                let said = server.up.as_ref().unwrap().replica.epochs().unwrap();
                let found = image.recover().epochs.unwrap();
                assert_eq!(found.accepted, said.accepted, "I17: {sid} acknowledges the epoch");
                assert!(current_epoch.is_none_or(|epoch| found.current == epoch), "I17: {found:?}");
            }
            _ => {}
        }
    }

    pub(crate) fn session_name(&self, session: SessionId) -> String {
        let at = self.sessions.iter().position(|s| *s == session);
        at.map_or_else(|| format!("{session}"), |n| format!("s{}", n + 1))
    }
}

/// Wires.
impl World {
    fn election(&mut self, sid: Sid, link: links::LinkId, command: LinkCommand) {
        let name = Name::Election(link);
        match command {
            LinkCommand::Dial { sid: to, .. } => self.dials.push(Dial { from: sid, name, to }),
            LinkCommand::Greet { hello, then } => {
                self.put(sid, name, Item::Hello(hello));
                if then == AfterGreeting::HangUp {
                    self.close(sid, name);
                }
            }
            LinkCommand::Send(notification) => {
                self.put(sid, name, Item::Vote(notification));
                let event = links::LinkEvent::Sent;
                self.up(sid).inputs.push_back(Input::Election(PortInput::Link { link, event }));
            }
            LinkCommand::HangUp => self.close(sid, name),
        }
    }

    fn find(&self, sid: Sid, name: Name) -> Option<(usize, usize)> {
        let mut found = self.wires.iter().enumerate();
        found.find_map(|(i, wire)| wire.end_of(sid, name).filter(|at| wire.ends[*at].open).map(|at| (i, at)))
    }

    fn put(&mut self, sid: Sid, name: Name, item: Item) {
        if let Some((wire, at)) = self.find(sid, name) {
            self.wires[wire].put(at, item);
        }
    }

    fn close(&mut self, sid: Sid, name: Name) {
        self.dials.retain(|dial| (dial.from, dial.name) != (sid, name));
        if let Some((wire, at)) = self.find(sid, name) {
            self.wires[wire].close(at);
        }
    }

    fn deliver_dial(&mut self, i: usize) {
        let Dial { from, name, to } = self.dials.remove(i);
        let cut = self.cut.contains(&(from.min(to), from.max(to)));
        let answers = self.servers.get(&to).and_then(|server| server.up.as_ref());
        let accepts = self.puppets.contains(&to)
            || answers.is_some_and(|up| match name {
                Name::Election(_) => true,
                Name::Quorum(_) => up.listening,
            });
        if cut || !accepts {
            let failed = match name {
                Name::Election(link) => {
                    Input::Election(PortInput::Link { link, event: links::LinkEvent::Failed })
                }
                Name::Quorum(link) => Input::Link { link, event: LinkEvent::DialFailed },
            };
            return self.step(from, failed);
        }
        self.accepted += 1;
        let (theirs, here, there) = match name {
            Name::Election(link) => {
                let accepted = links::LinkId::Accepted(self.accepted);
                let event = |link, event| Input::Election(PortInput::Link { link, event });
                let here = event(link, links::LinkEvent::Connected);
                (Name::Election(accepted), here, event(accepted, links::LinkEvent::Accepted))
            }
            Name::Quorum(link) => {
                let accepted = LinkId::Accepted(self.accepted);
                let event = |link| Input::Link { link, event: LinkEvent::Up };
                (Name::Quorum(accepted), event(link), event(accepted))
            }
        };
        let end = |sid, name| End { sid, name, open: true };
        self.wires.retain(|wire| wire.ends.iter().any(|end| end.open));
        self.wires.push(Wire::new([end(from, name), end(to, theirs)]));
        self.step(to, there);
        self.step(from, here);
    }

    fn deliver(&mut self, wire: usize, at: usize) {
        let Some(item) = self.wires[wire].queues[at].pop_front() else { return };
        let ends = self.wires[wire].ends;
        let (from, to, name) = (ends[1 - at].sid, ends[at].sid, ends[at].name);
        if !ends[at].open {
            return;
        }
        self.show_item(from, to, name, &item);
        match name {
            Name::Election(link) => {
                let event = |event| Input::Election(PortInput::Link { link, event });
                let input = match item {
                    Item::Hello(hello) => event(links::LinkEvent::Heard(hello)),
                    Item::Vote(notification) => {
                        Input::Election(PortInput::Notification { link, notification })
                    }
                    Item::Fin => {
                        self.wires[wire].close(at);
                        event(links::LinkEvent::Closed)
                    }
                    Item::Packet(_) | Item::View(_) => panic!("{item:?} on the election port"),
                };
                self.step(to, input);
            }
            Name::Quorum(link) => {
                let event = |event| Input::Link { link, event };
                match item {
                    Item::Packet(packet) if self.puppets.contains(&to) => self.heard.push((from, to, packet)),
                    Item::Packet(packet) => self.step(to, event(LinkEvent::Packet(packet))),
                    Item::View(view) => {
                        let zxid = view.last_zxid();
                        self.step(to, event(LinkEvent::Packet(QuorumPacket::Snap { zxid })));
                        if self.servers.get(&to).is_some_and(|server| server.up.is_some()) {
                            self.step(to, event(LinkEvent::Snapshot(view)));
                        }
                    }
                    Item::Fin => {
                        self.wires[wire].close(at);
                        self.step(to, event(LinkEvent::Down("closed".into())));
                    }
                    Item::Hello(_) | Item::Vote(_) => panic!("{item:?} on the quorum port"),
                }
            }
        }
    }

    fn show_item(&mut self, from: Sid, to: Sid, name: Name, item: &Item) {
        let is_election = matches!(name, Name::Election(_));
        if let Some(said) = show::item(item, is_election, self.verbose, |s| self.session_name(s)) {
            self.say(&format!("{from}>{to}: {said}"));
        }
    }

    /// What is on its way in this direction is lost.
    pub(crate) fn lose(&mut self, from: Sid, to: Sid) {
        for wire in &mut self.wires {
            for at in 0..2 {
                if wire.ends[at].sid == to && wire.ends[1 - at].sid == from {
                    wire.queues[at].retain(|item| matches!(item, Item::Fin));
                }
            }
        }
    }

    /// Breaks every connection between two servers, and lets none come about.
    pub(crate) fn cut(&mut self, a: Sid, b: Sid) {
        self.cut.insert((a.min(b), a.max(b)));
        for wire in &mut self.wires {
            if [wire.ends[0].sid, wire.ends[1].sid] == [a, b]
                || [wire.ends[0].sid, wire.ends[1].sid] == [b, a]
            {
                wire.reset();
            }
        }
    }

    pub(crate) fn heal(&mut self, a: Sid, b: Sid) {
        self.cut.remove(&(a.min(b), a.max(b)));
    }
}
