//! A checker that was never seen to fail is not trusted: for each invariant, a sequence that breaks it.

use std::sync::Arc;

use bytes::Bytes;
use zk_core::action::LogRecord;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Tree};
use zk_core::wire::client::{
    CreateRequest, CreateResponse, DeleteRequest, ExistsRequest, GetDataRequest, SetWatches, SyncRequest,
};
use zk_core::wire::records::Acl;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnDigest, TxnHeader};
use zk_sim::client::Client;
use zk_sim::oracle::{ClientId, Commits, Histories, Invariant, Ledger, Seen, Violation, event};
use zk_sim::run::{Options, Runner, Verdict, run};
use zk_sim::scenario::Scenario;
use zk_sim::workload::Workload;

const SESSION: SessionId = SessionId(0x0100_0000_0000_0001);
const CLIENT: ClientId = ClientId(0);

/// A world of one session, in which everything is right so far.
struct Story {
    commits: Commits,
    histories: Histories,
    tree: Tree,
    xid: i32,
}

fn create_request(path: &'static str) -> CreateRequest {
    CreateRequest { path: Text::from_static(path), data: None, acl: vec![Acl::world(31)], flags: 0 }
}

fn create_body(path: &'static str, parent_cversion: i32) -> TxnBody {
    TxnBody::Create(CreateTxn {
        kind: CreateKind::Create,
        path: Text::from_static(path),
        data: None,
        acl: vec![Acl::world(31)],
        ephemeral: false,
        parent_cversion,
    })
}

impl Story {
    fn new() -> Self {
        let mut story =
            Self { commits: Commits::default(), histories: Histories::default(), tree: Tree::new(), xid: 0 };
        story.commit(0, TxnBody::CreateSession { timeout_ms: 4_000 }).expect("a session begins");
        story
            .see(Seen::Connected { session: SESSION, identities: [].into(), read_only: false })
            .expect("it is connected");
        story
    }

    /// The next txn of the session, with the digest that it leads to.
    fn txn(&mut self, cxid: i32, body: TxnBody) -> Txn {
        let zxid = Zxid(self.commits.states().last().0 + 1);
        let header = TxnHeader { session: SESSION, cxid, zxid, time: WallMs(5), kind: body.kind() };
        let mut txn = Txn { header, body, digest: None };
        self.tree.apply(&txn, ApplyMode::Replay, &mut Vec::new());
        if !matches!(txn.body, TxnBody::Error { .. }) {
            txn.digest = Some(TxnDigest { version: 2, digest: self.tree.digest() as i64 });
        }
        txn
    }

    fn commit(&mut self, cxid: i32, body: TxnBody) -> Result<bool, Violation> {
        let txn = Arc::new(self.txn(cxid, body));
        let first = self.commits.commit(&txn)?;
        self.histories.committed(&self.commits);
        Ok(first)
    }

    fn see(&mut self, seen: Seen) -> Result<(), Violation> {
        self.histories.take(CLIENT, seen, &mut self.commits)
    }

    fn ask(&mut self, request: Request) -> i32 {
        self.xid += 1;
        let xid = self.xid;
        self.see(Seen::Asked { xid, request: Arc::new(request) }).expect("asking breaks nothing");
        xid
    }

    fn reply(&mut self, xid: i32, zxid: i64, err: i32, reply: Option<Reply>) -> Result<(), Violation> {
        self.see(Seen::Replied { xid, zxid: Zxid(zxid), err, reply })
    }

    /// Creates a node and hears of it.
    fn create(&mut self, path: &'static str, parent_cversion: i32) {
        let xid = self.ask(Request::Create(create_request(path)));
        self.commit(xid, create_body(path, parent_cversion)).expect("it is what was asked");
        let zxid = self.commits.states().last().0;
        let reply = Reply::Create(CreateResponse { path: Text::from_static(path) });
        self.reply(xid, zxid, 0, Some(reply)).expect("it is what was committed");
    }
}

#[track_caller]
fn breaks<T: std::fmt::Debug>(invariant: Invariant, outcome: Result<T, Violation>) {
    let violation = outcome.expect_err("it should break");
    assert_eq!(violation.invariant, invariant, "{violation}");
}

#[test]
fn i03_what_nobody_asked_for_is_committed() {
    breaks(Invariant::I03, Story::new().commit(9, create_body("/a", 1)));
}

