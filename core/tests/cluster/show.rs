//! The world in words.

use std::fmt::Write as _;

use zk_core::config::member::Role;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::event::Event;
use zk_core::ids::{ConnId, SessionId};
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, Standing};
use zk_core::tree::TxnResult;
use zk_core::wire::quorum::QuorumPacket;
use zk_core::wire::txn::{Txn, TxnBody};

use super::wires::Item;

pub(crate) fn conn(conn: ConnId) -> String {
    format!("c{}", conn.0)
}

pub(crate) fn standing(standing: &Standing) -> String {
    let leader = standing.leader.map_or_else(String::new, |leader| format!(" {leader}"));
    let clients = match standing.clients {
        ClientService::Open => ", serves",
        ClientService::ReadOnly => ", serves readers",
        ClientService::Closed => "",
    };
    format!("{:?}{leader} in {:?}{clients}", standing.role, standing.phase)
}

/// `None` for what is not worth a line.
pub(crate) fn event(event: &Event, name: impl Fn(SessionId) -> String) -> Option<String> {
    Some(match event {
        Event::Committed { .. }
        | Event::SnapshotStarted { .. }
        | Event::SnapshotDone { .. }
        | Event::ConfigSeen { .. }
        | Event::ConfigInForce { .. }
        | Event::ElectionDecided { .. } => return None,
        Event::SessionCreating { session, .. } => format!("{} is to begin", name(*session)),
        Event::LocalSessionBegun { session, .. } => format!("{} begins here", name(*session)),
        Event::LocalSessionUpgraded { session } => format!("{} becomes the ensemble's", name(*session)),
        Event::LocalSessionExpired { session } => format!("{} expires here", name(*session)),
        Event::SessionExpiring { session } => format!("{} expires", name(*session)),
        Event::ElectionBegun { zxid, epoch } => format!("asks for votes with {zxid} of epoch {epoch}"),
        Event::SyncChosen { learner, kind, from, to } => {
            format!("syncs {learner} by {kind:?} from {from} to {to}")
        }
        Event::RoleLeft { why } => format!("gives up, {why:?}"),
        other => format!("{other:?}"),
    })
}

pub(crate) fn item(
    item: &Item,
    is_election: bool,
    verbose: bool,
    name: impl Fn(SessionId) -> String,
) -> Option<String> {
    if is_election && !verbose {
        return None;
    }
    Some(match item {
        Item::Packet(packet) => return show_packet(packet, verbose, name),
        Item::View(view) => format!("SNAP {}", view.last_zxid()),
        Item::Fin => "hangs up".into(),
        Item::Hello(hello) => format!("hello from {}", hello.sid),
        Item::Vote(vote) => format!("{vote:?}"),
    })
}

fn show_packet(packet: &QuorumPacket, verbose: bool, name: impl Fn(SessionId) -> String) -> Option<String> {
    Some(match packet {
        QuorumPacket::Ping { .. } if !verbose => return None,
        QuorumPacket::PingReply { touches, .. } if !verbose && touches.is_empty() => return None,
        QuorumPacket::PingReply { touches, .. } => {
            let names: Vec<_> = touches.iter().map(|touch| name(touch.session)).collect();
            format!("PING [{}]", names.join(" "))
        }
        QuorumPacket::Ping { zxid } => format!("PING {zxid}"),
        QuorumPacket::Request(r) => format!("REQUEST {} cxid {} op {}", name(r.session), r.cxid, r.op),
        QuorumPacket::Proposal { zxid, txn } => format!("PROPOSAL {zxid} {}", show_txn(txn, name)),
        QuorumPacket::Inform { zxid, txn } => format!("INFORM {zxid} {}", show_txn(txn, name)),
        QuorumPacket::Revalidate { touch } => format!("REVALIDATE {}", name(touch.session)),
        QuorumPacket::Revalidated { session, valid } => format!("REVALIDATE {} {valid}", name(*session)),
        QuorumPacket::AckEpoch { zxid, current_epoch } => {
            let epoch = current_epoch.map_or_else(|| "-1".into(), |epoch| epoch.to_string());
            format!("ACKEPOCH {zxid} of epoch {epoch}")
        }
        QuorumPacket::FollowerInfo { zxid, .. }
        | QuorumPacket::ObserverInfo { zxid, .. }
        | QuorumPacket::Ack { zxid }
        | QuorumPacket::Commit { zxid }
        | QuorumPacket::NewLeader { zxid, .. }
        | QuorumPacket::Diff { zxid }
        | QuorumPacket::Trunc { zxid }
        | QuorumPacket::Snap { zxid }
        | QuorumPacket::LeaderInfo { zxid, .. } => format!("{} {zxid}", packet.name()),
        QuorumPacket::CommitAndActivate { zxid, leader } => {
            format!("COMMITANDACTIVATE {zxid} leader {leader}")
        }
        QuorumPacket::InformAndActivate { zxid, leader, txn } => {
            format!("INFORMANDACTIVATE {zxid} leader {leader} {}", show_txn(txn, name))
        }
        QuorumPacket::Sync | QuorumPacket::UpToDate => packet.name().into(),
        other => format!("{other:?}"),
    })
}

fn show_txn(bytes: &bytes::Bytes, name: impl Fn(SessionId) -> String) -> String {
    let Ok(txn) = Txn::decode(bytes.clone()) else { return "?".into() };
    format!("{} {}", name(txn.header.session), body(&txn.body))
}

fn body(body: &TxnBody) -> String {
    match body {
        TxnBody::CreateSession { timeout_ms } => format!("createSession {timeout_ms}"),
        TxnBody::CloseSession { paths } => format!("closeSession {:?}", paths.as_deref().unwrap_or_default()),
        TxnBody::Error { err } => format!("error {err}"),
        TxnBody::Create(create) => format!("create {}", create.path),
        TxnBody::Delete { path } => format!("delete {path}"),
        TxnBody::Reconfig { .. } => "reconfig".into(),
        TxnBody::SetData { path, version, .. } => format!("set {path} v{version}"),
        other => format!("{other:?}"),
    }
}

pub(crate) fn result(result: &TxnResult) -> String {
    match result {
        TxnResult::SessionCreated => "session begins".into(),
        TxnResult::SessionClosed => "session ends".into(),
        TxnResult::Created { path, .. } => format!("created {path}"),
        TxnResult::Done => "done".into(),
        TxnResult::Changed { stat } => format!("changed to v{}", stat.version),
        TxnResult::Multi(results) => format!("{results:?}"),
        TxnResult::Failed { err } => format!("failed {err}"),
    }
}

/// Voters and observers of the config in force, and of the one that was seen last if that is another.
pub(crate) fn membership(membership: &Membership) -> String {
    let config = |config: &QuorumConfig| {
        let of = |role| config.members().filter(move |m| m.role == role).map(|m| m.sid.to_string());
        let voters: Vec<_> = of(Role::Participant).collect();
        let observers: Vec<_> = of(Role::Observer).map(|sid| format!("({sid})")).collect();
        format!("{} {}", config.version(), [voters, observers].concat().join(" "))
    };
    let mut said = format!("config {}", config(membership.in_force()));
    if membership.quorums().last_seen().is_some() {
        let _ = write!(said, ", seen {}", config(membership.last_seen()));
    }
    said
}
