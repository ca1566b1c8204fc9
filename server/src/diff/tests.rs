use super::*;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/data/3.8.0")).join(name).join("data")
}

fn between(left: &Path, right: &Path) -> (u8, Walked) {
    let mut sides = [left, right].map(|dir| Side::open(&dir.display().to_string(), &[]).unwrap());
    let [left, right] = &mut sides;
    let until = left.zxid().min(right.zxid());
    left.back_to(until).unwrap();
    right.back_to(until).unwrap();
    let mut walked = Walked::default();
    walked.walk(left, right, vec!["/".into()]).unwrap();
    let moving = settle(&mut walked, left, right).unwrap();
    let args = Args { left: String::new(), right: String::new(), auth: vec![], print: 0 };
    let zxids = (left.zxid(), right.zxid());
    (report(&args, &walked, moving, [zxids, zxids], &compare_digests(left, right)), walked)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("version-2")).unwrap();
    for entry in std::fs::read_dir(from.join("version-2")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join("version-2").join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_directory_equals_itself() {
    let (status, walked) = between(&golden("data-ensemble-plain"), &golden("data-ensemble-plain"));
    assert_eq!(status, exit::CLEAN, "{walked:?}");
    assert!(walked.equal > 50 && walked.bytes > 500, "{walked:?}");
}

#[test]
fn directories_of_different_lengths_are_compared_at_the_zxid_that_both_have() {
    let dir = tempfile::tempdir().unwrap();
    let whole = golden("data-ensemble-plain");
    copy(&whole, dir.path());
    std::fs::remove_file(dir.path().join("version-2/log.20000001a")).unwrap();
    let (status, walked) = between(&whole, dir.path());
    assert_eq!(status, exit::CLEAN, "{walked:?}");
}

#[test]
fn other_data_other_stats_and_other_znodes_are_differences() {
    let (status, walked) = between(&golden("data-standalone-gzip"), &golden("data-standalone-snappy"));
    assert_eq!(status, exit::DIFFERENT);
    // The same history at other times.
    let words: Vec<_> =
        walked.doubtful.iter().map(|(path, (l, r))| differences(path, l, r).join(" ")).collect();
    assert!(words.iter().any(|words| words.contains("ctime (0x")), "{words:?}");
}

fn node() -> Node {
    let data = Some(bytes::Bytes::from_static(b"data"));
    Node { data, stat: Stat::default(), acl: vec![Acl::world(31)], children: vec!["a".into()] }
}

fn told(path: &str, change: impl FnOnce(&mut Node)) -> String {
    let mut other = node();
    change(&mut other);
    differences(path, &Seen::Node(Box::new(node())), &Seen::Node(Box::new(other))).join(", ")
}

#[test]
fn every_part_of_a_znode_counts() {
    assert_eq!(told("/a", |_| {}), "");
    assert_eq!(told("/a", |node| node.data = None), "data (4 bytes and null)");
    assert_eq!(told("/a", |node| node.data = Some(bytes::Bytes::new())), "data (4 bytes and 0 bytes)");
    assert_eq!(told("/a", |node| node.acl = vec![Acl::world(1)]), "ACL");
    assert_eq!(told("/a", |node| node.children.clear()), "children");
    assert_eq!(told("/a", |node| node.stat.mzxid = Zxid(0x1_0000_0001)), "mzxid (0x0 and 0x100000001)");
    let touch: [fn(&mut Stat); 9] = [
        |stat| stat.czxid.0 += 1,
        |stat| stat.mzxid.0 += 1,
        |stat| stat.pzxid.0 += 1,
        |stat| stat.ctime.0 += 1,
        |stat| stat.mtime.0 += 1,
        |stat| stat.version += 1,
        |stat| stat.cversion += 1,
        |stat| stat.aversion += 1,
        |stat| stat.ephemeral_owner += 1,
    ];
    for ((name, _), touch) in STAT.iter().zip(touch) {
        assert_eq!(told("/a", |node| touch(&mut node.stat)), format!("{name} (0x0 and 0x1)"));
    }
}

#[test]
fn what_servers_keep_for_themselves_does_not_count() {
    for own in ["/zookeeper/config", "/zookeeper/quota/app/zookeeper_stats"] {
        assert_eq!(told(own, |node| node.data = None), "");
    }
    assert_ne!(told("/zookeeper/quota/app/zookeeper_limits", |node| node.data = None), "");
    let there = Seen::Node(Box::new(node()));
    assert_eq!(
        differences("/zookeeper/quota/a/zookeeper_stats", &there, &Seen::Missing),
        ["only on the left"]
    );
    assert_eq!(differences("/a", &Seen::Missing, &there), ["only on the right"]);
}

#[test]
fn a_secret_that_a_server_hides_does_not_count() {
    let digest = |id: &str, perms| Acl {
        perms,
        id: zk_core::wire::records::Id { scheme: "digest".into(), id: id.into() },
    };
    assert!(are_same_acl(&[digest("bob:Xq6E", 31)], &[digest("bob:x", 31)]));
    assert!(!are_same_acl(&[digest("bob:Xq6E", 31)], &[digest("bob:other", 31)]));
    assert!(!are_same_acl(&[digest("bob:Xq6E", 31)], &[digest("eve:x", 31)]));
    assert!(!are_same_acl(&[digest("bob:Xq6E", 31)], &[digest("bob:x", 1)]));
}