#[test]
fn i03_something_else_than_was_asked_is_committed() {
    let mut story = Story::new();
    let xid = story.ask(Request::Create(create_request("/a")));
    breaks(Invariant::I03, story.commit(xid, create_body("/b", 1)));
    let mut story = Story::new();
    let xid = story.ask(Request::Delete(DeleteRequest { path: "/none".into(), version: -1 }));
    breaks(Invariant::I03, story.commit(xid, TxnBody::Error { err: -103 }));
}

#[test]
fn i03_a_write_is_refused_as_moved_or_expired_though_its_session_lives_here() {
    for err in [-118, -112] {
        let mut story = Story::new();
        let xid = story.ask(Request::Create(create_request("/a")));
        breaks(Invariant::I03, story.commit(xid, TxnBody::Error { err }));
    }
    let mut story = Story::new();
    let xid = story.ask(Request::Create(create_request("/a")));
    story.commits.let_sessions_move();
    story.commit(xid, TxnBody::Error { err: -118 }).expect("the client may be elsewhere");
    story.commit(0, TxnBody::CloseSession { paths: Some(vec![]) }).unwrap();
    story.commit(9, TxnBody::Error { err: -112 }).expect("its session is closed");
}

#[test]
fn i03_two_nodes_apply_different_txns_under_one_zxid() {
    let mut story = Story::new();
    story.create("/a", 1);
    let mut other = (*story.commits.last().unwrap().txn).clone();
    other.header.time = WallMs(6);
    breaks(Invariant::I03, story.commits.commit(&Arc::new(other)));
}

fn record(zxid: i64) -> LogRecord {
    LogRecord { zxid: Zxid(zxid), bytes: Bytes::new() }
}

#[test]
fn i15_a_zxid_is_left_out_or_comes_again() {
    breaks(Invariant::I15, Ledger::default().log(&[record(1), record(3)]));
    breaks(Invariant::I15, Ledger::default().log(&[record(1), record(1)]));
    assert_eq!(Ledger::default().log(&[record(1), record(2), record(0x1_0000_0001)]), Ok(()));
}

#[test]
fn i18_recovery_comes_back_with_less_than_was_promised_or_more_than_was_logged() {
    let mut story = Story::new();
    let txn = story.txn(0, TxnBody::Error { err: -101 });
    let logged = LogRecord { zxid: Zxid(1), bytes: txn.to_bytes() };
    let mut ledger = Ledger::default();
    ledger.log(std::slice::from_ref(&logged)).unwrap();
    ledger.promise(Zxid(1)).unwrap();
    breaks(Invariant::I18, ledger.clone().recovered(&Tree::new()));
    let mut tree = Tree::new();
    for zxid in [1, 2] {
        let mut more = txn.clone();
        more.header.zxid = Zxid(zxid);
        tree.apply(&more, ApplyMode::Replay, &mut Vec::new());
    }
    breaks(Invariant::I18, ledger.recovered(&tree));
}

#[test]
fn i19_something_is_promised_after_a_failed_sync() {
    let mut ledger = Ledger::default();
    ledger.fsync_failed();
    breaks(Invariant::I19, ledger.promise(Zxid(1)));
}

#[test]
fn i20_a_digest_or_a_tree_differs() {
    let mut story = Story::new();
    let xid = story.ask(Request::Create(create_request("/a")));
    let mut txn = story.txn(xid, create_body("/a", 1));
    txn.digest = Some(TxnDigest { version: 2, digest: 1 });
    breaks(Invariant::I20, story.commits.commit(&Arc::new(txn)));
    let mut story = Story::new();
    story.create("/a", 1);
    assert_eq!(story.commits.compare(&story.tree), Ok(()));
    let mut other = story.tree.clone();
    let header = TxnHeader { session: SESSION, cxid: 0, zxid: Zxid(2), time: WallMs(5), kind: 5 };
    let body = TxnBody::SetData { path: "/a".into(), data: None, version: 9 };
    other.apply(&Txn { header, body, digest: None }, ApplyMode::Replay, &mut Vec::new());
    breaks(Invariant::I20, story.commits.compare(&other));
}

#[test]
fn i22_a_multi_is_applied_in_part() {
    let mut story = Story::new();
    let ops = vec![MultiOp::Create(create_request("/a")), MultiOp::Create(create_request("/none/x"))];
    let xid = story.ask(Request::Multi(ops));
    breaks(Invariant::I22, story.commit(xid, TxnBody::Multi(vec![create_body("/a", 1)])));
}

/// A txn that lay on a disk before the run began: nobody is asked whether it was asked for.
fn given(story: &mut Story, session: SessionId, body: TxnBody) -> Result<bool, Violation> {
    let mut txn = story.txn(1, TxnBody::Error { err: -101 });
    (txn.header.session, txn.header.kind, txn.body) = (session, body.kind(), body);
    story.commits.give(txn.header.zxid);
    story.commits.commit(&Arc::new(txn))
}

