//! Servers whose configurations disagree, and whatever else comes to the ports of an ensemble: each is told of once and with
//! the reason, takes little memory, and has no effect on those who agree.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use live::client::{python, run};
use live::ensemble::{Ensemble, Kind, Member, Part};
use live::port;
use live::process::{PATIENCE, Process, four_letter, wait_until};
use live::zoarium::{Profile, Zoarium, binary};
use zk_core::ids::{Sid, Zxid};
use zk_core::peer::quorum_link::{Arrival, QuorumReader};
use zk_core::tree::TreeConfig;
use zk_core::wire::quorum::{LearnerInfo, PROTOCOL_VERSION, QuorumPacket, Sender};

const OURS: (Kind, Part) = (Kind::Zoarium(Profile::Same), Part::Voter);
const JAVAS: (Kind, Part) = (Kind::Java, Part::Voter);
const MIB: u64 = 1 << 20;

/// Three of ours that serve, below `dir`, and the leader's number.
fn three(dir: &Path, lines: &str) -> Result<(Ensemble, u32)> {
    let mut ensemble = Ensemble::new(dir, &[OURS; 3], lines)?;
    let leader = ensemble.start()?;
    Ok((ensemble, leader))
}

/// Writes and reads at a server.
fn works(address: &str, round: u32) -> Result<()> {
    run(python("kazoo_history.py", &[address, &round.to_string()]), "").map(drop)
}

/// Waits until a server has told of this, and sees that it does not tell of it again and again.
fn told_once(member: &Member, text: &str) -> Result<()> {
    wait_until(text, || Ok(member.told(text) > 0)).with_context(|| member.output())?;
    // Twice if the test runs for longer than complaints pause.
    ensure!(member.told(text) <= 3, "server {} tells it again and again:\n{}", member.sid, member.output());
    Ok(())
}

/// The leader has led from the beginning, and all have the same.
fn undisturbed(ensemble: &mut Ensemble, leader: u32) -> Result<()> {
    ensure!(ensemble.wait_serving()? == leader, "another leads\n{}", ensemble.said());
    for member in &ensemble.members {
        ensure!(
            member.mntr("looking_count")? == 1.0,
            "server {} looked again\n{}",
            member.sid,
            ensemble.said()
        );
    }
    ensemble.agree().map(drop)
}

/// A server beside the ensemble: the configuration of its members, with these lines behind it.
struct Stray {
    process: Process,
    port: u16,
}

impl Stray {
    fn start(ensemble: &Ensemble, dir: &Path, sid: u32, lines: &str) -> Result<Self> {
        let port = port::free()?;
        let config = fs::read_to_string(ensemble.member(1)?.dir.join("zoo.cfg"))?;
        fs::create_dir_all(dir.join("data"))?;
        fs::write(dir.join("data/myid"), format!("{sid}\n"))?;
        let own = format!("dataDir={}/data\nclientPort={port}\n", dir.display());
        fs::write(dir.join("zoo.cfg"), config + &own + lines)?;
        Ok(Self { process: Zoarium::spawn(dir)?, port })
    }
}

#[test]
fn a_voter_that_the_others_do_not_know_follows_without_a_vote() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut ensemble, leader) = three(dir.path(), "")?;
    let ports = port::free_of(2)?;
    let line = format!("server.4=127.0.0.1:{}:{}\n", ports[0], ports[1]);
    let mut stray = Stray::start(&ensemble, &dir.path().join("4"), 4, &line)?;
    stray.process.wait_serving(stray.port)?;
    let srvr = four_letter(stray.port, "srvr")?;
    ensure!(srvr.contains("Mode: follower"), "{srvr}");
    works(&format!("127.0.0.1:{}", stray.port), 1)?;
    let said = stray.process.output();
    ensure!(
        said.contains("another list of servers") && said.contains("server.4 is only in the list here"),
        "{said}"
    );
    let at = ensemble.member(leader)?;
    told_once(at, "it has no vote")?;
    told_once(at, "it may follow and has no vote")?;
    told_once(at, "server.4 is only in the list there")?;
    let found = ["synced_followers", "synced_non_voting_followers", "quorum_size"];
    let found: Vec<_> = found.iter().map(|name| at.mntr(name)).collect::<Result<_>>()?;
    ensure!(found == [2.0, 1.0, 3.0], "{found:?}");
    stray.process.kill_nine()?;
    works(&ensemble.member(leader)?.address(), 2)?;
    undisturbed(&mut ensemble, leader)
}

