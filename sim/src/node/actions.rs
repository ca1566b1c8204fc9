//! Inputs into the replica, and what it wants done, carried out in order.

use std::sync::Arc;

use zk_core::action::{Action, CloseReason, Commit, DiskCommand, SessionAnswer, SessionScope};
use zk_core::election::port::PortInput;
use zk_core::event::Event;
use zk_core::front::{self, Connections, Intake};
use zk_core::ids::{ConnId, SessionId};
use zk_core::input::{AdminCommand, Input};
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, Standing};
use zk_core::time::Mono;
use zk_core::wire::txn::Txn;

use super::{Context, Effect, Job, Node, NodeEvent, Stop};
use crate::dice::Site;
use crate::oracle::{Commits, Histories, Invariant, Violation};
use crate::wires::Name;

impl Node {
    /// Steps the replica. What comes of it while actions are carried out waits until they are.
    pub(super) fn input(&mut self, input: Input, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.server().inputs.push_back(input);
        if std::mem::replace(&mut self.server().is_stepping, true) {
            return Ok(());
        }
        while let Some(input) = self.server().inputs.pop_front() {
            let now = self.clock.now(cx.at);
            self.show_input(now.mono, &input, cx)?;
            let server = self.server();
            let mut out = std::mem::take(&mut server.outbox);
            server.replica.step(now, input, &server.tree, &mut out);
            self.show_replica(cx)?;
            self.carry_out(&mut out, cx)?;
            self.server().outbox = out;
        }
        self.server().is_stepping = false;
        while let Some(conn) = self.server().unread.pop() {
            self.read_on(conn, cx)?;
        }
        Ok(())
    }

    /// An operator's command.
    pub fn admin(&mut self, command: AdminCommand, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.input(Input::Admin(command), cx)
    }

    pub(super) fn carry_out(&mut self, actions: &mut Vec<Action>, cx: &mut Context<'_>) -> Result<(), Stop> {
        for action in actions.drain(..) {
            self.boundary()?;
            self.show_action(&action, cx)?;
            self.act(action, cx)?;
        }
        Ok(())
    }

    /// The oracle sees what goes into the replica of a member.
    fn show_input(&self, now: Mono, input: &Input, cx: &mut Context<'_>) -> Result<(), Violation> {
        let Some(ensemble) = &mut *cx.ensemble else { return Ok(()) };
        let name = match input {
            Input::Link { link, .. } => Some(Name::Quorum(*link)),
            Input::Election(PortInput::Link { link, .. } | PortInput::Notification { link, .. }) => {
                Some(Name::Election(*link))
            }
            _ => None,
        };
        let peer = name.and_then(|name| cx.wires.peer(self.id, name));
        ensemble.input(self.id, peer, now, input)
    }

    /// And what has come of it.
    pub(super) fn show_replica(&self, cx: &mut Context<'_>) -> Result<(), Violation> {
        match (&mut *cx.ensemble, &self.server) {
            (Some(ensemble), Some(server)) => ensemble.stepped(self.id, &server.replica),
            _ => Ok(()),
        }
    }

