//! Four-letter words as Apache ZooKeeper 3.8.0 answers them. The expected texts were captured from Debian's package with the
//! clients below; numbers that differ from run to run stand as `#`.
#![cfg(not(feature = "loom"))]

mod served;

use std::collections::BTreeSet;
use std::io::Write;

use served::{Client, Served, config, create, get_and_watch, set, start, until};
use zk_core::wire::client::CreateRequest;
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::request::Request;

/// Two clients with watches and ephemerals, as when the texts were captured.
fn scene(served: &Served) -> (Client, Client) {
    let (mut a, mut b) = (served.client(), served.client());
    let ephemeral = |path: &str| {
        let acl = vec![Acl::world(perms::ALL)];
        Request::Create(CreateRequest { path: path.into(), data: None, acl, flags: 1 })
    };
    a.ask(create("/app", b"data"));
    a.ask(ephemeral("/app/eph"));
    a.ask(get_and_watch("/app/eph"));
    b.ask(ephemeral("/app/e2"));
    b.ask(set("/app", b"more"));
    b.ask(get_and_watch("/app"));
    (a, b)
}

/// Every run of digits becomes `#`; hex numbers, decimals and dates too.
fn shape(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
        let end = word.len() - usize::from(!word.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.'));
        let (word, behind) = word.split_at(end);
        let number = word.starts_with(|c: char| c.is_ascii_digit());
        out += if number && word.chars().all(|c| c.is_ascii_hexdigit() || c == 'x' || c == '.') {
            "#"
        } else {
            word
        };
        out += behind;
    }
    out
}

/// `Tue Nov 24 23:13:22 UTC 2026` and the like.
fn without_dates(text: &str) -> String {
    let dated = |line: &str| match line.split_once(" expire at ") {
        Some((count, date)) => {
            assert!(date.ends_with(':') && date.contains(" UTC 2"), "{line}");
            format!("{count} expire at DATE:")
        }
        None => line.to_owned(),
    };
    text.lines().map(|line| dated(line) + "\n").collect()
}

const SRVR: &str = "Latency min/avg/max: #/#/#\nReceived: #\nSent: #\nConnections: #\nOutstanding: #\nZxid: #\n\
                    Mode: standalone\nNode count: #\n";

#[test]
fn srvr_stat_and_cons_look_like_java_s() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let _clients = scene(&served);
    let version = "Zookeeper version: 3.9.5-test, built on never\n";
    let srvr = served.word(b"srvr");
    assert_eq!(shape(srvr.strip_prefix(version).unwrap()), SRVR);
    assert!(srvr.contains("\nZxid: 0x6\n") && srvr.contains("\nNode count: 8\n"), "{srvr}");
    let stat = served.word(b"stat");
    let expected = "Clients:\n /#:#[#](queued=#,recved=#,sent=#)\n /#:#[#](queued=#,recved=#,sent=#)\n \
                    /#:#[#](queued=#,recved=#,sent=#)\n\n";
    assert_eq!(shape(stat.strip_prefix(version).unwrap()), expected.to_owned() + SRVR);
    let cons = served.word(b"cons");
    let expected = " /#:#[#](queued=#,recved=#,sent=#,sid=#,lop=GETD,est=#,to=#,lcxid=#,lzxid=#,lresp=#,llat=#,\
                    minlat=#,avglat=#,maxlat=#)\n";
    assert_eq!(shape(&cons), format!("{expected}{expected} /#:#[#](queued=#,recved=#,sent=#)\n\n"));
    assert!(cons.contains("[1](queued=0,recved=4,sent=4,"), "{cons}");
    assert!(cons.contains("[0](queued=0,recved=1,sent=0)"), "{cons}");
}

#[test]
fn resets_say_so_and_reset() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let _clients = scene(&served);
    assert_eq!(served.word(b"crst"), "Connection stats reset.\n");
    let cons = served.word(b"cons");
    assert!(cons.contains("(queued=0,recved=0,sent=0,"), "{cons}");
    assert_eq!(served.word(b"srst"), "Server stats reset.\n");
    let srvr = served.word(b"srvr");
    // The answer to srst itself, and the question for srvr: as Java counts.
    assert!(srvr.contains("Latency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 1\n"), "{srvr}");
}

#[test]
fn dump_shows_sessions_ephemerals_and_connections() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let _clients = scene(&served);
    let dump = without_dates(&served.word(b"dump"));
    let (sessions, rest) = dump.split_once("ephemeral nodes dump:\n").unwrap();
    let (ephemerals, connections) = rest.split_once("Connections dump:\n").unwrap();
    assert!(
        shape(sessions).starts_with("SessionTracker dump:\nSession Sets (#)/(#):\n# expire at DATE:\n\t#\n")
    );
    assert_eq!(shape(ephemerals), "Sessions with Ephemerals (#):\n#:\n\t/app/eph\n#:\n\t/app/e2\n");
    assert!(
        shape(connections)
            .starts_with("Connections Sets (#)/(#):\n# expire at DATE:\n\tip: /#:# sessionId: #\n")
    );
    assert!(connections.contains(")/(3):"), "{connections}");
}

