//! The established leader: proposes, counts acknowledgements, commits in order (quorum protocol B6).
//!
//! ```text
//! request ─ prep ─ zxid ─► Disk(Append t), PROPOSAL to followers        nobody waits for anybody
//! Durable(t) ─► own ack ┐
//! ACK(z) ───────────────┴─► quorum for z, and z is the oldest ─► COMMIT, INFORM, Apply
//! ```
//! Two things are only done while a quorum is known to follow, and the word for it is an answer to a PING that was sent
//! *after* the need arose: answering a sync, and expiring sessions. (For a sync acknowledgements of a later proposal do as
//! well.) A leader that was paused, or cut off, and does not know that it has been deposed, gets no such answer.

mod reconfig;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::Life;
use super::super::commit_log::Entry;
use super::super::learner::decode_forwarded;
use super::super::local::{Ask, Locals};
use super::super::outbox::Turn;
use super::super::proposer::{Asked, Place, Proposer, Wish};
use super::super::reconfig::config_in;
use super::super::role::{Leave, PeerFault};
use super::super::settings::{ReplicaConfig, SyncReads};
use super::progress::{Learner, Learners, Stage, Stream};
use crate::action::{Action, CloseReason, Commit, HangReason, SessionAnswer};
use crate::auth::AuthInfo;
use crate::config::quorum_config::QuorumConfig;
use crate::event::Event;
use crate::ids::{ConnId, LinkId, SessionId, Sid, Zxid};
use crate::input::{ClientRequest, RequestBody, SessionAsk, Touch};
use crate::quorum::Acks;
use crate::session::{Owner, SessionInfo};
use crate::time::Mono;
use crate::tree::{ApplyMode, Tree};
use crate::wire::quorum::{ForwardedRequest, QuorumPacket};
use crate::wire::request::Request;
use reconfig::Resigned;

/// Who waits for a sync.
#[derive(Clone, Copy, Debug)]
enum Waiter {
    Conn(ConnId),
    Learner(LinkId),
}

/// A sync, and what it waits for.
#[derive(Clone, Copy, Debug)]
struct PendingSync {
    /// Everything through this one is to be committed.
    behind: Zxid,
    /// A quorum is to have answered this round of PINGs, or a later one.
    round: u64,
    who: Waiter,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Broadcast {
    epoch: u32,
    proposer: Proposer,
    /// Sessions of this server alone.
    locals: Locals,
    /// Which connection waits for which txn, in zxid order.
    origins: VecDeque<(Zxid, ConnId)>,
    /// Who has acknowledged what is outstanding, oldest first.
    acks: VecDeque<Acks>,
    /// The last proposal that went to the followers.
    proposed: Zxid,
    /// The last one that this server's own disk has acknowledged.
    own: Zxid,
    syncs: VecDeque<PendingSync>,
    /// Rounds of PINGs, counted.
    round: u64,
    /// The newest one that a quorum is known to have answered.
    confirmed: u64,
    /// A reconfig that is proposed and not committed.
    pending: Option<(Zxid, Arc<QuorumConfig>)>,
    /// Reconfigs of this epoch, and whom each designated: learners that were told to serve later are told of them, too.
    activated: Vec<(Zxid, Sid)>,
    resigned: Option<Resigned>,
    /// The last two times that PINGs were due: what came in before the older one has been dealt with.
    heartbeats: [Mono; 2],
}

impl Broadcast {
    /// Begins with everything committed and applied.
    pub(super) fn begin(epoch: u32, turn: &Turn<'_>) -> Self {
        Self::over(epoch, turn.config, turn.tree, turn.log.logged(), turn.now.mono)
    }

    /// Goes on behind `logged`, which the tree has.
    pub(super) fn over(epoch: u32, config: &ReplicaConfig, tree: &Tree, logged: Zxid, now: Mono) -> Self {
        Self {
            epoch,
            proposer: Proposer::new(config, tree, now),
            locals: Locals::new(config.ensemble().local_sessions, config.tick_ms, now),
            origins: VecDeque::new(),
            acks: VecDeque::new(),
            proposed: logged,
            own: logged,
            syncs: VecDeque::new(),
            round: 0,
            confirmed: 0,
            pending: None,
            activated: Vec::new(),
            resigned: None,
            heartbeats: [now; 2],
        }
    }

    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Closes the sessions that own nodes and are in no table.
    pub(super) fn close_lost(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        while let Some(session) = self.proposer.next_lost() {
            self.propose_close(session, turn)?;
        }
        Ok(())
    }