    /// And what is to be done. What is committed by that is judged before anything else happens.
    fn show_action(&self, action: &Action, cx: &mut Context<'_>) -> Result<(), Violation> {
        let Some(ensemble) = &mut *cx.ensemble else { return Ok(()) };
        ensemble.action(self.id, action)?;
        for txn in ensemble.take_committed() {
            commit(&txn, cx.commits, cx.histories)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action, cx: &mut Context<'_>) -> Result<(), Stop> {
        match action {
            Action::Disk(command) => self.order(command, cx)?,
            Action::Apply(commits) => self.promise_applied(&commits, cx)?,
            Action::Adopt(tree) => self.enqueue(Job::Adopt(tree), cx),
            Action::ConfigNode(node) => self.enqueue(Job::Config(node), cx),
            Action::Membership(membership) => self.write_down(membership),
            Action::Snapshot => self.begin_snapshot(cx),
            Action::Reload { to } => {
                self.server().reload = Some(to);
                self.schedule_reading(cx);
            }
            Action::ReadLog { query, from, to, limit } => {
                self.server().log_reads.push_back((query, from, to, limit));
                self.schedule_reading(cx);
            }
            Action::Session { conn, answer } => self.answer_session(conn, answer, cx)?,
            Action::SessionExpired { session } => {
                if let Some(conn) = self.server().conns.conn_of(session) {
                    self.close(conn, CloseReason::SessionExpired, cx)?;
                }
            }
            Action::SessionMoved { session } => {
                if let Some(conn) = self.server().conns.conn_of(session) {
                    self.close(conn, CloseReason::SessionMoved, cx)?;
                }
            }
            Action::Close { conn, why } => self.close(conn, why, cx)?,
            Action::Election { link, command } => self.election_link(link, command, cx)?,
            Action::Listen => self.server().is_listening = true,
            Action::Unlisten => self.server().is_listening = false,
            Action::Dial { sid, link } => self.dial(sid, link, cx),
            Action::Send { link, packet } => self.send_packet(link, &packet, cx),
            Action::SendView { link, view } => self.send_view(link, &view, cx),
            Action::Hang { link, why } => self.hang(link, &why, cx),
            Action::Role(standing) => self.stand(standing, cx)?,
            Action::Event(event) => self.note(&event, cx)?,
            Action::Fatal(reason) => return Err(Stop::Fatal(reason)),
        }
        Ok(())
    }

    /// The files beside the data: whole, old or new, as renaming leaves them.
    fn write_down(&mut self, membership: Arc<Membership>) {
        if let Some(ensemble) = &mut self.settings.replica.ensemble {
            ensemble.membership = membership;
        }
    }

    /// To the disk, behind everything ordered before.
    fn order(&mut self, command: DiskCommand, cx: &mut Context<'_>) -> Result<(), Stop> {
        if let DiskCommand::Append { records, .. } = &command
            && !self.is_member()
        {
            self.ledger.log(records)?;
        }
        self.server().commands.push_back(command);
        self.pump_disk(cx)
    }

    /// Standalone, what is applied is durable here; in an ensemble a quorum has it, of which this server may be no part.
    fn promise_applied(&mut self, commits: &[Commit], cx: &mut Context<'_>) -> Result<(), Stop> {
        if !self.is_member() {
            for commit in commits {
                if let Commit::Txn { txn, .. } = commit {
                    self.ledger.promise(txn.header.zxid)?;
                }
            }
        }
        self.enqueue(Job::Commits(commits.to_vec()), cx);
        Ok(())
    }

    fn enqueue(&mut self, job: Job, cx: &mut Context<'_>) {
        self.server().applying.push_back(job);
        if self.server().applying.len() == 1 {
            self.schedule_apply(cx);
        }
    }

    fn schedule_apply(&self, cx: &mut Context<'_>) {
        let after = self.settings.apply.draw(cx.dice, Site::ApplyDelay, self.id);
        cx.effects.push(Effect::Schedule(cx.at.plus(after), NodeEvent::Apply));
    }

    /// The next job reaches the tree.
    pub(super) fn apply(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let job = self.server().applying.pop_front().expect("scheduled with a job");
        let mut intake = Intake::default();
        let is_told = !matches!(job, Job::Config(_));
        match job {
            Job::Commits(batch) => {
                for step in &batch {
                    match step {
                        Commit::Txn { txn, .. } => commit(txn, cx.commits, cx.histories)?,
                        Commit::Closed { conn } => {
                            let session = self.server().conns.with(*conn, |c| c.session()).flatten();
                            if let Some(session) = session {
                                cx.commits.local_ends(session);
                            }
                        }
                        Commit::Sync { .. } | Commit::Refused { .. } => {}
                    }
                }
                let now = self.clock.now(cx.at);
                let (config, server) = self.split();
                front::apply(
                    config,
                    &mut server.tree,
                    &batch,
                    &server.conns,
                    &server.watches,
                    now,
                    &mut intake,
                );
                // Who has no leader may hold what is not committed.
                let known =
                    !self.server().serves_readers || cx.commits.at(self.server().tree.last_zxid()).is_some();
                if known {
                    self.check_digest(cx)?;
                }
            }
            Job::Adopt(tree) => {
                self.server().tree = *tree;
                if cx.commits.at(self.server().tree.last_zxid()).is_some() {
                    self.check_digest(cx)?;
                }
            }
            Job::Config(node) => self.server().tree.set_config(&node.text, node.version, node.time),
        }
        let zxid = self.server().tree.last_zxid();
        if !self.server().applying.is_empty() {
            self.schedule_apply(cx);
        }
        if is_told {
            self.ledger.applied(zxid);
            self.input(Input::Applied(zxid), cx)?;
        }
        self.take_in(intake, cx)?;
        self.read_all(cx)
    }

    /// I20: at equal zxids all trees are equal.
    fn check_digest(&mut self, cx: &Context<'_>) -> Result<(), Violation> {
        let id = self.id;
        let tree = &self.server().tree;
        let (zxid, digest) = (tree.last_zxid(), tree.digest());
        let expected = cx.commits.digest_at(zxid);
        if digest == expected {
            return Ok(());
        }
        let what = format!("node {id} at {zxid}: digest {digest:#x}, not {expected:#x}");
        Err(Violation { invariant: Invariant::I20, what })
    }

    fn answer_session(
        &mut self,
        conn: ConnId,
        answer: SessionAnswer,
        cx: &mut Context<'_>,
    ) -> Result<(), Stop> {
        if let SessionAnswer::Attached { session, scope, .. } = answer {
            self.check_attached(session, scope, cx)?;
        }
        let mut intake = Intake::default();
        let now = self.clock.now(cx.at);
        let (config, server) = self.split();
        let host = server.host(config, now);
        front::answer_session(conn, answer, &host, &mut intake);
        self.take_in(intake, cx)?;
        self.server().unread.push(conn);
        Ok(())
    }

    /// I28: a session that is closed at this server's own state is never accepted again.
    fn check_attached(
        &mut self,
        session: SessionId,
        scope: SessionScope,
        cx: &Context<'_>,
    ) -> Result<(), Stop> {
        let applied = self.server().tree.last_zxid();
        let named = |violation: Violation| {
            let what = format!("node {}: {}", self.id, violation.what);
            Stop::Violation(Violation { what, ..violation })
        };
        if scope != SessionScope::Global {
            cx.commits.check_local_attached(session, self.id).map_err(named)?;
        }
        cx.commits.check_attached(session, applied).map_err(named)
    }

    /// Its standing changed. Who has no leader serves nobody.
    fn stand(&mut self, standing: Standing, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.trace.tell(cx.at, || self.name(), || format!("{standing:?}"));
        let serves = standing.clients == ClientService::Open;
        self.server().serves = serves;
        self.server().serves_readers = standing.clients == ClientService::ReadOnly;
        if serves {
            return Ok(());
        }
        if standing.clients == ClientService::ReadOnly {
            cx.trace.mark("serves-readers");
        }
        cx.commits.locals_end(self.id);
        let conns: Vec<ConnId> = self.server().conns.all.keys().copied().collect();
        for conn in conns {
            self.close(conn, CloseReason::NotServing, cx)?;
        }
        Ok(())
    }

    fn note(&mut self, event: &Event, cx: &mut Context<'_>) -> Result<(), Stop> {
        match event {
            Event::SessionExpiring { session } => self.check_expiry(*session, cx)?,
            Event::LocalSessionBegun { session, timeout_ms } => {
                cx.trace.mark("local-session");
                cx.commits.local_begins(*session, self.id, *timeout_ms)?;
            }
            Event::LocalSessionUpgraded { .. } => cx.trace.mark("local-session-upgraded"),
            Event::LocalSessionExpired { session } => self.check_local_expiry(*session, cx)?,
            Event::ElectionBegun { .. } => self.elections += 1,
            Event::SyncBegun { kind, .. } => self.syncs.push(*kind),
            _ => {}
        }
        cx.trace.tell(cx.at, || self.name(), || format!("{event:?}"));
        let standing = self.server().replica.standing();
        if let Some(line) = super::events::story(event, standing, self.syncs.last().copied()) {
            cx.trace.headline(cx.at, &self.name(), &line);
        }
        cx.events.push((self.id, super::events::name(event)));
        super::events::mark(event, cx.trace);
        Ok(())
    }

    /// I29: nobody expires who was heard within the timeout. What a leader hears of clients of other servers is judged by
    /// [`crate::oracle::Ensemble`]; of its own, here.
    fn check_expiry(&mut self, session: SessionId, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.trace.mark("session-expired");
        let (now, is_member) = (self.clock.now(cx.at).mono, self.is_member());
        let server = self.server();
        let heard = match server.heard.remove(&session) {
            Some(heard) => heard,
            None if is_member => return Ok(()),
            None => server.started,
        };
        let info = server.replica.sessions().into_iter().find(|info| info.session == session);
        let timeout_ms = info.map_or(0, |info| info.timeout_ms as u64);
        if now.since(heard) < timeout_ms * 1_000_000 {
            let what = format!(
                "session {session} with a timeout of {timeout_ms} ms expires {} ms after it was heard",
                now.since(heard) / 1_000_000
            );
            return Err(Violation { invariant: Invariant::I29, what }.into());
        }
        Ok(())
    }
}

impl Node {
    /// The same of a session that only this server knows.
    fn check_local_expiry(&mut self, session: SessionId, cx: &mut Context<'_>) -> Result<(), Stop> {
        cx.trace.mark("local-session-expired");
        let now = self.clock.now(cx.at).mono;
        let timeout_ms = cx.commits.local_ends(session);
        let Some(heard) = self.server().heard.remove(&session) else { return Ok(()) };
        let passed_ms = now.since(heard) / 1_000_000;
        if passed_ms < timeout_ms.unsigned_abs().into() {
            let what = format!(
                "local session {session} with a timeout of {timeout_ms} ms expires {passed_ms} ms after it was heard"
            );
            return Err(Violation { invariant: Invariant::I29, what }.into());
        }
        Ok(())
    }
}

/// A txn is committed: the oracle judges it, and watches are owed.
pub(super) fn commit(
    txn: &Arc<Txn>,
    commits: &mut Commits,
    histories: &mut Histories,
) -> Result<(), Violation> {
    if commits.commit(txn)? {
        histories.committed(commits);
    }
    Ok(())
}