#[test]
fn i21_a_txn_contradicts_the_state_before_it() {
    let gone = TxnBody::Delete { path: "/none".into() };
    breaks(Invariant::I21, given(&mut Story::new(), SESSION, gone));
}

#[test]
fn i27_an_ephemeral_belongs_to_a_session_that_does_not_live() {
    let ephemeral = || {
        let TxnBody::Create(create) = create_body("/e", 1) else { unreachable!("it is one") };
        TxnBody::Create(CreateTxn { ephemeral: true, ..create })
    };
    breaks(Invariant::I27, given(&mut Story::new(), SessionId(7), ephemeral()));
    let mut story = Story::new();
    story.commit(0, TxnBody::CloseSession { paths: Some(vec![]) }).unwrap();
    breaks(Invariant::I27, given(&mut story, SESSION, TxnBody::Multi(vec![ephemeral()])));
    given(&mut Story::new(), SESSION, ephemeral()).expect("its session lives");
}

#[test]
fn i28_a_closed_session_goes_on() {
    let mut story = Story::new();
    story.commit(0, TxnBody::CloseSession { paths: Some(vec![]) }).unwrap();
    breaks(Invariant::I28, story.commits.check_attached(SESSION, Zxid(2)));
    story.commits.check_attached(SESSION, Zxid(1)).expect("this server does not know it yet");
}

#[test]
fn i30_a_session_that_nobody_holds_does_not_expire_in_time() {
    let orphaned = |rate: &str| {
        let text = format!("{LOAD}[cluster.node.1]\nclock_rate = \"{rate}\"\n");
        let mut runner = Runner::new(&Scenario::parse(&text).unwrap(), 1, Options::default()).unwrap();
        runner.phase_one().unwrap();
        let (world, seat) = (&runner.world, &runner.world.seats[0].client);
        assert!(seat.session().is_some());
        let (entity, servers, now) = (seat.entity, 1, world.now);
        let workload = Arc::new(Workload::default());
        runner.world.seats[0].client = Client::new(entity, workload, servers, now, &mut runner.world.dice);
        runner.phase_two()
    };
    assert_eq!(orphaned("0.1").expect_err("its clock is too slow").kind(), "I30");
    orphaned("1").expect("it expires");
}

#[test]
fn i25_a_session_id_is_given_out_twice() {
    breaks(Invariant::I25, Story::new().commit(0, TxnBody::CreateSession { timeout_ms: 4_000 }));
}

#[test]
fn i26_a_txn_follows_the_close_of_its_session() {
    let mut story = Story::new();
    let first = story.ask(Request::Create(create_request("/a")));
    story.commit(0, TxnBody::CloseSession { paths: Some(vec![]) }).unwrap();
    breaks(Invariant::I26, story.commit(first, create_body("/a", 1)));
}

#[test]
fn i32_a_session_sees_time_run_backwards() {
    let mut story = Story::new();
    story.create("/a", 1);
    let xid = story.ask(Request::Sync(SyncRequest { path: None }));
    breaks(Invariant::I32, story.reply(xid, 1, 0, None));
}

#[test]
fn i32_a_sync_does_not_see_what_had_completed() {
    let mut story = Story::new();
    let (other, session) = (ClientId(1), SessionId(0x0100_0000_0000_0002));
    let header = TxnHeader { session, cxid: 0, zxid: Zxid(2), time: WallMs(5), kind: -10 };
    let txn = Txn { header, body: TxnBody::CreateSession { timeout_ms: 4_000 }, digest: None };
    story.commits.commit(&Arc::new(txn)).unwrap();
    story.tree.apply(&story.commits.last().unwrap().txn.clone(), ApplyMode::Replay, &mut Vec::new());
    story.create("/a", 1);
    let mut see = |seen| story.histories.take(other, seen, &mut story.commits);
    see(Seen::Connected { session, identities: [].into(), read_only: false }).unwrap();
    let request = Arc::new(Request::Sync(SyncRequest { path: None }));
    see(Seen::Asked { xid: 1, request }).unwrap();
    breaks(Invariant::I32, see(Seen::Replied { xid: 1, zxid: Zxid(2), err: 0, reply: None }));
}

