//! The leader, from the end of the election until it loses its quorum (quorum protocol B3 to B7; Java: `Leader`,
//! `LearnerHandler`).
//!
//! | phase | what it waits for | what it then does |
//! |---|---|---|
//! | discovery | a quorum that comes, and accepts a new epoch | its history becomes that of the epoch |
//! | synchronization | a quorum that holds this history | what it had logged and nobody committed is committed |
//! | broadcast | requests | proposes and commits them |
//!
//! Each of the first two has `initLimit` ticks; in the third a quorum must show life within `syncLimit`.

mod broadcast;
mod discovery;
mod establish;
mod progress;
mod sync;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::outbox::Turn;
use super::role::{ClientService, LearnerRole, LearnerStanding, Leave, PeerFault, Phase, RoleKind, Standing};
use super::settings::ReplicaConfig;
use crate::action::{Action, CloseReason, HangReason};
use crate::disk::epochs::EpochKind;
use crate::event::Event;
use crate::ids::{ConnId, LinkId, Sid, Zxid};
use crate::input::{Input, LinkEvent, QueryId, Token};
use crate::quorum::{self, Acks, Quorums};
use crate::session::SessionInfo;
use crate::time::Mono;
use crate::wire::quorum::{LearnerInfo, QuorumPacket};
use broadcast::{Broadcast, has_quorum};
use discovery::Discovery;
use establish::Synchronization;
use progress::{Learner, Learners, Stage, Stream, Who};

/// Servers that no config names and that are led nevertheless.
pub(super) const STRANGERS_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    me: Sid,
    learners: Learners,
    /// Parts of the log that are being read: for whom, and where what is in memory begins.
    reading: BTreeMap<QueryId, (LinkId, Zxid)>,
    state: State,
    /// Whole ticks of the broadcast phase.
    tick: u64,
    /// When the next half of one is over.
    beat_at: Mono,
    half: bool,
    clients: ClientService,
}

#[derive(Clone, Debug)]
enum State {
    Discovery(Discovery),
    Synchronization(Synchronization),
    Broadcast(Box<Broadcast>),
}

impl Leading {
    /// Takes the lead that an election gave.
    pub(super) fn begin(turn: &mut Turn<'_>) -> Self {
        let mut leading = Self {
            me: turn.config.sid,
            learners: Learners::default(),
            reading: BTreeMap::new(),
            state: State::Discovery(Discovery::begin(turn)),
            tick: 0,
            beat_at: turn.now.mono,
            half: false,
            clients: turn.ensemble().leader_serves,
        };
        turn.stand(leading.standing());
        turn.out.push(Action::Listen);
        if planted!(turn.config.museum, P35) {
            let tail = turn.log.commit(turn.log.logged());
            turn.apply(tail, crate::tree::ApplyMode::Replay, |_| None);
            turn.snapshots.ask();
        }
        // Perhaps this server is a quorum by itself.
        leading.discover(turn);
        leading
    }

    pub(super) fn step(&mut self, input: Input, turn: &mut Turn<'_>) -> Result<(), Leave> {
        match input {
            Input::Link { link, event } => self.on_link(link, event, turn)?,
            Input::Durable(token) => self.on_durable(token, turn)?,
            Input::Applied(zxid) => match &mut self.state {
                State::Broadcast(broadcast) => broadcast.applied(zxid, turn),
                State::Synchronization(_) => self.broadcast_if_applied(turn)?,
                State::Discovery(_) => {}
            },
            Input::LogPart { query, part } => self.on_log_part(query, part, turn),
            Input::Tick => self.on_tick(turn)?,
            Input::Connect { conn, ask, .. } => match &mut self.state {
                State::Broadcast(broadcast) => broadcast.on_connect(conn, ask, turn)?,
                _ => refuse(conn, turn),
            },
            Input::Request(request) => match &mut self.state {
                State::Broadcast(broadcast) => broadcast.on_request(request, &mut self.learners, turn)?,
                _ => refuse(request.conn, turn),
            },
            Input::Touched(touches) => {
                if let State::Broadcast(broadcast) = &mut self.state {
                    broadcast.on_own_touched(touches, turn.now.mono);
                }
            }
            _ => {}
        }
        self.flush(turn);
        self.step_down(turn)
    }

    /// Sends what the step has proposed.
    fn flush(&mut self, turn: &mut Turn<'_>) {
        if let State::Broadcast(broadcast) = &mut self.state {
            broadcast.flush(&mut self.learners, turn);
        }
        while let Some((link, why)) = Broadcast::too_slow(&self.learners, turn) {
            self.lose(link, Some(why), turn);
        }
    }

