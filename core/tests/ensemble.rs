//! Conversations of an ensemble, as text: `ensemble/*.txt`.
//!
//! A file is a list of blocks: commands, `----`, and what came of them. `UPDATE=1 cargo test -p core --test ensemble` writes
//! what comes of them now (`ONLY=part-of-a-name`: of some); the diff is the review. Lines that begin with `#` are prose. After every block everything that
//! can happen without time passing has happened, but for what is held.
//!
//! | command | does |
//! |---|---|
//! | `ensemble 1 2 3 [observers=4,5] [groups=1:2:3,4:5:6] [key=value …]` | who belongs to it, and settings |
//! | `start N …`, `crash N …`, `power N [keep=K]` | processes; a power cut leaves what was durable, and K disk commands more |
//! | `elect [max=MS]` | time passes until every server that runs serves |
//! | `+MS` | time passes |
//! | `drain N` | the server is about to stop |
//! | `connect C N [timeout=MS]`, `reattach C N S`, `touch N S` | clients; sessions are named s1, s2, … |
//! | `create C /path [ephemeral]`, `set C /path`, `delete C /path`, `sync C`, `close C`, `undecodable C` | requests |
//! | `create C /path*N` | N of them |
//! | `reconfig C [join=LINE,…] [leave=N,…] [members=LINE,…] [from=HEX]` | other members; `4` is short for a voter's line, `4o` for an observer's; `reconfig=on` permits it |
//! | `joiner N [observer]` | server N's file lists the ensemble as it began, and itself |
//! | `cut A B`, `heal A B` | the network between two servers |
//! | `hold A>B`, `release A>B`, `lose A>B` | what A sends to B waits, arrives, or is lost |
//! | `hold disk N`, `release disk N`, `disk N [K]` | N's disk waits; K commands are carried out |
//! | `hold tree N`, `release tree N` | so does what N is to apply |
//! | `found N last=HEX accepted=E current=E [/path …]` | what a server's disk holds before it starts |
//! | `puppet N …` | servers that the text plays: all that is said to them is shown |
//! | `vote N STATE LEADER [zxid=HEX] [epoch=E] [round=R]` | what a puppet says in elections |
//! | `dial N M`, `say N>M PACKET [HEX] [what]`, `hang-up N>M` | and on the quorum port |
//! | `status`, `disks`, `verbose`, `quiet`, `silently COMMAND` | what is seen |

mod cluster;
mod written;

use std::fmt::Write as _;
use std::sync::Arc;

use cluster::{Choice, Options, World, disk::Disk, puppets, show};
use zk_core::config::change::FewestVoters;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::error::OpError;
use zk_core::ids::{ConnId, SessionId, Sid, Zxid};
use zk_core::input::{Access, AdminCommand, Input, RequestBody, SessionAsk};
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, LocalSessions, LogShare, Phase, Reconfig, SyncChoice, SyncReads};
use zk_core::text::Text;
use zk_core::wire::client::{CreateRequest, DeleteRequest, ReconfigRequest, SetDataRequest, SyncRequest};
use zk_core::wire::records::Acl;
use zk_core::wire::request::Request;

#[test]
fn ensembles_converse_as_written() {
    written::play("ensemble", 40, || {
        let mut world = None;
        move |command: &str| {
            run(&mut world, command);
            std::mem::take(&mut world.as_mut().expect("an ensemble").said)
        }
    });
}

struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(command: &'a str) -> Self {
        Self(command.split_whitespace().collect())
    }
    fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
    fn number(&self, key: &str, default: usize) -> usize {
        self.value(key).map_or(default, |v| v.parse().unwrap())
    }
    fn sid(&self, at: usize) -> Sid {
        Sid(self.0[at].parse().unwrap_or_else(|_| panic!("no server {:?}", self.0[at])))
    }
    fn sids(&self) -> Vec<Sid> {
        self.0[1..].iter().filter_map(|word| word.parse().ok()).map(Sid).collect()
    }
    fn conn(&self) -> ConnId {
        ConnId(self.0[1].strip_prefix('c').unwrap().parse().unwrap())
    }
    fn direction(&self, at: usize) -> (Sid, Sid) {
        let (from, to) = self.0[at].split_once('>').unwrap();
        (Sid(from.parse().unwrap()), Sid(to.parse().unwrap()))
    }
}