#[test]
fn a_server_whose_list_has_another_port_for_the_leader_says_so_and_keeps_away() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut ensemble, leader) = three(dir.path(), "")?;
    let apart = leader % 3 + 1;
    let file = ensemble.member(apart)?.dir.join("zoo.cfg");
    let config = fs::read_to_string(&file)?;
    let election = ensemble.member(leader)?.election_port()?;
    let line = format!("\nserver.{leader}=127.0.0.1:{}:{election}\n", port::free()?);
    ensemble.terminate(apart)?;
    fs::write(&file, format!("{config}{line}"))?;
    ensemble.launch(apart)?;
    told_once(ensemble.member(apart)?, "the elected leader does not answer on its quorum port")?;
    told_once(ensemble.member(apart)?, "a server has another list of servers")?;
    told_once(ensemble.member(leader)?, "a server has another list of servers")?;
    works(&ensemble.member(leader)?.address(), 1)?;
    ensure!(ensemble.member(apart)?.mode().is_none(), "it serves without a leader");
    ensemble.terminate(apart)?;
    fs::write(&file, config)?;
    ensemble.launch(apart)?;
    ensure!(ensemble.wait_serving()? == leader, "{}", ensemble.said());
    ensure!(ensemble.member(leader)?.mntr("looking_count")? == 1.0, "{}", ensemble.said());
    works(&ensemble.member(apart)?.address(), 2)?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}

#[test]
fn a_second_server_with_a_myid_takes_turns_with_the_first_and_nobody_else_minds() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut ensemble, leader) = three(dir.path(), "")?;
    let twin_of = leader % 3 + 1;
    let other = (leader + 1) % 3 + 1;
    let ports = port::free_of(2)?;
    let line = format!("server.{twin_of}=127.0.0.1:{}:{}\n", ports[0], ports[1]);
    let mut twin = Stray::start(&ensemble, &dir.path().join("twin"), twin_of, &line)?;
    told_once(ensemble.member(leader)?, "a server is not where its line says")?;
    told_once(ensemble.member(leader)?, "two have this myid")?;
    told_once(ensemble.member(leader)?, "a server has come again while its connection stood")?;
    for round in 1..=3 {
        works(&ensemble.member(leader)?.address(), round)?;
        works(&ensemble.member(other)?.address(), 10 + round)?;
    }
    for member in [leader, other] {
        let member = ensemble.member(member)?;
        ensure!(member.mntr("looking_count")? == 1.0, "{}", ensemble.said());
    }
    twin.process.kill_nine()?;
    ensure!(ensemble.wait_serving()? == leader, "{}", ensemble.said());
    works(&ensemble.member(twin_of)?.address(), 20)?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}

/// What a server says first on an election port: its number, and where to dial back.
fn greeting(sid: i64) -> Vec<u8> {
    let address = b"127.0.0.1:1";
    let mut bytes = (-65536_i64).to_be_bytes().to_vec();
    bytes.extend(sid.to_be_bytes());
    bytes.extend((address.len() as i32).to_be_bytes());
    bytes.extend(address);
    bytes
}

/// What a learner says first on a quorum port.
fn follower_info(sid: i64) -> Vec<u8> {
    let learner =
        LearnerInfo { sid: Sid(sid), protocol_version: Some(PROTOCOL_VERSION), config_version: None };
    QuorumPacket::FollowerInfo { zxid: Zxid::ZERO, learner: Some(learner) }.to_bytes().to_vec()
}

/// The beginning of something long.
fn half(mut begins: Vec<u8>, claimed: i32) -> Vec<u8> {
    begins.put_i32(claimed);
    begins.extend([0; 10]);
    begins
}

fn knock(port: u16, says: &[u8]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // It may be hung up on before it has said everything.
    let _ = stream.write_all(says);
    Ok(stream)
}

