//! Elections as text: `election/*.txt`, one server among made-up ones or several over made-up wires.
//!
//! A file is a list of blocks: commands, `----`, and what came of them. `UPDATE=1 cargo test -p core --test election`
//! writes what comes of them now; the diff is the review. Lines that begin with `#` are prose. A vote is written
//! `LOOKING 3 zxid=0x100000005 r2 e1`: state, leader, zxid, round, peer epoch; `v0` behind it is the version if it is not 2.
//!
//! One server ([`votes`]):
//!
//! | command | does |
//! |---|---|
//! | `server 1 of 1,2,3 [observers=4] [version=HEX] [next=1,2,4] [groups=1:2/3] [weights=1:0] [reconfig]` | an idle one; `next` is a last seen config, one version newer |
//! | `start [zxid=HEX] [epoch=N]` | begins an election |
//! | `hear 2 VOTE [of=1,2,3] [config=HEX]` | a notification from 2, whose config has these voters and this version |
//! | `+MS [undelivered]` | time passes; the timer fires if it is due; nothing could be delivered |
//! | `established N`, `settle 3 zxid=HEX STATE`, `pause`, `failed 3` | what a replica says |
//! | `members 1,2,4` | other configs, settled |
//! | `status` | what it would answer |
//!
//! Several servers ([`wires`]):
//!
//! | command | does |
//! |---|---|
//! | `ensemble 1,2,3 [observers=4]` | their config; nobody is up |
//! | `start 1 [zxid=HEX] [epoch=N]` | server 1 comes up if it is down, and begins an election |
//! | `deliver [1>2]` | everything that is on its way, or on its way from 1 to 2, arrives; what follows from it stays on its way |
//! | `run` | delivers until nothing is on its way |
//! | `+MS` | time passes, timer by timer; whatever is sent arrives at once |
//! | `established 1,2 epoch=N` | these are synchronised |
//! | `crash 3`, `power cut 3` | it is gone; its links are closed, or half open |
//! | `cut 1 2`, `break 1 2` | their link is reset on both sides, or turns into a hole |
//! | `unreachable 3`, `reachable 3` | dials to it hang |
//! | `garbage 1>2` | bytes that are no message arrive |
//! | `ring 2 as 1`, `dial 2 as 9` | a made-up process connects to 2 and says who it is |
//! | `status` | who is linked with whom, and in which state everybody is |

#[path = "election/votes.rs"]
mod votes;
#[path = "election/wires.rs"]
mod wires;
mod written;

use std::sync::Arc;

use zk_core::config::member::Member;
use zk_core::config::quorum_config::{Hierarchy, QuorumConfig};
use zk_core::election::Candidate;
use zk_core::election::vote::{NOTIFICATION_VERSION, Notification, Vote};
use zk_core::ids::{PeerState, Sid, Zxid};

#[test]
fn elections_go_as_written() {
    written::play("election", 12, || {
        let mut scene = Scene::None;
        move |command: &str| scene.run(command)
    });
}

enum Scene {
    None,
    Votes(Box<votes::Scene>),
    Wires(Box<wires::Scene>),
}

impl Scene {
    fn run(&mut self, command: &str) -> String {
        let words = Words::of(command);
        match (words.0[0], &mut *self) {
            ("server", _) => *self = Self::Votes(Box::new(votes::Scene::open(&words))),
            ("ensemble", _) => *self = Self::Wires(Box::new(wires::Scene::open(&words))),
            (_, Self::Votes(scene)) => return scene.run(&words),
            (_, Self::Wires(scene)) => return scene.run(&words),
            (_, Self::None) => panic!("an election begins with `server` or `ensemble`, not {command:?}"),
        }
        String::new()
    }
}

/// A command's words.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(command: &'a str) -> Self {
        Self(command.split_whitespace().collect())
    }
    fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }
    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
    fn zxid(&self) -> Zxid {
        let hex = self.value("zxid").unwrap_or("0x0");
        Zxid(
            hex.strip_prefix("0x")
                .map_or_else(|| hex.parse().unwrap(), |hex| i64::from_str_radix(hex, 16).unwrap()),
        )
    }
    fn candidate(&self) -> Candidate {
        let current_epoch = self.value("epoch").map_or(0, |epoch| epoch.parse().unwrap());
        Candidate { zxid: self.zxid(), current_epoch }
    }
    fn sid(&self, at: usize) -> Sid {
        Sid(self.0[at].parse().unwrap())
    }
    fn millis(&self) -> Option<u64> {
        self.0[0].strip_prefix('+').map(|ms| ms.parse().unwrap())
    }
}

fn sids(list: &str) -> Vec<Sid> {
    list.split(',').map(|sid| Sid(sid.parse().unwrap())).collect()
}

/// `version` is hexadecimal.
fn config(voters: &str, words: &Words<'_>, version: &str) -> QuorumConfig {
    let member = |sid: &Sid, role: &str| Member::parse(*sid, &format!("h{sid}:1:2{role}")).unwrap();
    let mut members: Vec<_> = sids(voters).iter().map(|sid| member(sid, "")).collect();
    if let Some(observers) = words.value("observers") {
        members.extend(sids(observers).iter().map(|sid| member(sid, ":observer")));
    }
    let hierarchy = words.value("groups").map(|groups| {
        let groups =
            groups.split('/').map(|group| group.split(':').map(|sid| Sid(sid.parse().unwrap())).collect());
        let weights = words.value("weights").into_iter().flat_map(|weights| weights.split(','));
        let weights = weights.map(|pair| pair.split_once(':').unwrap());
        Hierarchy {
            groups: (1..).zip(groups).collect(),
            weights: weights.map(|(sid, w)| (Sid(sid.parse().unwrap()), w.parse().unwrap())).collect(),
        }
    });
    QuorumConfig::new(Zxid(i64::from_str_radix(version, 16).unwrap()), members, hierarchy).unwrap()
}

fn state(word: &str) -> PeerState {
    use PeerState::{Following, Leading, Looking, Observing};
    let states = [Looking, Following, Leading, Observing];
    *states.iter().find(|state| state.to_string() == word).unwrap_or_else(|| panic!("no state {word:?}"))
}

/// A vote as it is written, from the word of its state on.
fn notification(words: &Words<'_>, at: usize, config: Option<Arc<QuorumConfig>>) -> Notification {
    let number = |letter: char| words.0[at..].iter().find_map(|word| word.strip_prefix(letter)?.parse().ok());
    let vote = Vote { leader: words.sid(at + 1), zxid: words.zxid(), peer_epoch: number('e').unwrap_or(0) };
    let version = number('v').map_or(NOTIFICATION_VERSION, |version| i32::try_from(version).unwrap());
    Notification { state: state(words.0[at]), vote, round: number('r').unwrap(), version, config }
}

fn show(n: &Notification) -> String {
    let version = if n.version == NOTIFICATION_VERSION { String::new() } else { format!(" v{}", n.version) };
    format!("{} {} r{}{version}", n.state, show_vote(&n.vote), n.round)
}

fn show_vote(Vote { leader, zxid, peer_epoch }: &Vote) -> String {
    let zxid = if zxid.0 == i64::MIN { "none".into() } else { zxid.to_string() };
    let peer_epoch = if *peer_epoch == i64::MIN { "none".into() } else { peer_epoch.to_string() };
    format!("{leader} zxid={zxid} e{peer_epoch}")
}

fn show_sids(sids: &[Sid]) -> String {
    sids.iter().map(Sid::to_string).collect::<Vec<_>>().join(",")
}
