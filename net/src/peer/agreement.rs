//! Whether two servers mean the same ensemble. Only what is certainly different counts: a name may stand for an address, and
//! two names for one machine.

use std::net::IpAddr;

use zk_core::address::HostPort;
use zk_core::config::member::Member;
use zk_core::config::quorum_config::QuorumConfig;

/// What two configs of the same version contradict each other in, as operators read it.
pub(super) fn difference(theirs: &QuorumConfig, ours: &QuorumConfig) -> Option<String> {
    let mut found = Vec::new();
    for member in ours.members() {
        let sid = member.sid;
        match theirs.member(sid) {
            None => found.push(format!("server.{sid} is only in the list here")),
            Some(other) if !may_be(member, other) => {
                found.push(format!("server.{sid} is {} there and {} here", reached(other), reached(member)));
            }
            Some(_) => {}
        }
    }
    let only_there = theirs.members().filter(|member| ours.member(member.sid).is_none());
    found.extend(only_there.map(|member| format!("server.{} is only in the list there", member.sid)));
    if theirs.hierarchy() != ours.hierarchy() {
        found.push("groups or weights differ".to_owned());
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// True if none of the places at which a server says that it is can be one of those in its line.
pub(super) fn is_elsewhere(told: &[HostPort], member: &Member) -> bool {
    !told.is_empty() && !meet(told, member.election_addresses())
}

fn may_be(a: &Member, b: &Member) -> bool {
    let (election, quorum): (Vec<_>, Vec<_>) =
        (a.election_addresses().collect(), a.quorum_addresses().collect());
    a.role == b.role && meet(&election, b.election_addresses()) && meet(&quorum, b.quorum_addresses())
}

fn meet(a: &[HostPort], mut b: impl Iterator<Item = HostPort>) -> bool {
    b.any(|b| a.iter().any(|a| may_be_same(a, &b)))
}

fn may_be_same(a: &HostPort, b: &HostPort) -> bool {
    let literal = |at: &HostPort| at.host.parse::<IpAddr>().ok().filter(|_| !at.is_wildcard());
    let apart = literal(a).zip(literal(b)).is_some_and(|(a, b)| a != b);
    a.port == b.port && !apart
}

/// A server's line without its client port, which is nobody else's business.
fn reached(member: &Member) -> String {
    Member { client: None, ..member.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str =
        "server.1=zk1:2888:3888\nserver.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888;2181";

    fn config(text: &str) -> QuorumConfig {
        QuorumConfig::parse(text).unwrap()
    }

    #[test]
    fn names_wildcards_and_client_ports_do_not_contradict() {
        let theirs =
            "server.1=zk1.example.com:2888:3888\nserver.2=zk2:2888:3888;2181\nserver.3=0.0.0.0:2888:3888";
        assert_eq!(difference(&config(theirs), &config(OURS)), None);
        let several = OURS.replace("zk1:2888:3888", "zk1:2888:3888|10.1.0.1:2889:3889");
        assert_eq!(difference(&config(&several), &config(OURS)), None);
    }

    #[test]
    fn what_contradicts_is_named() {
        for (from, to, told) in [
            (
                "zk1:2888",
                "zk1:2889",
                "server.1 is zk1:2889:3888:participant there and zk1:2888:3888:participant here",
            ),
            ("server.1=zk1:2888:3888\n", "", "server.1 is only in the list here"),
            ("0.2:2888:3888", "0.2:2888:3888\nserver.4=d:1:2", "server.4 is only in the list there"),
            (
                "0.0.2:2888:3888",
                "0.0.9:2888:3888",
                "server.2 is 10.0.0.9:2888:3888:participant there and 10.0.0.2:2888:3888:participant here",
            ),
            (
                "0.2:2888:3888",
                "0.2:2888:3888:observer",
                "server.2 is 10.0.0.2:2888:3888:observer there and 10.0.0.2:2888:3888:participant here",
            ),
            (";2181", "\ngroup.1=1:2:3", "groups or weights differ"),
        ] {
            let theirs = OURS.replacen(from, to, 1);
            assert_eq!(difference(&config(&theirs), &config(OURS)).as_deref(), Some(told));
        }
    }

    #[test]
    fn a_server_is_elsewhere_only_if_all_that_it_tells_is() {
        let config = config(OURS);
        let at = |text: &str| HostPort::parse(text).unwrap();
        let member = config.members().nth(1).unwrap();
        for told in [&[][..], &[at("10.0.0.2:3888")], &[at("other:3888")], &[at("0.0.0.0:3888")]] {
            assert!(!is_elsewhere(told, member), "{told:?}");
        }
        assert!(!is_elsewhere(&[at("10.0.0.9:3888"), at("10.0.0.2:3888")], member));
        assert!(is_elsewhere(&[at("10.0.0.9:3888")], member));
        assert!(is_elsewhere(&[at("zk2:3889"), at("10.0.0.2:2888")], member));
    }
}