    /// The place of the next proposal. The last number of an epoch is never used: whoever would get it makes the leader
    /// step down instead (quorum protocol B9).
    fn place<'a>(&self, turn: &Turn<'a>) -> Result<Place<'a>, Leave> {
        let last = turn.log.last_of(self.epoch);
        match last.next() {
            Some(zxid) if zxid.counter() < u32::MAX => Ok(Place { now: turn.now, zxid, tree: turn.tree }),
            _ => Err(Leave::CounterUsedUp),
        }
    }

    fn propose(&mut self, entry: Entry, origin: Option<ConnId>, turn: &mut Turn<'_>) {
        self.origins.extend(origin.map(|conn| (entry.zxid, conn)));
        if let Some(Ok(config)) = config_in(&entry.txn) {
            turn.see_config(config.clone());
            self.pending = Some((entry.zxid, config));
        }
        self.acks.push_back(Acks::new(turn.membership().quorums().clone()));
        turn.log.append(entry);
    }

    fn propose_close(&mut self, session: SessionId, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let entry = self.proposer.close(self.place(turn)?, session);
        self.propose(entry, None, turn);
        Ok(())
    }

    /// Sends what this step has proposed: to the own disk first, which works while it travels.
    pub(super) fn flush(&mut self, learners: &mut Learners, turn: &mut Turn<'_>) {
        turn.flush();
        let logged = turn.log.logged();
        if self.proposed == logged {
            return;
        }
        let Turn { log, out, now, .. } = turn;
        for (link, learner) in learners.iter_mut().filter(|(_, learner)| learner.gets(Stream::Proposals)) {
            for entry in log.range(self.proposed, logged) {
                let (zxid, txn) = (entry.zxid, entry.bytes.clone());
                learner.sent(txn.len());
                learner.proposed(zxid, now.mono);
                out.push(Action::Send { link, packet: QuorumPacket::Proposal { zxid, txn } });
            }
        }
        self.proposed = logged;
    }

    /// Counts what has become durable here.
    pub(super) fn on_durable(&mut self, learners: &mut Learners, turn: &mut Turn<'_>) {
        let (me, durable, committed) = (turn.config.sid, turn.log.durable_zxid(), turn.log.committed());
        // A quorum of others may have been faster: what is committed needs no more words.
        let first = self.own.max(committed);
        if durable > first {
            let counted = turn.log.range(committed, first).count();
            let new = turn.log.range(first, durable).count();
            for acks in self.acks.iter_mut().skip(counted).take(new) {
                acks.add(me);
            }
        }
        self.own = self.own.max(durable);
        self.commit(learners, turn);
    }

    /// A voter holds this proposal. (Whoever else acknowledges is not passed on to here.)
    pub(super) fn on_ack(&mut self, sid: Sid, zxid: Zxid, learners: &mut Learners, turn: &mut Turn<'_>) {
        let committed = turn.log.committed();
        if zxid <= committed {
            return;
        }
        let index = turn.log.range(committed, zxid).count() - 1;
        #[cfg(feature = "museum")]
        if planted!(turn.config.museum, P22) && self.acks[index].contains(sid) {
            self.acks[index].count_again();
        }
        self.acks[index].add(sid);
        self.commit(learners, turn);
    }

    /// Takes a server's word back: it is to be synchronised anew, and may be made to drop what it has acknowledged.
    pub(super) fn forget(&mut self, sid: Sid) {
        for acks in &mut self.acks {
            acks.remove(sid);
        }
    }

    /// Commits from the oldest on, as far as there is a quorum for each.
    fn commit(&mut self, learners: &mut Learners, turn: &mut Turn<'_>) {
        let mut ready = self.acks.iter().take_while(|acks| acks.has_quorum()).count();
        if planted!(turn.config.museum, P21) {
            ready = self.acks.iter().rposition(Acks::has_quorum).map_or(0, |last| last + 1);
        }
        let is_stalled = || learners.iter().any(|(_, learner)| learner.stage() == Stage::Syncing);
        if ready == 0 || self.has_resigned() || planted!(turn.config.museum, P23) && is_stalled() {
            return;
        }
        let reconfig = self.take_reconfig(&mut ready, turn);
        self.acks.drain(..ready);
        let committed = turn.log.committed();
        let upto = turn.log.range(committed, turn.log.logged()).nth(ready - 1).map(|entry| entry.zxid);
        let upto = upto.expect("invariant: every outstanding proposal has its acks");
        let mut entries = turn.log.commit(upto);
        turn.log.prove();
        while let Some(next) = entries.first() {
            self.answer_syncs_before(next.zxid, learners, turn);
            let behind = self.syncs.front().map_or(upto, |sync| sync.behind);
            let later = entries.split_off(entries.partition_point(|entry| entry.zxid <= behind));
            self.hand_over(core::mem::replace(&mut entries, later), learners, turn);
        }
        turn.event(Event::Committed { zxid: upto });
        self.answer_syncs(learners, turn);
        self.close_locals(turn);
        if reconfig == Some(turn.config.sid) {
            // What was proposed behind it needed the quorums of both.
            self.commit(learners, turn);
        } else if let Some(designated) = reconfig {
            self.resign(Some(designated), turn);
        }
    }

    /// What is committed goes to everybody who lives by it.
    fn hand_over(&mut self, entries: Vec<Entry>, learners: &mut Learners, turn: &mut Turn<'_>) {
        for entry in &entries {
            self.proposer.committed(&entry.txn, turn.now.mono);
            tell(entry, self.activated(entry.zxid), learners, turn);
        }
        let origins = &mut self.origins;
        turn.apply(entries, ApplyMode::Live, |txn| {
            origins.pop_front_if(|(zxid, _)| *zxid == txn.header.zxid).map(|(_, conn)| conn)
        });
    }

    pub(super) fn applied(&mut self, zxid: Zxid, turn: &Turn<'_>) {
        self.proposer.applied(zxid, turn.tree);
    }
}