fn open(words: &Words<'_>) -> World {
    let observers: Vec<i64> =
        words.value("observers").map_or(vec![], |list| list.split(',').map(|n| n.parse().unwrap()).collect());
    let mut text = String::new();
    for Sid(n) in words.sids() {
        writeln!(text, "server.{n}=h{n}:1:2:participant").unwrap();
    }
    for n in observers {
        writeln!(text, "server.{n}=h{n}:1:2:observer").unwrap();
    }
    for (i, group) in words.value("groups").into_iter().flat_map(|groups| groups.split(',')).enumerate() {
        writeln!(text, "group.{}={group}", i + 1).unwrap();
    }
    let mut options = Options::default();
    options.window_bytes = words.number("window", options.window_bytes);
    options.backlog_max = words.number("backlog", options.backlog_max);
    options.held_max = words.number("held", options.held_max);
    if words.value("logs") == Some("never") {
        options.log_share = LogShare::Never;
    }
    if words.value("syncs") == Some("snapshot") {
        options.sync_choice = SyncChoice::Snapshot;
    }
    if words.value("reads") == Some("unconfirmed") {
        options.sync_reads = SyncReads::Unconfirmed;
    }
    if words.value("leader") == Some("serves-nobody") {
        options.leader_serves = ClientService::Closed;
    }
    if words.value("reconfig") == Some("on") {
        options.reconfig = Reconfig::Enabled { fewest: FewestVoters::Two };
    }
    match words.value("sessions") {
        None => {}
        Some("local") => options.local_sessions = LocalSessions::On,
        Some("upgrading") => options.local_sessions = LocalSessions::Upgrading,
        Some(other) => panic!("no sessions {other:?}"),
    }
    options.read_only_after_ms = words.value("readers-after").map(|ms| ms.parse().unwrap());
    World::new(QuorumConfig::parse(&text).unwrap(), options)
}

fn run(world: &mut Option<World>, command: &str) {
    let words = Words::of(command);
    if words.0[0] == "ensemble" {
        *world = Some(open(&words));
        return;
    }
    let world = world.as_mut().expect("a conversation begins with `ensemble`");
    if let Some(rest) = command.strip_prefix("silently ") {
        let said = world.said.clone();
        obey(world, &Words::of(rest));
        world.run();
        world.said = said;
        return;
    }
    obey(world, &words);
    world.run();
}