    fn has_resigned(&self) -> bool {
        matches!(&self.state, State::Broadcast(broadcast) if broadcast.has_resigned())
    }

    /// A leader that a reconfig has put aside stays until those who have to hear of it have gone.
    fn step_down(&self, turn: &Turn<'_>) -> Result<(), Leave> {
        match &self.state {
            State::Broadcast(broadcast) => broadcast.step_down(&self.learners, turn),
            State::Discovery(_) | State::Synchronization(_) => Ok(()),
        }
    }

    fn on_link(&mut self, link: LinkId, event: LinkEvent, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let counts_until = self.tick + u64::from(turn.ensemble().sync_limit);
        if let (LinkEvent::Up, LinkId::Accepted(_)) = (&event, link) {
            if self.has_resigned() {
                turn.hang(link, HangReason::RoleLost);
                return Ok(());
            }
            let first = counts_until + u64::from(turn.ensemble().init_limit);
            self.learners.arrive(link, Learner::new(turn.now.mono, first));
            return Ok(());
        }
        // What still comes on a link that was hung up, or that this server dialled in an earlier role, is not heard.
        let Some(learner) = self.learners.get_mut(link) else { return Ok(()) };
        learner.heard(turn.now.mono, counts_until);
        match event {
            LinkEvent::Packet(packet) => self.on_packet(link, packet, turn)?,
            LinkEvent::Snapshot(_) => {
                self.fault(link, PeerFault::Unexpected { packet: "a snapshot", when: "at the leader" }, turn);
            }
            LinkEvent::Down(_) => self.lose(link, None, turn),
            LinkEvent::Up | LinkEvent::DialFailed | LinkEvent::SnapshotMoved => {}
        }
        Ok(())
    }

    fn on_packet(&mut self, link: LinkId, packet: QuorumPacket, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let Some(learner) = self.learners.get(link) else { return Ok(()) };
        match (packet, learner.stage(), &mut self.state) {
            (QuorumPacket::FollowerInfo { zxid, learner }, Stage::Arrived, _) => {
                self.on_info(link, Stream::Proposals, zxid, learner, turn)?;
            }
            (QuorumPacket::ObserverInfo { zxid, learner }, Stage::Arrived, _) => {
                self.on_info(link, Stream::Informs, zxid, learner, turn)?;
            }
            (QuorumPacket::AckEpoch { zxid, current_epoch }, Stage::AckingEpoch, _) => {
                self.on_ack_epoch(link, zxid, current_epoch, turn);
            }
            (QuorumPacket::Ack { zxid }, Stage::Syncing | Stage::Synced | Stage::Live, _) => {
                self.on_ack(link, zxid, turn)?;
            }
            (QuorumPacket::PingReply { touches, .. }, stage, State::Broadcast(broadcast)) => {
                broadcast.on_touched(&touches, turn.now.mono);
                if stage == Stage::Live {
                    self.learners.get_mut(link).into_iter().for_each(Learner::answered);
                    broadcast.on_ping_reply(&mut self.learners, turn)?;
                }
            }
            (QuorumPacket::Request(request), Stage::Live, State::Broadcast(broadcast)) => {
                if let Err(fault) = broadcast.on_forwarded(link, request, &mut self.learners, turn)? {
                    self.fault(link, fault, turn);
                }
            }
            (QuorumPacket::Revalidate { touch }, Stage::Live, State::Broadcast(broadcast)) => {
                broadcast.on_revalidate(link, touch, turn);
            }
            // Java answers none between NEWLEADER and UPTODATE, and minds none either.
            (QuorumPacket::PingReply { .. }, Stage::Syncing | Stage::Synced, _) => {}
            (QuorumPacket::Unknown { .. }, stage, _) if stage != Stage::Arrived => {}
            (packet, stage, _) => {
                let fault = PeerFault::Unexpected { packet: packet.name(), when: describe(stage) };
                self.fault(link, fault, turn);
            }
        }
        Ok(())
    }