/// COMMIT to the followers that are live, INFORM to the observers. A reconfig designates a leader.
fn tell(entry: &Entry, designated: Option<Sid>, learners: &mut Learners, turn: &mut Turn<'_>) {
    let (zxid, txn) = (entry.zxid, &entry.bytes);
    for (link, learner) in learners.iter_mut() {
        if learner.tell_commit(zxid) {
            turn.send(link, commit_of(zxid, designated));
        } else if learner.gets(Stream::Informs) {
            learner.sent(txn.len());
            let txn = txn.clone();
            turn.send(
                link,
                match designated {
                    None => QuorumPacket::Inform { zxid, txn },
                    Some(leader) => QuorumPacket::InformAndActivate { zxid, leader, txn },
                },
            );
        }
    }
}

/// How a follower is told of a commit.
pub(super) const fn commit_of(zxid: Zxid, designated: Option<Sid>) -> QuorumPacket {
    match designated {
        None => QuorumPacket::Commit { zxid },
        Some(leader) => QuorumPacket::CommitAndActivate { zxid, leader },
    }
}

/// What clients ask, here and through learners.
impl Broadcast {
    pub(super) fn on_connect(
        &mut self,
        conn: ConnId,
        ask: SessionAsk,
        turn: &mut Turn<'_>,
    ) -> Result<(), Leave> {
        if self.has_resigned() {
            turn.close(conn, CloseReason::NotServing);
            return Ok(());
        }
        match ask {
            SessionAsk::New { timeout_ms } if self.locals.are_on() => {
                let proposer = &self.proposer;
                self.locals.open(conn, timeout_ms, turn, |id| proposer.has_session(id));
            }
            SessionAsk::New { timeout_ms } => {
                let place = self.place(turn)?;
                let session = turn.session_ids.next(|id| self.proposer.has_session(id));
                turn.event(Event::SessionCreating { session, timeout_ms });
                let entry = self.proposer.open(place, session, timeout_ms, Owner::Here);
                self.propose(entry, Some(conn), turn);
            }
            SessionAsk::Reattach { session, timeout_ms } => {
                let touch = Touch { session, timeout_ms };
                let (now, proposer) = (turn.now.mono, &mut self.proposer);
                let answer = self.locals.reattach(touch, now);
                let answer = answer.unwrap_or_else(|| proposer.reattach(touch, Owner::Here, now));
                turn.out.push(Action::Session { conn, answer });
            }
        }
        Ok(())
    }

