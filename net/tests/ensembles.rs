//! Three servers in one process, over real sockets and files.

mod served;

use std::collections::HashSet;
use std::io::{Read, Write};

use bytes::Bytes;
use served::ensemble::{Servers, connect, keys};
use served::{create, get, get_and_watch, set, until};
use zk_core::ids::SessionId;
use zk_core::wire::client::{GetDataResponse, SyncRequest};
use zk_core::wire::request::Request;

fn three() -> (Servers, usize) {
    let mut servers = Servers::new(3);
    (1..=3).for_each(|n| servers.start(n));
    let leader = servers.elect();
    (servers, leader)
}

fn sync() -> Request {
    Request::Sync(SyncRequest { path: Some("/".into()) })
}

fn data(client: &mut served::Client, path: &str) -> Option<Bytes> {
    client.ask(sync());
    client.ask(get(path)).decode::<GetDataResponse>().data
}

#[test]
fn what_is_written_at_one_server_is_read_at_all_after_a_sync() {
    let (servers, leader) = three();
    for n in 1..=3 {
        let path = format!("/{n}");
        assert_eq!(servers.client(n).ask(create(&path, b"x")).header.err, 0);
        for other in 1..=3 {
            assert_eq!(data(&mut servers.client(other), &path).as_deref(), Some(&b"x"[..]));
        }
    }
    let digests: Vec<_> = (1..=3).map(|n| servers.server(n).mntr("znode_count")).collect();
    assert_eq!(digests, [digests[0]; 3]);
    assert_eq!(servers.server(leader).mntr("synced_followers"), 2.0);
}

#[test]
fn more_than_a_connection_may_have_in_flight_is_answered_by_leader_and_follower() {
    let (servers, leader) = three();
    let follower = leader % 3 + 1;
    for n in [leader, follower] {
        let mut client = servers.client(n);
        let path = format!("/{n}");
        client.ask(create(&path, b""));
        let sent = client.send(&vec![set(&path, &[7; 1000]); 3000]);
        for xid in sent {
            let reply = client.next().unwrap();
            assert_eq!((reply.header.xid, reply.header.err), (xid, 0));
        }
    }
}

#[test]
fn a_server_that_was_away_is_brought_up_to_date() {
    let (mut servers, leader) = three();
    let away = leader % 3 + 1;
    let mut client = servers.client(leader);
    client.ask(create("/a", b"0"));
    assert!(data(&mut servers.client(away), "/a").is_some());
    servers.stop(away);
    for i in 0..100 {
        client.ask(set("/a", format!("{i}").as_bytes()));
    }
    servers.start(away);
    servers.elect();
    assert_eq!(data(&mut servers.client(away), "/a").as_deref(), Some(&b"99"[..]));
    assert_eq!(servers.server(leader).mntr("snap_count"), 0.0);
    // Farther away than what is in memory reaches back: by a snapshot, with clients at work meanwhile.
    servers.stop(away);
    for _ in 0..20 {
        client.send(&vec![set("/a", &[7; 5000]); 100]);
        (0..100).for_each(|_| assert_eq!(client.next().unwrap().header.err, 0));
    }
    servers.start(away);
    client.send(&vec![set("/a", b"last"); 500]);
    (0..500).for_each(|_| assert_eq!(client.next().unwrap().header.err, 0));
    servers.elect();
    assert_eq!(data(&mut servers.client(away), "/a").as_deref(), Some(&b"last"[..]));
    assert_eq!(servers.server(leader).mntr("snap_count"), 1.0);
}