#[test]
fn watch_words_list_watches_by_session_and_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let _clients = scene(&served);
    assert_eq!(served.word(b"wchs"), "2 connections watching 2 paths\nTotal watches:2\n");
    assert_eq!(shape(&served.word(b"wchc")), "#\n\t/app/eph\n#\n\t/app\n\n");
    assert_eq!(shape(&served.word(b"wchp")), "/app\n\t#\n/app/eph\n\t#\n\n");
}

#[test]
fn conf_and_dirs_tell_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let version_2 = dir.path().join("data/version-2");
    let conf = served.word(b"conf").replace(version_2.to_str().unwrap(), "DIR");
    let expected = "clientPort=#\nsecureClientPort=-#\ndataDir=DIR\ndataDirSize=#\ndataLogDir=DIR\ndataLogSize=#\n\
                    tickTime=#\nmaxClientCnxns=#\nminSessionTimeout=#\nmaxSessionTimeout=#\n\
                    clientPortListenBacklog=-#\nserverId=#\n";
    assert_eq!(shape(&conf), expected);
    assert_eq!(shape(&served.word(b"dirs")), "datadir_size: #\nlogdir_size: #\n");
    assert_eq!(served.word(b"envi"), "Environment:\nzookeeper.version=3.9.5-test\n");
}

#[test]
fn small_words_end_without_a_newline_where_java_s_do() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    assert_eq!(served.word(b"ruok"), "imok");
    assert_eq!(served.word(b"ruok\n"), "imok");
    assert_eq!(served.word(b"isro"), "rw");
    assert_eq!(served.word(b"gtmk"), "306");
    assert_eq!(served.word(b"stmk\0\0\0\0\0\0\0\xfa"), "250");
    assert_eq!(served.word(b"gtmk"), "250");
    assert_eq!(served.word(b"\xff\xf4\xff\xfd"), "");
    assert_eq!(served.word(b"abcd"), "");
}

#[test]
fn a_mask_that_comes_late_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.socket();
    for piece in [&b"st"[..], b"mk\0\0", b"\0\0\0\0\x01", b"\0"] {
        client.socket.write_all(piece).unwrap();
    }
    assert_eq!(client.rest(), "256");
}

#[test]
fn words_outside_the_whitelist_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.whitelist = BTreeSet::from(["srvr".to_owned()]);
    let served = start(config);
    assert!(served.word(b"srvr").starts_with("Zookeeper version: "));
    assert_eq!(served.word(b"ruok"), "ruok is not executed because it is not in the whitelist.\n");
    let telnet = "telnet close is not executed because it is not in the whitelist.\n";
    assert_eq!(served.word(b"\xff\xf4\xff\xfd"), telnet);
}

#[test]
fn hash_tells_the_digest_of_every_128th_zxid() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut client = served.client();
    assert_eq!(served.word(b"hash"), "");
    client.ask(create("/a", b""));
    let xids = client.send(&vec![set("/a", b"value"); 300]);
    xids.iter().for_each(|_| assert_eq!(client.next().unwrap().header.err, 0));
    let hash = served.word(b"hash");
    let zxids: Vec<_> = hash.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(zxids, ["80", "100"], "{hash}");
}

#[test]
fn mntr_tells_numbers_under_java_s_names() {
    let dir = tempfile::tempdir().unwrap();
    let served = start(config(dir.path()));
    let mut clients = scene(&served);
    until("the snapshot at start is done", || served.mntr("cnt_snapshottime") == 1.0);
    let mntr = served.word(b"mntr");
    assert!(
        mntr.starts_with("zk_version\t3.9.5-test, built on never\nzk_server_state\tstandalone\n"),
        "{mntr}"
    );
    let java: BTreeSet<&str> = include_str!("java_mntr_names.txt").lines().collect();
    assert!(java.len() > 300);
    // 3.5's, which monitoring still asks for.
    let older = ["zk_fsync_threshold_exceed_count"];
    let names: Vec<&str> = mntr.lines().map(|line| line.split_once('\t').unwrap().0).collect();
    for name in &names {
        assert!(java.contains(name) || older.contains(name), "{name} is no name of Java's");
    }
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name stands twice");
    for (name, value) in [
        ("znode_count", 8.0),
        ("ephemerals_count", 2.0),
        ("watch_count", 2.0),
        ("global_sessions", 2.0),
        ("num_alive_connections", 3.0),
        ("outstanding_requests", 0.0),
        ("cnt_updatelatency", 6.0),
        ("cnt_readlatency", 2.0),
        ("sync_processor_request_queued", 6.0),
        ("connection_request_count", 2.0),
        ("digest_mismatches_count", 0.0),
        // Nobody hears of the first creates; b's create of /app/e2 and its set come before its own watch.
        ("cnt_node_changed_watch_count", 0.0),
    ] {
        assert_eq!(served.mntr(name), value, "{name} in\n{mntr}");
    }
    clients.0.ask(set("/app/eph", b"new"));
    clients.0.ask(set("/app", b"new"));
    assert_eq!(served.mntr("cnt_node_changed_watch_count"), 2.0);
    assert_eq!(served.mntr("max_node_changed_watch_count"), 1.0);
    // Two events: length, header, kind, state, and the path with its length.
    assert_eq!(served.mntr("watch_bytes"), (2 * (4 + 16 + 8 + 4) + "/app/eph".len() + "/app".len()) as f64);
    assert!(served.mntr("approximate_data_size") > 0.0 && served.mntr("bytes_received_count") > 100.0);
}