fn obey(world: &mut World, words: &Words<'_>) {
    if let Some(ms) = words.0[0].strip_prefix('+') {
        return world.pass(ms.parse().unwrap());
    }
    match (words.0[0], words.0.get(1).copied().unwrap_or_default()) {
        ("start", _) => words.sids().into_iter().for_each(|sid| world.start(sid)),
        ("crash" | "power", _) => {
            for sid in words.sids() {
                let all = if words.0[0] == "crash" { usize::MAX } else { 0 };
                world.crash(sid, words.number("keep", all));
            }
        }
        ("elect", _) => elect(world, words.number("max", 60_000)),
        ("connect", _) => {
            let timeout_ms = words.number("timeout", 4000) as i32;
            world.connect_for(words.sid(2), words.conn(), SessionAsk::New { timeout_ms }, access(words));
        }
        ("reattach", _) => {
            let session = session(world, words.0[3]);
            let ask = SessionAsk::Reattach { session, timeout_ms: 4000 };
            world.connect_for(words.sid(2), words.conn(), ask, access(words));
        }
        ("drain", _) => world.step(words.sid(1), Input::Admin(AdminCommand::Drain)),
        ("touch", _) => {
            let session = session(world, words.0[2]);
            world.touch(words.sid(1), session);
        }
        ("create" | "set" | "delete" | "sync" | "close" | "undecodable", _) => request(world, words),
        ("reconfig", _) => reconfig(world, words),
        ("joiner", _) => joiner(world, words),
        ("cut", _) => world.cut(words.sid(1), words.sid(2)),
        ("heal", _) => world.heal(words.sid(1), words.sid(2)),
        ("lose", _) => {
            let (from, to) = words.direction(1);
            world.lose(from, to);
            world.held.remove(&(from, to));
        }
        ("hold", "disk") => {
            let sid = words.sid(2);
            if !world.servers.contains_key(&sid) {
                world.place_disk(sid, Disk::default());
            }
            world.servers.get_mut(&sid).unwrap().disk_held = true;
        }
        ("release", "disk") => world.servers.get_mut(&words.sid(2)).unwrap().disk_held = false,
        ("hold", "tree") => world.servers.get_mut(&words.sid(2)).unwrap().apply_held = true,
        ("release", "tree") => world.servers.get_mut(&words.sid(2)).unwrap().apply_held = false,
        ("hold", _) => drop(world.held.insert(words.direction(1))),
        ("release", _) => drop(world.held.remove(&words.direction(1))),
        ("disk", _) => {
            for _ in 0..words.0.get(2).map_or(1, |n| n.parse().unwrap()) {
                world.choose(Choice::Disk(words.sid(1)));
            }
        }
        ("found", _) => found(world, words),
        ("puppet", _) => world.puppets.extend(words.sids()),
        ("vote", _) => {
            let zxid = words.value("zxid").map_or(0, |hex| i64::from_str_radix(hex, 16).unwrap());
            let vote = puppets::vote(words.sid(3), Zxid(zxid), words.number("epoch", 0) as i64);
            let round = words.number("round", 1) as i64;
            world.puppet_votes(words.sid(1), puppets::state(words.0[2]), vote, round);
        }
        ("dial", _) => world.puppet_dials(words.sid(1), words.sid(2)),
        ("say", _) => {
            let (from, to) = words.direction(1);
            world.puppet_says(from, to, puppets::item(from, &words.0[2..]));
        }
        ("hang-up", _) => {
            let (from, to) = words.direction(1);
            world.puppet_hangs_up(from, to);
        }
        ("status", _) => status(world),
        ("disks", _) => disks(world),
        ("verbose", _) => world.verbose = true,
        ("quiet", _) => world.verbose = false,
        (other, _) => panic!("no command {other:?}"),
    }
}

fn access(words: &Words<'_>) -> Access {
    if words.0.contains(&"readonly") { Access::ReadOnly } else { Access::ReadWrite }
}

fn elect(world: &mut World, max_ms: usize) {
    let until = world.now.millis() + max_ms as u64;
    world.run();
    while !world.running().iter().all(|sid| world.replica(*sid).standing().phase == Phase::Broadcast) {
        assert!(world.now.millis() < until, "no leader within {max_ms} ms:\n{}", world.said);
        world.pass(50);
    }
}

fn found(world: &mut World, words: &Words<'_>) {
    let mut disk = Disk::default();
    let last = Zxid(i64::from_str_radix(words.value("last").unwrap(), 16).unwrap());
    disk.image.snapshots.insert(last, puppets::tree(last, &words.0[2..]));
    disk.image.accepted = words.value("accepted").map(|epoch| epoch.parse().unwrap());
    disk.image.current = words.value("current").map(|epoch| epoch.parse().unwrap());
    world.place_disk(words.sid(1), disk);
}

fn session(world: &World, name: &str) -> SessionId {
    world.sessions[name.strip_prefix('s').unwrap().parse::<usize>().unwrap() - 1]
}