    pub(super) fn on_request(
        &mut self,
        request: ClientRequest,
        learners: &mut Learners,
        turn: &mut Turn<'_>,
    ) -> Result<(), Leave> {
        if self.has_resigned() {
            turn.close(request.conn, CloseReason::NotServing);
            return Ok(());
        }
        let ask = self.locals.ask(&request, turn.now.mono);
        let ClientRequest { conn, session, xid, auth, body } = request;
        let asked = match ask {
            Ask::Closing => Asked::Closing,
            Ask::Close => {
                self.close_locals(turn);
                return Ok(());
            }
            Ask::Local => {
                let place = self.place(turn)?;
                let wish = self.wish(body, place.zxid, learners, turn);
                self.proposer.local(place, session, xid, &auth, wish)
            }
            Ask::Upgrade { timeout_ms } => {
                turn.event(Event::LocalSessionUpgraded { session });
                let entry = self.proposer.open(self.place(turn)?, session, timeout_ms, Owner::Here);
                self.propose(entry, None, turn);
                self.proposer.request(self.place(turn)?, session, xid, &auth, Wish::Request(body))
            }
            Ask::Foreign => {
                let place = self.place(turn)?;
                let wish = self.wish(body, place.zxid, learners, turn);
                self.proposer.request(place, session, xid, &auth, wish)
            }
        };
        match asked {
            Asked::Proposed(entry) => self.propose(entry, Some(conn), turn),
            Asked::Sync => self.sync(Waiter::Conn(conn), learners, turn),
            // Dropped without a reply (client protocol §14): the commit of its close closes the connection.
            Asked::Closing => {}
            Asked::NoSession => turn.close(conn, CloseReason::SessionExpired),
        }
        Ok(())
    }

    /// What is asked, as prep takes it.
    fn wish(&self, body: RequestBody, zxid: Zxid, learners: &Learners, turn: &Turn<'_>) -> Wish {
        match body {
            RequestBody::Op(Request::Reconfig(request)) => {
                Wish::Reconfig(self.next_config(&request, zxid, learners, turn))
            }
            body => Wish::Request(body),
        }
    }

    /// A learner's client asks. `Err` in the inner result: the learner broke the protocol.
    pub(super) fn on_forwarded(
        &mut self,
        link: LinkId,
        request: ForwardedRequest,
        learners: &mut Learners,
        turn: &mut Turn<'_>,
    ) -> Result<Result<(), PeerFault>, Leave> {
        let ForwardedRequest { session, cxid, op, body, auth } = request;
        let Some(body) = decode_forwarded(op, body) else {
            return Ok(Err(PeerFault::UnknownRequest { op }));
        };
        if turn.life == Life::Draining || self.has_resigned() {
            // Who asked hears from the next leader's learners: this one finishes what it has begun, and goes.
            return Ok(Ok(()));
        }
        let (place, owner) = (self.place(turn)?, Owner::Learner(link));
        if let RequestBody::Op(Request::CreateSession { timeout_ms }) = body {
            if self.proposer.has_session(session) {
                return Ok(Err(PeerFault::SessionTwice { session }));
            }
            let entry = self.proposer.open(place, session, timeout_ms, owner);
            self.propose(entry, None, turn);
            return Ok(Ok(()));
        }
        let auth = AuthInfo { ids: auth.unwrap_or_default() };
        let wish = self.wish(body, place.zxid, learners, turn);
        match self.proposer.forwarded(place, session, cxid, &auth, wish, owner) {
            Asked::Proposed(entry) => self.propose(entry, None, turn),
            Asked::Sync => self.sync(Waiter::Learner(link), learners, turn),
            Asked::Closing | Asked::NoSession => {
                panic!("invariant: what a learner passes on is answered in any case")
            }
        }
        Ok(Ok(()))
    }