#[test]
fn i33_replies_come_in_another_order_or_show_something_else() {
    let mut story = Story::new();
    let first = story.ask(Request::Sync(SyncRequest { path: None }));
    let second = story.ask(Request::Sync(SyncRequest { path: None }));
    assert_ne!(first, second);
    breaks(Invariant::I33, story.reply(second, 1, 0, None));
    let mut story = Story::new();
    story.create("/a", 1);
    let xid = story.ask(Request::GetData(GetDataRequest { path: "/a".into(), watch: false }));
    breaks(Invariant::I33, story.reply(xid, 2, -101, None));
}

#[test]
fn i34_something_is_acknowledged_that_was_not_committed_or_not_so() {
    let mut story = Story::new();
    let xid = story.ask(Request::Create(create_request("/a")));
    let reply = || Some(Reply::Create(CreateResponse { path: "/a".into() }));
    breaks(Invariant::I34, story.reply(xid, 1, 0, reply()));
    let mut story = Story::new();
    let xid = story.ask(Request::Create(create_request("/a")));
    story.commit(xid, create_body("/a", 1)).unwrap();
    let reply = Some(Reply::Create(CreateResponse { path: "/b".into() }));
    breaks(Invariant::I34, story.reply(xid, 2, 0, reply));
}

#[test]
fn i38_a_write_is_refused_that_took_effect() {
    let mut story = Story::new();
    let xid = story.ask(Request::Create(create_request("/a")));
    story.commit(xid, create_body("/a", 1)).unwrap();
    breaks(Invariant::I38, story.reply(xid, 2, -110, None));
}

#[test]
fn i35_a_reply_shows_a_change_before_its_event() {
    let mut story = Story::new();
    let xid = story.ask(Request::Exists(ExistsRequest { path: "/a".into(), watch: true }));
    story.reply(xid, 1, -101, None).unwrap();
    let xid = story.ask(Request::Create(create_request("/a")));
    story.commit(xid, create_body("/a", 1)).unwrap();
    let reply = Some(Reply::Create(CreateResponse { path: "/a".into() }));
    breaks(Invariant::I35, story.reply(xid, 2, 0, reply));
}

#[test]
fn i36_an_event_comes_unasked_twice_or_not_at_all() {
    let mut story = Story::new();
    let told = |zxid| Seen::Notified { zxid: Zxid(zxid), kind: event::CREATED, path: "/a".into() };
    breaks(Invariant::I36, story.see(told(1)));
    let mut story = Story::new();
    let xid = story.ask(Request::Exists(ExistsRequest { path: "/a".into(), watch: true }));
    story.reply(xid, 1, -101, None).unwrap();
    let xid = story.ask(Request::Create(create_request("/a")));
    story.commit(xid, create_body("/a", 1)).unwrap();
    breaks(Invariant::I36, story.histories.settled(|_| true));
    story.see(told(2)).unwrap();
    breaks(Invariant::I36, story.see(told(2)));
}

#[test]
fn i36_a_reconnect_does_not_tell_what_was_missed() {
    let mut story = Story::new();
    story.create("/a", 1);
    story.see(Seen::Lost).unwrap();
    story.see(Seen::Connected { session: SESSION, identities: [].into(), read_only: false }).unwrap();
    let list = |paths: &[&str]| Some(paths.iter().map(|path| Text::from(*path)).collect());
    let again =
        SetWatches { relative_zxid: Zxid(1), data: list(&[]), exist: list(&["/a"]), child: list(&[]) };
    let xid = story.ask(Request::SetWatches(again));
    breaks(Invariant::I36, story.reply(xid, 2, 0, Some(Reply::Empty)));
}

const LOAD: &str = "duration = \"3s\"\n[[workload]]\nclients = 3\nrate = \"50/s\"\n";

#[test]
fn i41_a_world_that_does_not_become_well_in_time_is_not_live() {
    let text = format!(
        "{LOAD}[[fault]]\nat = \"2900ms\"\ndo = {{ crash = \"node:1\" }}\nfor = \"50ms\"\n[expect]\nheal_within = \"1ms\"\n"
    );
    let run = run(&Scenario::parse(&text).unwrap(), 1, Options::default()).unwrap();
    assert!(matches!(run.verdict, Verdict::NotLive(_)), "{:?}", run.verdict);
    assert_eq!(run.verdict.exit_code(), 3);
}

#[test]
fn i42_a_quiet_world_in_which_a_connection_breaks_is_not_quiet() {
    let mut runner = Runner::new(&Scenario::parse(LOAD).unwrap(), 1, Options::default()).unwrap();
    for _ in 0..200 {
        runner.one().unwrap();
    }
    runner.world.break_client(1);
    runner.phase_one().unwrap();
    let verdict = runner.phase_two().expect_err("it was not quiet");
    assert_eq!(verdict.kind(), "I42");
}