#[test]
fn twins_strangers_garbage_and_silence_on_all_three_ports_do_no_harm() -> Result<()> {
    const EACH: usize = 100;
    let dir = tempfile::tempdir()?;
    let (mut ensemble, leader) = three(dir.path(), "")?;
    let at = ensemble.member(leader)?;
    works(&at.address(), 1)?;
    let (client, quorum, election) = (at.port, at.quorum_port()?, at.election_port()?);
    let (resident, lines) = (at.resident()?, at.output().lines().count());
    let garbage = [&b"GET / HTTP/1.1\r\nHost: zookeeper\r\n\r\n"[..], &[0xff; 4096], &[0; 4096]];
    let mut open = Vec::new();
    for n in 0..EACH {
        for port in [client, quorum, election] {
            open.push(knock(port, b"")?);
            knock(port, garbage[n % 3])?;
        }
        // Half of what is said there, and a claim that much more follows.
        open.push(knock(client, &half(vec![], 1_000_000))?);
        open.push(knock(quorum, &half(follower_info(77)[..12].to_vec(), 4000))?);
        open.push(knock(quorum, &half(follower_info(77)[..12].to_vec(), 1_000_000))?);
        open.push(knock(election, &greeting(2)[..20])?);
        for sid in [i64::from(leader), 77] {
            knock(election, &greeting(sid))?;
            knock(quorum, &follower_info(sid))?;
        }
        // Strangers that stay, and say no more.
        open.push(knock(quorum, &follower_info(1000 + n as i64))?);
        open.push(knock(election, &greeting(1000 + n as i64))?);
    }
    works(&at.address(), 2)?;
    works(&ensemble.member(leader % 3 + 1)?.address(), 3)?;
    for expected in [
        "connection without a session dropped",
        "another server has this server's myid",
        "a learner has this server's myid",
        "it has no vote",
        "it may follow and has no vote",
        "too many servers that no server line names",
        "not an election peer",
        "does not say who it is",
        "not what servers speak on the quorum port",
        "too many connections to the quorum port say nothing",
    ] {
        told_once(ensemble.member(leader)?, expected)?;
    }
    let at = ensemble.member(leader)?;
    let grown = at.resident()?.saturating_sub(resident);
    println!("{} KiB more than before", grown / 1024);
    ensure!(grown < 64 * MIB, "the leader has grown by {} KiB", grown / 1024);
    // Learners that went are told of one by one: those of the strangers that were led.
    let told = at.output().lines().skip(lines).filter(|line| !line.contains("learner")).count();
    ensure!(told < 60, "{told} lines of log\n{}", at.output());
    drop(open);
    undisturbed(&mut ensemble, leader)
}

/// Asks to be led as a server that nobody knows, and goes as far as NEWLEADER; from there on it reads nothing.
fn learner_that_never_reads(port: u16) -> Result<TcpStream> {
    let mut stream = knock(port, &follower_info(77))?;
    let mut reader = QuorumReader::new(Sender::Leader, 1 << 20, TreeConfig::default());
    loop {
        let mut piece = [0; 64];
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "the leader hung up on {:?}", stream.local_addr());
        reader.push(&piece[..read]);
        if let Some(Arrival::Packet(QuorumPacket::LeaderInfo { .. })) = reader.next_arrival()? {
            break;
        }
    }
    let mut out = BytesMut::new();
    QuorumPacket::AckEpoch { zxid: Zxid::ZERO, current_epoch: Some(0) }.encode(&mut out);
    stream.write_all(&out)?;
    Ok(stream)
}

#[test]
fn learners_that_fall_silent_or_never_read_are_hung_up_on_and_writers_go_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // A second, to be heard of; before that half a minute is too long for a test.
    let (mut ensemble, leader) = three(dir.path(), "initLimit=4\nsyncLimit=4\ncommitLogCount=500\n")?;
    let at = ensemble.member(leader)?;
    let port = at.quorum_port()?;
    let silent = knock(port, &follower_info(78))?;
    let deaf = learner_that_never_reads(port)?;
    let resident = at.resident()?;
    let mut load = Command::new(binary()?);
    load.args(["bench", &at.address(), "--op", "set", "--size", "500000", "--sessions", "2"]);
    load.args(["--paths", "2", "--duration", "4", "--warm-up", "0"]);
    run(load, "")?;
    told_once(at, "nothing was heard of a server for too long")?;
    for mut stream in [silent, deaf] {
        let mut left = Vec::new();
        let ended = stream.read_to_end(&mut left);
        let hung_up =
            ended.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true);
        ensure!(hung_up, "not hung up on: {ended:?}");
        println!("{} bytes had been sent to a learner that is gone", left.len());
    }
    // At most 64 MiB of txns are kept for learners that come back, and 128 MiB queued for one.
    let grown = at.resident()?.saturating_sub(resident);
    println!("{} KiB more than before", grown / 1024);
    ensure!(grown < 320 * MIB, "the leader has grown by {} KiB", grown / 1024);
    works(&at.address(), 1)?;
    undisturbed(&mut ensemble, leader)
}

