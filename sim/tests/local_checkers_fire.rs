//! What the oracle holds against sessions that one server alone knows, and against servers without a leader, seen to fire.

use std::sync::Arc;

use zk_core::ids::{SessionId, Zxid};
use zk_core::wire::client::{DeleteRequest, SyncRequest};
use zk_core::wire::request::Request;
use zk_sim::oracle::{ClientId, Commits, Histories, Invariant, Seen, Violation};

const LOCAL: SessionId = SessionId(0x0100_0080_0000_0001);
const CLIENT: ClientId = ClientId(0);

fn breaks<T: std::fmt::Debug>(invariant: Invariant, outcome: Result<T, Violation>) {
    assert_eq!(outcome.unwrap_err().invariant, invariant);
}

/// A session of node 1.
fn begun() -> (Commits, Histories) {
    let (mut commits, histories) = (Commits::default(), Histories::default());
    commits.local_begins(LOCAL, 1, 4000).unwrap();
    (commits, histories)
}

fn connected(read_only: bool) -> Seen {
    Seen::Connected { session: LOCAL, identities: [].into(), read_only }
}

fn delete() -> Arc<Request> {
    Arc::new(Request::Delete(DeleteRequest { path: "/a".into(), version: -1 }))
}

fn replied(xid: i32, err: i32) -> Seen {
    Seen::Replied { xid, zxid: Zxid::ZERO, err, reply: None }
}

#[test]
fn i25_a_local_session_is_given_out_twice() {
    let (mut commits, _) = begun();
    breaks(Invariant::I25, commits.local_begins(LOCAL, 2, 4000));
}

#[test]
fn i28_a_local_session_goes_on_elsewhere_or_after_its_end() {
    let (mut commits, _) = begun();
    commits.check_local_attached(LOCAL, 1).unwrap();
    breaks(Invariant::I28, commits.check_local_attached(LOCAL, 2));
    assert_eq!(commits.local_ends(LOCAL), 4000);
    breaks(Invariant::I28, commits.check_local_attached(LOCAL, 1));
    let (mut commits, _) = begun();
    commits.locals_end(1);
    breaks(Invariant::I28, commits.check_local_attached(LOCAL, 1));
}

#[test]
fn i34_a_client_is_given_a_session_that_began_nowhere() {
    let (mut commits, mut histories) = (Commits::default(), Histories::default());
    breaks(Invariant::I34, histories.take(CLIENT, connected(false), &mut commits));
}

#[test]
fn i34_a_server_without_a_leader_takes_a_write_or_a_sync() {
    for request in
        [delete(), Arc::new(Request::Sync(SyncRequest { path: None })), Arc::new(Request::Multi(vec![]))]
    {
        let (mut commits, mut histories) = begun();
        histories.take(CLIENT, connected(true), &mut commits).unwrap();
        for (xid, err) in [(1, -119), (2, 0)] {
            let request = Arc::clone(&request);
            histories.take(CLIENT, Seen::Asked { xid, request }, &mut commits).unwrap();
            let outcome = histories.take(CLIENT, replied(xid, err), &mut commits);
            if err == 0 { breaks(Invariant::I34, outcome) } else { outcome.unwrap() }
        }
    }
}

#[test]
fn i34_a_server_with_a_leader_refuses_a_write_as_if_it_had_none() {
    let (mut commits, mut histories) = begun();
    histories.take(CLIENT, connected(false), &mut commits).unwrap();
    histories.take(CLIENT, Seen::Asked { xid: 1, request: delete() }, &mut commits).unwrap();
    breaks(Invariant::I34, histories.take(CLIENT, replied(1, -119), &mut commits));
}

#[test]
fn i34_the_close_of_a_local_session_fails() {
    for (err, holds) in [(0, true), (-112, false)] {
        let (mut commits, mut histories) = begun();
        histories.take(CLIENT, connected(false), &mut commits).unwrap();
        let request = Arc::new(Request::CloseSession);
        histories.take(CLIENT, Seen::Asked { xid: 1, request }, &mut commits).unwrap();
        let outcome = histories.take(CLIENT, replied(1, err), &mut commits);
        if holds { outcome.unwrap() } else { breaks(Invariant::I34, outcome) }
    }
}