#[test]
fn a_session_goes_on_elsewhere_when_its_leader_stops() {
    let (mut servers, leader) = three();
    let mut client = servers.client(leader);
    client.ask(create("/a", b"kept"));
    let mut watcher = servers.socket(leader);
    let session = watcher.handshake(SessionId::NONE, None);
    watcher.ask(get_and_watch("/a"));
    servers.stop(leader);
    while client.next().is_some() {}
    while watcher.next().is_some() {}
    let next = servers.elect();
    let mut again = servers.socket(next);
    let response = again.handshake(session.session, session.password.clone());
    assert_eq!((response.session, response.timeout_ms), (session.session, session.timeout_ms));
    assert_eq!(again.ask(get("/a")).decode::<GetDataResponse>().data.as_deref(), Some(&b"kept"[..]));
    servers.start(leader);
    servers.elect();
}

#[test]
fn without_a_quorum_clients_are_turned_away_and_words_say_so() {
    let (mut servers, leader) = three();
    let (one, two) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let mut client = servers.client(one);
    servers.stop(leader);
    servers.stop(two);
    while client.next().is_some() {}
    let server = servers.server(one);
    until("it looks for a leader", || served::ensemble::mode(server) == "none");
    let not_serving = "This ZooKeeper instance is not currently serving requests\n";
    for word in [&b"srvr"[..], b"stat", b"mntr", b"conf", b"cons", b"dump", b"wchs", b"crst", b"srst"] {
        assert_eq!(server.word(word), not_serving);
    }
    assert_eq!((server.word(b"ruok"), server.word(b"isro")), ("imok".to_owned(), "null".to_owned()));
    let mut turned_away = servers.socket(one);
    turned_away.send_handshake(SessionId::NONE, None);
    assert!(turned_away.is_closed());
}