    /// A client came to a learner with its session: from now on it asks through that one.
    pub(super) fn on_revalidate(&mut self, link: LinkId, touch: Touch, turn: &mut Turn<'_>) {
        let was_here = self.proposer.owner(touch.session) == Some(Owner::Here);
        let answer = self.proposer.reattach(touch, Owner::Learner(link), turn.now.mono);
        let valid = matches!(answer, SessionAnswer::Attached { .. });
        if valid && was_here {
            turn.out.push(Action::SessionMoved { session: touch.session });
        }
        turn.send(link, QuorumPacket::Revalidated { session: touch.session, valid });
    }

    /// Answers the closes of local sessions that have nothing before them any more.
    fn close_locals(&mut self, turn: &mut Turn<'_>) {
        let Self { locals, origins, syncs, .. } = self;
        locals.close_answered(turn, |_, conn| {
            let is_its = |who: Waiter| matches!(who, Waiter::Conn(of) if of == conn);
            origins.iter().any(|(_, of)| *of == conn) || syncs.iter().any(|sync| is_its(sync.who))
        });
    }

    /// Clients of this server showed life.
    pub(super) fn on_own_touched(&mut self, touches: Vec<Touch>, now: Mono) {
        let others = self.locals.touched(touches, now);
        self.proposer.touched(&others, now);
    }

    /// Time has passed for local sessions.
    pub(super) fn expire_locals(&mut self, turn: &mut Turn<'_>) {
        self.locals.on_tick(turn);
    }

    /// When [`Self::expire_locals`] wants to be called.
    pub(super) fn local_deadline(&self) -> Option<Mono> {
        self.locals.deadline()
    }

    pub(super) fn local_sessions(&self) -> Vec<SessionInfo> {
        self.locals.list()
    }

    pub(super) fn on_touched(&mut self, touches: &[Touch], now: Mono) {
        self.proposer.touched(touches, now);
    }

    fn sync(&mut self, who: Waiter, learners: &mut Learners, turn: &mut Turn<'_>) {
        let round = match turn.ensemble().sync_reads {
            SyncReads::Confirmed => self.round + 1,
            SyncReads::Unconfirmed => 0,
        };
        let idle = self.is_confirmed(self.round, learners, turn);
        self.syncs.push_back(PendingSync { behind: turn.log.logged(), round, who });
        if round > 0 && idle {
            self.ping(learners, turn);
        }
        self.answer_syncs(learners, turn);
    }

    /// Answers the syncs whose time has come, in their order.
    fn answer_syncs(&mut self, learners: &mut Learners, turn: &mut Turn<'_>) {
        while let Some(&PendingSync { behind, round, who }) = self.syncs.front() {
            if self.has_resigned()
                || behind > turn.log.committed()
                || !self.is_confirmed(round, learners, turn)
            {
                break;
            }
            self.syncs.pop_front();
            answer(who, learners, turn);
            self.close_locals(turn);
        }
    }

    /// Answers the syncs that came before this txn was proposed: a quorum has acknowledged it, and so has followed since. They
    /// are answered before it is told of, for their clients wait for what they asked in the order in which they asked it.
    fn answer_syncs_before(&mut self, zxid: Zxid, learners: &Learners, turn: &mut Turn<'_>) {
        while let Some(sync) = self.syncs.pop_front_if(|sync| sync.behind < zxid) {
            answer(sync.who, learners, turn);
        }
    }

    /// True if a quorum has answered this round of PINGs, or a later one.
    fn is_confirmed(&mut self, round: u64, learners: &Learners, turn: &Turn<'_>) -> bool {
        if self.confirmed >= round {
            return true;
        }
        let answered = self.round >= round && has_quorum(learners, turn, |l| l.answered_round() >= round);
        if answered {
            self.confirmed = round;
        }
        answered
    }

    /// Syncs that wait.
    pub(super) fn syncs(&self) -> usize {
        self.syncs.len()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        self.proposer.sessions()
    }
}

fn answer(who: Waiter, learners: &Learners, turn: &mut Turn<'_>) {
    match who {
        Waiter::Conn(conn) => turn.out.push(Action::Apply([Commit::Sync { conn }].into())),
        Waiter::Learner(link) if learners.get(link).is_some() => turn.send(link, QuorumPacket::Sync),
        Waiter::Learner(_) => {}
    }
}