#[test]
fn servers_are_reached_by_name_by_ipv6_and_at_whichever_of_several_addresses_answers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // The first of the third server's addresses has no machine behind it: it listens on all there are.
    let hosts = ["[::1]", "localhost", "no.such.host.invalid|127.0.0.1"];
    let lines = "quorumListenOnAllIPs=true\nmultiAddress.enabled=true\n";
    let mut ensemble = Ensemble::at(dir.path(), &[OURS; 3], &hosts, lines)?;
    // Each of them leads once, reached by its kind of address: of two that have nothing the larger is elected.
    for (leader, follower) in [(3, 1), (2, 1), (3, 2)] {
        ensemble.launch(leader)?;
        ensemble.launch(follower)?;
        ensure!(ensemble.wait_serving()? == leader, "{}", ensemble.said());
        works(&ensemble.member(follower)?.address(), leader + 10 * follower)?;
        ensure!(ensemble.agree()? > 0, "no digest was compared");
        for sid in [leader, follower] {
            ensemble.kill_nine(sid)?;
            fs::remove_dir_all(ensemble.member(sid)?.dir.join("data/version-2"))?;
        }
    }
    // And the first, whose address is an IPv6 one, because it alone has a history.
    ensemble.launch(1)?;
    ensemble.launch(2)?;
    ensemble.wait_serving()?;
    works(&ensemble.member(1)?.address(), 1)?;
    ensemble.kill_nine(2)?;
    fs::remove_dir_all(ensemble.member(2)?.dir.join("data/version-2"))?;
    ensemble.kill_nine(1)?;
    ensemble.launch(1)?;
    ensemble.launch(3)?;
    ensure!(ensemble.wait_serving()? == 1, "{}", ensemble.said());
    works(&ensemble.member(3)?.address(), 2)?;
    for member in &ensemble.members {
        ensure!(
            member.told("another list of servers") + member.told("not where its line") == 0,
            "{}",
            member.output()
        );
    }
    Ok(())
}

/// A connection that has asked for a session, and what came first: nothing if it was turned away.
fn asks_for_a_session(port: u16) -> Result<(TcpStream, usize)> {
    let mut request = BytesMut::new();
    request.put_i32(45);
    request.put_bytes(0, 12);
    request.put_i32(30_000);
    request.put_i64(0);
    request.put_i32(16);
    request.put_bytes(0, 17);
    let mut stream = knock(port, &request)?;
    // A reset is an end, too.
    let heard = stream.read(&mut [0; 100]).unwrap_or(0);
    Ok((stream, heard))
}

#[test]
fn without_a_quorum_ours_and_java_s_turn_clients_away_alike_and_ours_tells_who_is_missing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut ensemble = Ensemble::new(dir.path(), &[OURS, JAVAS, OURS, OURS], "")?;
    ensemble.start()?;
    works(&ensemble.member(1)?.address(), 1)?;
    let clients = [1, 2].map(|sid| asks_for_a_session(ensemble.member(sid)?.port));
    ensemble.kill_nine(3)?;
    ensemble.kill_nine(4)?;
    let not_serving = "This ZooKeeper instance is not currently serving requests\n";
    for client in clients {
        let (mut stream, heard) = client?;
        ensure!(heard > 0, "{}", ensemble.said());
        ensure!(stream.read(&mut [0]).unwrap_or(0) == 0, "an answer to nothing");
    }
    for sid in [1, 2] {
        wait_until("it has lost its leader", || {
            Ok(four_letter(ensemble.member(sid)?.port, "srvr")? == not_serving)
        })?;
        let port = ensemble.member(sid)?.port;
        ensure!(asks_for_a_session(port)?.1 == 0, "server {sid} gives sessions\n{}", ensemble.said());
    }
    let mut differ = Vec::new();
    for word in [
        "ruok", "isro", "srvr", "stat", "mntr", "conf", "cons", "dump", "wchs", "wchc", "wchp", "dirs",
        "crst", "srst", "gtmk", "hash",
    ] {
        let answers = [1, 2].map(|sid| four_letter(ensemble.member(sid)?.port, word));
        let [ours, javas] = answers;
        let (ours, javas) = (ours?, javas?);
        if ours != javas {
            differ.push(format!("{word}: ours {ours:?}, Java's {javas:?}"));
        }
    }
    ensure!(differ.is_empty(), "{}", differ.join("\n"));
    for missing in ["3", "4"] {
        let told = || {
            let said = ensemble.member(1)?.output();
            let line = format!("sid={missing} ");
            Ok(said.lines().any(|said| said.contains("cannot be reached") && said.contains(&line)))
        };
        wait_until("it tells who is missing", told).with_context(|| ensemble.said())?;
    }
    ensemble.launch(3)?;
    ensemble.wait_serving()?;
    works(&ensemble.member(1)?.address(), 2)?;
    ensure!(ensemble.agree()? > 0, "no digest was compared");
    Ok(())
}