fn request(world: &mut World, words: &Words<'_>) {
    let conn = words.conn();
    let Some(home) = world.home(conn) else {
        return world.say(&format!("{} is not connected", show::conn(conn)));
    };
    let path = words.0.iter().find(|word| word.starts_with('/')).copied().unwrap_or_default();
    let (path, times) = path.split_once('*').map_or((path, 1), |(path, n)| (path, n.parse().unwrap()));
    for i in 0..times {
        let path = if times > 1 { format!("{path}{i}") } else { path.into() };
        let path = path.as_str();
        let op = match words.0[0] {
            "create" => {
                let flags = i32::from(words.0.contains(&"ephemeral"));
                Request::Create(CreateRequest {
                    path: path.into(),
                    data: None,
                    acl: vec![Acl::world(31)],
                    flags,
                })
            }
            "set" => Request::SetData(SetDataRequest { path: path.into(), data: None, version: -1 }),
            "delete" => Request::Delete(DeleteRequest { path: path.into(), version: -1 }),
            "sync" => Request::Sync(SyncRequest { path: Some("/".into()) }),
            "close" => Request::CloseSession,
            _ => {
                let session = world.up(home).conns[&conn].unwrap();
                let body = RequestBody::Refused(OpError::MarshallingError);
                return world.request(home, conn, session, body);
            }
        };
        world.op(home, conn, op);
    }
}

/// `4`, `4o`, or a line as it is.
fn line(word: &str) -> String {
    let (number, role) = word.strip_suffix('o').map_or((word, "participant"), |number| (number, "observer"));
    match number.parse::<i64>() {
        Ok(n) => format!("server.{n}=h{n}:1:2:{role};9"),
        Err(_) => word.to_owned(),
    }
}

fn lines(list: &str) -> Text {
    list.split(',').map(line).collect::<Vec<_>>().join(",").into()
}

fn reconfig(world: &mut World, words: &Words<'_>) {
    let conn = words.conn();
    let Some(home) = world.home(conn) else {
        return world.say(&format!("{} is not connected", show::conn(conn)));
    };
    let request = ReconfigRequest {
        joining: words.value("join").map(lines),
        leaving: words.value("leave").map(Text::from),
        new_members: words.value("members").map(lines),
        config: words.value("from").map_or(-1, |hex| i64::from_str_radix(hex, 16).unwrap()),
    };
    world.op(home, conn, Request::Reconfig(request));
}

fn joiner(world: &mut World, words: &Words<'_>) {
    let sid = words.sid(1);
    let suffix = if words.0.contains(&"observer") { "o" } else { "" };
    let text = format!("{}\n{}", world.config.members_text(), line(&format!("{sid}{suffix}")));
    let config = Arc::new(QuorumConfig::parse(&text).unwrap());
    world.place_disk(sid, Disk::default());
    world.servers.get_mut(&sid).unwrap().membership = Some(Arc::new(Membership::settled(config)));
}

fn status(world: &mut World) {
    for sid in world.running() {
        let r = world.replica(sid);
        let epochs = r.epochs().unwrap();
        let said = format!(
            "{sid}: {}, epochs {}/{}, logged {} durable {} committed {} applied {}{}{}",
            show::standing(&r.standing()),
            epochs.accepted,
            epochs.current,
            r.last_logged(),
            r.last_durable(),
            r.last_committed(),
            r.last_applied(),
            if r.is_drained() { ", drained" } else { "" },
            if r.faults() > 0 { format!(", {} faults", r.faults()) } else { String::new() },
        );
        world.say(&said);
    }
}

fn disks(world: &mut World) {
    for sid in world.servers.keys().copied().collect::<Vec<_>>() {
        let image = &world.servers[&sid].disk.image;
        let snapshots: Vec<_> = image.snapshots.keys().map(|zxid| zxid.to_string()).collect();
        let log = match (image.log.first(), image.log.last()) {
            (Some(first), Some(last)) => format!("{} to {}", first.zxid, last.zxid),
            _ => "empty".into(),
        };
        let said = format!(
            "{sid}: snapshots {}, log {log}, epochs {:?}/{:?}",
            snapshots.join(" "),
            image.accepted.unwrap_or_default(),
            image.current.unwrap_or_default()
        );
        world.say(&said);
    }
}