/// What comes of time passing.
impl Broadcast {
    /// A heartbeat, twice per tick.
    pub(super) fn heartbeat(&mut self, learners: &mut Learners, turn: &mut Turn<'_>) -> Result<(), Leave> {
        self.heartbeats = [self.heartbeats[1], turn.now.mono];
        self.ping(learners, turn);
        self.expire(learners, turn)?;
        self.answer_syncs(learners, turn);
        if planted!(turn.config.museum, P23) {
            self.commit(learners, turn);
        }
        Ok(())
    }

    /// A new round of PINGs.
    fn ping(&mut self, learners: &mut Learners, turn: &mut Turn<'_>) {
        self.round += 1;
        let zxid = turn.log.last_of(self.epoch);
        for (link, learner) in learners.iter_mut() {
            if learner.ping(self.round, turn.now.mono) {
                turn.send(link, QuorumPacket::Ping { zxid });
            }
        }
    }

    /// A learner answered a PING: what it says of its sessions is known.
    pub(super) fn on_ping_reply(
        &mut self,
        learners: &mut Learners,
        turn: &mut Turn<'_>,
    ) -> Result<(), Leave> {
        self.expire(learners, turn)?;
        self.answer_syncs(learners, turn);
        let round = self.round;
        let wanted = self.syncs.back().is_some_and(|sync| sync.round > round);
        if wanted && self.is_confirmed(round, learners, turn) {
            self.ping(learners, turn);
        }
        Ok(())
    }

    /// Sessions expire as of the time up to which it is certain who showed life: every live learner has answered a PING
    /// that was sent since, they make a quorum, and what this server's own clients sent has been dealt with. After a pause
    /// that is the time before it (bug museum P38).
    fn expire(&mut self, learners: &Learners, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if turn.life == Life::Draining || self.has_resigned() {
            return Ok(());
        }
        let live = || learners.iter().filter(|(_, learner)| learner.stage() == Stage::Live);
        let known = live().map(|(_, learner)| learner.answered_at()).min();
        let until = self.heartbeats[0].min(known.unwrap_or(Mono(u64::MAX)));
        if self.proposer.deadline().is_none_or(|due| due > until)
            || !has_quorum(learners, turn, |learner| learner.stage() == Stage::Live)
        {
            return Ok(());
        }
        for session in self.proposer.expire(until) {
            turn.event(Event::SessionExpiring { session });
            self.propose_close(session, turn)?;
        }
        Ok(())
    }

    /// Takes away what is over of containers and TTL nodes.
    pub(super) fn reap(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        if turn.life == Life::Draining || self.has_resigned() {
            self.proposer.reap_later(turn.now.mono);
        }
        if turn.now.mono >= self.reaping_at()
            && let Some(entry) = self.proposer.reap(self.place(turn)?)
        {
            turn.collecting(&entry);
            self.propose(entry, None, turn);
        }
        Ok(())
    }

    /// When [`Self::reap`] wants to be called.
    pub(super) const fn reaping_at(&self) -> Mono {
        self.proposer.reaping_at()
    }

    /// Learners that owe an acknowledgement for too long, or to whom too much is on its way.
    pub(super) fn too_slow(learners: &Learners, turn: &Turn<'_>) -> Option<(LinkId, HangReason)> {
        let (limit, backlog_max) = (turn.ticks(turn.ensemble().sync_limit), turn.ensemble().backlog_max);
        let slow = |learner: &Learner| {
            learner.owes_since().is_some_and(|since| since + limit <= turn.now.mono)
                || learner.backlog() > backlog_max as u64
        };
        learners.iter().find(|(_, learner)| slow(learner)).map(|(link, _)| (link, HangReason::TooSlow))
    }
}

/// Whether this leader and the voters of whom `with` is true are a quorum.
pub(super) fn has_quorum(learners: &Learners, turn: &Turn<'_>, with: impl Fn(&Learner) -> bool) -> bool {
    let me = turn.config.sid;
    let counts = |learner: &Learner| learner.follower().is_some() && with(learner);
    turn.membership().quorums().contains_quorum(|sid| sid == me || learners.of(sid).is_some_and(counts))
}