    /// A learner says who it is.
    fn on_info(
        &mut self,
        link: LinkId,
        stream: Stream,
        zxid: Zxid,
        info: Option<LearnerInfo>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Leave> {
        let membership = turn.membership();
        let too_new = |version| version > membership.in_force().version();
        let refused = match &info {
            Some(info) if !info.has_discovery() => Some(HangReason::TooOld),
            None => Some(HangReason::TooOld),
            Some(info) if info.sid == self.me => Some(HangReason::Twin),
            Some(info) if info.config_version.is_some_and(too_new) => Some(HangReason::ConfigAhead),
            Some(info) if !self.has_room_for(info.sid, turn) => Some(HangReason::TooManyStrangers),
            Some(_) => None,
        };
        let (None, Some(info)) = (&refused, info) else {
            self.lose(link, refused, turn);
            return Ok(());
        };
        let Ok(accepted) = u32::try_from(zxid.0 >> 32) else {
            self.fault(link, PeerFault::WrongEpoch { epoch: 0, found: zxid }, turn);
            return Ok(());
        };
        let who = Who { sid: info.sid, stream };
        let belongs = membership.standing(info.sid) != quorum::Standing::Stranger;
        if belongs && self.epoch_that_stands().is_some_and(|epoch| epoch < accepted) {
            turn.member().outdone_by = accepted;
            return Err(Leave::EpochOutdone { accepted });
        }
        let old = self.learners.name(link, who);
        if !planted!(turn.config.museum, P22) {
            if let Some(old) = old {
                self.lose(old, Some(HangReason::Replaced), turn);
            }
            self.forget(who);
        }
        if let State::Discovery(discovery) = &mut self.state {
            discovery.arrive(who, accepted);
            self.discover(turn);
        }
        self.tell_epoch(link, turn);
        Ok(())
    }

    /// As in Java, servers that no config names may follow and observe; in Java as many as like to.
    fn has_room_for(&self, sid: Sid, turn: &Turn<'_>) -> bool {
        let membership = turn.membership();
        let unknown = |sid: Sid| membership.standing(sid) == quorum::Standing::Stranger;
        let strangers = || self.learners.sids().filter(|sid| unknown(*sid)).count();
        !unknown(sid) || self.learners.of(sid).is_some() || strangers() < STRANGERS_MAX
    }

    /// LEADERINFO, once the epoch stands.
    fn tell_epoch(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        let durable = match &self.state {
            State::Discovery(discovery) => discovery.epoch(),
            State::Synchronization(_) | State::Broadcast(_) => self.epoch_that_stands(),
        };
        if let (Some(epoch), Some(learner)) = (durable, self.learners.get_mut(link))
            && learner.stage() == Stage::AwaitingEpoch
        {
            learner.told_epoch(turn.now.mono);
            let protocol_version = crate::wire::quorum::PROTOCOL_VERSION;
            turn.send(link, QuorumPacket::LeaderInfo { zxid: Zxid::new(epoch, 0), protocol_version });
        }
    }

    fn on_ack_epoch(&mut self, link: LinkId, zxid: Zxid, current_epoch: Option<u32>, turn: &mut Turn<'_>) {
        let Some(learner) = self.learners.get_mut(link) else { return };
        let who = learner.who().expect("invariant: who acknowledges an epoch has said who it is");
        learner.acked_epoch(zxid);
        match &mut self.state {
            State::Discovery(discovery) => {
                if discovery.acknowledge(who, zxid, current_epoch) {
                    self.discover(turn);
                } else {
                    self.lose(link, Some(HangReason::AheadOfLeader), turn);
                }
            }
            State::Synchronization(_) | State::Broadcast(_) => self.synchronise(link, zxid, turn),
        }
    }

    /// Takes discovery as far as it goes now.
    fn discover(&mut self, turn: &mut Turn<'_>) {
        let State::Discovery(discovery) = &mut self.state else { return };
        discovery.propose_if_quorum(turn);
        let Some(epoch) = discovery.agreed() else { return };
        let own = turn.set_epoch(EpochKind::Current, epoch);
        turn.number_config(epoch);
        let acks = Acks::new(turn.membership().quorums().clone());
        let until = turn.after_ticks(turn.ensemble().init_limit);
        self.state = State::Synchronization(Synchronization { epoch, acks, own, until, applying: None });
        self.beat_at = turn.now.mono + turn.ticks(1) / 2;
        turn.stand(self.standing());
        let waiting = self.learners.iter().filter_map(|(link, learner)| match learner.stage() {
            Stage::AwaitingSync(zxid) => Some((link, zxid)),
            _ => None,
        });
        let waiting: Vec<_> = waiting.collect();
        waiting.into_iter().for_each(|(link, zxid)| self.synchronise(link, zxid, turn));
    }

    fn on_durable(&mut self, token: Token, turn: &mut Turn<'_>) -> Result<(), Leave> {
        match &mut self.state {
            State::Discovery(discovery) => {
                if discovery.on_durable(token, turn) {
                    let links: Vec<_> = self.learners.iter().map(|(link, _)| link).collect();
                    links.into_iter().for_each(|link| self.tell_epoch(link, turn));
                    self.discover(turn);
                }
                Ok(())
            }
            State::Synchronization(sync) => {
                if turn.log.is_durable(sync.own) {
                    sync.acks.add(self.me);
                    self.commit_history_if_quorum(turn)?;
                }
                Ok(())
            }
            State::Broadcast(broadcast) => {
                broadcast.on_durable(&mut self.learners, turn);
                Ok(())
            }
        }
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) -> Result<(), Leave> {
        let now = turn.now.mono;
        while let Some((link, why)) = self.silent(turn) {
            self.lose(link, Some(why), turn);
        }
        match &mut self.state {
            State::Discovery(discovery) => return discovery.on_tick(now),
            State::Synchronization(sync) if sync.until <= now => {
                return Err(Leave::NoQuorum(Phase::Synchronization));
            }
            State::Broadcast(broadcast) => broadcast.expire_locals(turn),
            State::Synchronization(_) => {}
        }
        if let State::Broadcast(broadcast) = &mut self.state {
            broadcast.reap(turn)?;
        }
        if now < self.beat_at {
            return Ok(());
        }
        self.beat_at = now + turn.ticks(1) / 2;
        let zxid = turn.log.last_of(self.epoch());
        let resigned = self.has_resigned();
        let State::Broadcast(broadcast) = &mut self.state else {
            // Learners that wait for UPTODATE hear that the leader lives.
            for (link, learner) in self.learners.iter_mut() {
                if learner.ping(0, now) {
                    turn.send(link, QuorumPacket::Ping { zxid });
                }
            }
            return Ok(());
        };
        self.half = !self.half;
        if !self.half {
            self.tick += 1;
            let tick = self.tick;
            if !resigned && !has_quorum(&self.learners, turn, |learner| learner.counts_at(tick)) {
                return Err(Leave::LostQuorum);
            }
        }
        broadcast.heartbeat(&mut self.learners, turn)
    }

    /// A learner from which nothing came for too long, where it is for it to say something (quorum protocol B7).
    fn silent(&self, turn: &Turn<'_>) -> Option<(LinkId, HangReason)> {
        let silent =
            |learner: &Learner| self.silent_at(learner, turn.config).is_some_and(|at| at <= turn.now.mono);
        self.learners.iter().find(|(_, learner)| silent(learner)).map(|(link, _)| (link, HangReason::Silent))
    }

    fn silent_at(&self, learner: &Learner, config: &ReplicaConfig) -> Option<Mono> {
        let limit = match learner.stage() {
            Stage::Arrived | Stage::AckingEpoch | Stage::Syncing => config.ensemble().init_limit,
            Stage::Live => config.ensemble().sync_limit,
            Stage::AwaitingEpoch | Stage::AwaitingSync(_) | Stage::ReadingLog(..) | Stage::Synced => {
                return None;
            }
        };
        Some(learner.heard_at() + config.ticks(limit))
    }

    /// When it wants a `Tick`.
    pub(super) fn deadline(&self, config: &ReplicaConfig) -> Option<Mono> {
        let own = match &self.state {
            State::Discovery(discovery) => discovery.deadline(),
            State::Synchronization(sync) => sync.until.min(self.beat_at),
            State::Broadcast(broadcast) => {
                let reaping = self.beat_at.min(broadcast.reaping_at());
                broadcast.local_deadline().map_or(reaping, |at| at.min(reaping))
            }
        };
        let silent = self.learners.iter().filter_map(|(_, learner)| self.silent_at(learner, config));
        silent.chain([own]).min()
    }

    fn fault(&mut self, link: LinkId, fault: PeerFault, turn: &mut Turn<'_>) {
        self.lose(link, Some(HangReason::Fault(fault)), turn);
    }

    /// A learner is gone, or has to go.
    fn lose(&mut self, link: LinkId, why: Option<HangReason>, turn: &mut Turn<'_>) {
        let Some(learner) = self.learners.remove(link) else { return };
        if let Some(why) = why {
            turn.hang(link, why);
        }
        let learner = learner.who().map(|who| who.sid);
        turn.event(Event::LearnerLost { learner, link });
        self.reading.retain(|_, (reader, _)| *reader != link);
        self.pin(turn);
    }

    /// What this server said on an older link does not count any more: it may not hold it when it has been synchronised.
    fn forget(&mut self, who: Who) {
        match &mut self.state {
            State::Discovery(discovery) => discovery.forget(who),
            State::Synchronization(sync) => drop(sync.acks.remove(who.sid)),
            State::Broadcast(broadcast) => broadcast.forget(who.sid),
        }
    }

    /// The links go with the role, and so does the port.
    pub(super) fn end(&self, turn: &mut Turn<'_>) {
        turn.out.push(Action::Unlisten);
        self.learners.iter().for_each(|(link, _)| turn.hang(link, HangReason::RoleLost));
        turn.log.pin(None);
    }

    /// True once a quorum holds the initial history.
    fn is_established(&self) -> bool {
        match &self.state {
            State::Discovery(_) => false,
            State::Synchronization(sync) => sync.applying.is_some(),
            State::Broadcast(_) => true,
        }
    }

    /// The epoch, once it is proposed: whoever comes later does not change it.
    const fn epoch_that_stands(&self) -> Option<u32> {
        match &self.state {
            State::Discovery(discovery) => discovery.proposed(),
            State::Synchronization(sync) => Some(sync.epoch),
            State::Broadcast(broadcast) => Some(broadcast.epoch()),
        }
    }

    /// The epoch, once it is agreed upon.
    fn epoch(&self) -> u32 {
        match &self.state {
            State::Discovery(_) => {
                panic!("invariant: nobody is synchronised before the epoch is agreed upon")
            }
            State::Synchronization(sync) => sync.epoch,
            State::Broadcast(broadcast) => broadcast.epoch(),
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let (phase, clients) = match self.state {
            State::Discovery(_) => (Phase::Discovery, ClientService::Closed),
            State::Synchronization(_) => (Phase::Synchronization, ClientService::Closed),
            State::Broadcast(_) => (Phase::Broadcast, self.clients),
        };
        Standing { role: RoleKind::Leading, phase, leader: Some(self.me), clients }
    }

    /// Syncs that wait.
    pub(super) fn syncs(&self) -> usize {
        match &self.state {
            State::Broadcast(broadcast) => broadcast.syncs(),
            _ => 0,
        }
    }

    /// Sessions that only this server knows.
    pub(super) fn local_sessions(&self) -> Vec<SessionInfo> {
        match &self.state {
            State::Broadcast(broadcast) => broadcast.local_sessions(),
            _ => Vec::new(),
        }
    }

    /// Everybody who follows or observes, by link.
    pub(super) fn followers(&self, quorums: &Quorums) -> Vec<LearnerStanding> {
        let known = self.learners.iter().filter_map(|(_, learner)| {
            let who = learner.who()?;
            let kind = match who.stream {
                Stream::Informs => LearnerRole::Observer,
                Stream::Proposals if quorums.is_voter(who.sid) => LearnerRole::Voter,
                Stream::Proposals => LearnerRole::NonVotingFollower,
            };
            let synced = learner.stage() == Stage::Live && learner.counts_at(self.tick);
            let syncs_by = learner.syncs_by();
            Some(LearnerStanding { sid: who.sid, role: kind, synced, syncs_by })
        });
        known.collect()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        match &self.state {
            State::Broadcast(broadcast) => broadcast.sessions(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
impl Leading {
    /// Goes on as if everything through `last` had been proposed and committed in this epoch.
    pub(super) fn begin_broadcast_again(
        &mut self,
        config: &ReplicaConfig,
        tree: &crate::tree::Tree,
        last: Zxid,
    ) {
        let State::Broadcast(broadcast) = &mut self.state else { panic!("it is established") };
        **broadcast = Broadcast::over(last.epoch(), config, tree, last, self.beat_at);
    }
}

fn refuse(conn: ConnId, turn: &mut Turn<'_>) {
    turn.close(conn, CloseReason::NotServing);
}

/// Where the conversation with a learner stands.
const fn describe(stage: Stage) -> &'static str {
    match stage {
        Stage::Arrived => "first of all",
        Stage::AwaitingEpoch => "before LEADERINFO",
        Stage::AckingEpoch => "behind LEADERINFO",
        Stage::AwaitingSync(_) | Stage::ReadingLog(..) => "behind ACKEPOCH",
        Stage::Syncing => "before NEWLEADER was acknowledged",
        Stage::Synced => "before UPTODATE",
        Stage::Live => "behind UPTODATE",
    }
}