#[test]
fn garbage_on_the_ports_between_servers_is_hung_up_on_and_harms_nobody() {
    let (servers, leader) = three();
    let mut client = servers.client(leader % 3 + 1);
    client.ask(create("/a", b""));
    for port in [servers.election_port(1), servers.election_port(leader), servers.quorum_port(leader)] {
        for garbage in [&[0xff; 4096][..], &[0; 4096], b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n"] {
            let mut stranger = connect(port);
            // It may be hung up on before it has said everything.
            let _ = stranger.write_all(garbage);
            let mut rest = Vec::new();
            let _ = stranger.read_to_end(&mut rest);
            assert_eq!(rest, b"");
        }
    }
    // So many that say nothing that the oldest have to go.
    let silent: Vec<_> = (0..100).map(|_| connect(servers.quorum_port(leader))).collect();
    assert_eq!((&silent[0]).read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(client.ask(set("/a", b"x")).header.err, 0);
    assert_eq!(servers.elect(), leader);
    assert_eq!(servers.server(leader).mntr("looking_count"), 1.0);
}

#[test]
fn words_tell_of_the_ensemble_as_java_does() {
    let (servers, leader) = three();
    let follower = leader % 3 + 1;
    servers.client(follower).ask(create("/a", b"data"));
    let (led, follows) = (servers.server(leader).word(b"mntr"), servers.server(follower).word(b"mntr"));
    for line in ["zk_server_state\tleader", "zk_peer_state\tleading - broadcast", "zk_quorum_size\t3"] {
        assert!(led.lines().any(|found| found == line), "{led}");
    }
    for line in ["zk_learners\t2", "zk_synced_followers\t2", "zk_synced_observers\t0", "zk_pending_syncs\t0"]
    {
        assert!(led.lines().any(|found| found == line), "{led}");
    }
    for line in ["zk_server_state\tfollower", "zk_peer_state\tfollowing - broadcast"] {
        assert!(follows.lines().any(|found| found == line), "{follows}");
    }
    // What Java's leader has and its follower has not.
    let only_led: Vec<_> =
        ["leader_uptime", "learners", "synced_followers", "last_proposal_size", "pending_syncs"]
            .iter()
            .map(|name| format!("zk_{name}"))
            .collect();
    assert!(only_led.iter().all(|name| keys(&led).contains(name) && !keys(&follows).contains(name)));
    let srvr = servers.server(leader).word(b"srvr");
    assert!(srvr.contains("Mode: leader\n") && srvr.contains("\nProposal sizes last/min/max: "), "{srvr}");
    let conf = servers.server(follower).word(b"conf");
    let (election, quorum) = (servers.election_port(follower), servers.quorum_port(follower));
    let expected = format!(
        "serverId={follower}\ninitLimit=20\nsyncLimit=10\nelectionAlg=3\nelectionPort={election}\nquorumPort={quorum}\n\
         peerType=0\nmembership: \n{}",
        servers.members
    );
    assert!(conf.ends_with(&expected), "{conf}");
    let dump = servers.server(follower).word(b"dump");
    assert!(
        dump.starts_with("SessionTracker dump:\nGlobal Sessions(1):\n0x") && dump.contains("\t30000ms\n"),
        "{dump}"
    );
}

#[test]
fn latencies_and_queues_are_told_under_java_s_names() {
    let (servers, leader) = three();
    let follower = leader % 3 + 1;
    let mut client = servers.client(follower);
    client.ask(create("/a", b""));
    (0..20).for_each(|_| assert_eq!(client.ask(set("/a", b"x")).header.err, 0));
    let (led, follows) = (servers.server(leader), servers.server(follower));
    // The session, the znode and what was set.
    let txns = 22.0;
    until("all is applied at the leader", || led.mntr("cnt_propagation_latency") >= txns);
    assert_eq!([led.mntr("cnt_quorum_ack_latency"), led.mntr("cnt_proposal_latency")], [txns, 0.0]);
    for name in ["propagation_latency", "proposal_latency", "commit_propagation_latency"] {
        assert_eq!(follows.mntr(&format!("cnt_{name}")), txns, "{name}");
    }
    // One clock for all.
    assert!(follows.mntr("max_propagation_latency") < 30_000.0);
    assert_eq!([follows.mntr("cnt_follower_sync_time"), led.mntr("cnt_follower_sync_time")], [1.0, 0.0]);
    assert_eq!([led.mntr("cnt_inflight_diff_count"), led.mntr("cnt_inflight_snap_count")], [2.0, 0.0]);
    assert!(led.mntr("max_inflight_diff_count") >= 1.0 && follows.mntr("cnt_inflight_diff_count") == 0.0);
    for learner in (1..=3).filter(|n| *n != leader) {
        // A proposal and a commit at least, which may be written together.
        let sizes = format!("{learner}_learner_handler_qp_size");
        assert!(led.mntr(&format!("cnt_{sizes}")) >= txns && led.mntr(&format!("sum_{sizes}")) >= 2.0 * txns);
        assert!(led.mntr(&format!("p99_{learner}_learner_handler_qp_time_ms")) < 30_000.0);
    }
    let java: HashSet<&str> = include_str!("java_mntr_names.txt").lines().collect();
    // What a leader of an ensemble has besides, of 3.8.0; and 3.5's, which monitoring still asks for.
    let leaders =
        ["leader_uptime", "learners", "synced_followers", "synced_non_voting_followers", "synced_observers"];
    let leaders = leaders.iter().chain(&["pending_syncs", "last_proposal_size", "min_proposal_size"]);
    let leaders =
        leaders.chain(&["max_proposal_size", "fsync_threshold_exceed_count", "peer_state", "quorum_size"]);
    let leaders: HashSet<String> = leaders.map(|name| format!("zk_{name}")).collect();
    let of_learner = |name: &str| {
        let mut parts = name.splitn(4, '_').skip(2);
        let sid = parts.next().is_some_and(|sid| sid.parse::<u8>().is_ok());
        sid && parts.next().is_some_and(|rest| rest.starts_with("learner_handler_qp_"))
    };
    for name in keys(&led.word(b"mntr")) {
        let known = java.contains(&*name) || leaders.contains(&name) || of_learner(&name);
        assert!(known, "{name} is no name of Java's");
    }
}
