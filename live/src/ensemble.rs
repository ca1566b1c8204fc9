//! Ensembles of real processes. Every member, ours or Apache's, reads the same zoo.cfg over the same dataDir, so that one
//! kind can take the other's place between an end and a start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};

use crate::port;
use crate::process::{Process, four_letter, wait_until};
use crate::zoarium::{Profile, binary_of};
use crate::{java, zoo_cfg};

/// Whose server a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Zoarium(Profile),
    /// Apache's.
    Java,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It votes.
    Voter,
    /// It does not.
    Observer,
}

/// A server of an ensemble, which runs or does not.
#[derive(Debug)]
pub struct Member {
    /// Its number: N of `server.N`.
    pub sid: u32,
    /// Whose server starts next.
    pub kind: Kind,
    /// Where zoo.cfg, data and logs are.
    pub dir: PathBuf,
    /// Client port.
    pub port: u16,
    process: Option<Process>,
}

/// All of them.
#[derive(Debug)]
pub struct Ensemble {
    /// In the order of their numbers, from 1.
    pub members: Vec<Member>,
    jvm: Vec<String>,
}

impl Ensemble {
    /// Writes the configurations of an ensemble, with these further lines in each; nothing is started.
    pub fn new(dir: &Path, kinds: &[(Kind, Part)], lines: &str) -> Result<Self> {
        Self::at(dir, kinds, &vec!["127.0.0.1"; kinds.len()], lines)
    }

    /// The same with servers that are reached at these hosts: a name, an IPv4 address, an IPv6 address in brackets, or several
    /// of them with `|` in between.
    pub fn at(dir: &Path, kinds: &[(Kind, Part)], hosts: &[&str], lines: &str) -> Result<Self> {
        let mut servers = String::new();
        let ports = port::free_of(3 * kinds.len())?;
        for (((at, (_, part)), hosts), ports) in kinds.iter().enumerate().zip(hosts).zip(ports.chunks(3)) {
            let role = if *part == Part::Observer { ":observer" } else { "" };
            let places = hosts.split('|').map(|host| format!("{host}:{}:{}", ports[1], ports[2]));
            writeln!(servers, "server.{}={}{role}", at + 1, places.collect::<Vec<_>>().join("|"))?;
        }
        let mut members = Vec::new();
        for ((sid, (kind, part)), port) in (1..).zip(kinds).zip(ports.into_iter().step_by(3)) {
            let dir = dir.join(sid.to_string());
            fs::create_dir_all(dir.join("data"))?;
            fs::write(dir.join("data/myid"), format!("{sid}\n"))?;
            let peer_type = if *part == Part::Observer { "peerType=observer\n" } else { "" };
            let shared = zoo_cfg::lines(&dir, port);
            let config = format!("{shared}initLimit=20\nsyncLimit=10\n{peer_type}{servers}{lines}");
            fs::write(dir.join("zoo.cfg"), config)?;
            members.push(Member { sid, kind: *kind, dir, port, process: None });
        }
        Ok(Self { members, jvm: vec!["-Xmx512m".into()] })
    }

    /// Gives the JVM other options.
    #[must_use]
    pub fn with_jvm(mut self, options: &[&str]) -> Self {
        self.jvm = options.iter().map(|option| (*option).to_owned()).collect();
        self
    }

    /// Starts all that do not run, and waits until each of them serves; the leader's number.
    pub fn start(&mut self) -> Result<u32> {
        for sid in 1..=self.members.len() as u32 {
            if self.member(sid)?.process.is_none() {
                self.launch(sid)?;
            }
        }
        self.wait_serving()
    }

    /// Starts one, and waits for nothing.
    pub fn launch(&mut self, sid: u32) -> Result<()> {
        let jvm = self.jvm.clone();
        let member = self.member_mut(sid)?;
        ensure!(member.process.is_none(), "server {sid} runs already");
        let config = member.dir.join("zoo.cfg");
        let command = match member.kind {
            Kind::Zoarium(profile) => {
                let mut command = Command::new(binary_of(profile)?);
                command.arg(config);
                command
            }
            Kind::Java => java::server("quorum.QuorumPeerMain", &jvm, &config)?,
        };
        member.process = Some(Process::start(command, &member.dir.join("server.log"))?);
        Ok(())
    }

    /// Waits until every member that runs serves clients, one of them as leader; that one's number.
    pub fn wait_serving(&mut self) -> Result<u32> {
        for member in self.members.iter_mut().filter(|member| member.process.is_some()) {
            let port = member.port;
            member.process()?.wait_serving(port).with_context(|| format!("server {}", member.sid))?;
        }
        let mut leader = None;
        wait_until("one of the servers leads", || {
            leader = self.leader();
            Ok(leader.is_some())
        })?;
        leader.context("waited for it")
    }

    /// The number of the member that says it leads.
    pub fn leader(&self) -> Option<u32> {
        self.members.iter().find(|member| member.mode().as_deref() == Some("leader")).map(|member| member.sid)
    }

    /// `kill -9`.
    pub fn kill_nine(&mut self, sid: u32) -> Result<()> {
        self.member_mut(sid)?.process.take().context("it runs")?.kill_nine()
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self, sid: u32) -> Result<ExitStatus> {
        self.member_mut(sid)?.process.take().context("it runs")?.terminate()
    }

    /// Ends all that run, as an operator would.
    pub fn stop(mut self) -> Result<()> {
        for member in &mut self.members {
            if let Some(mut process) = member.process.take() {
                process.terminate()?;
            }
        }
        Ok(())
    }

    /// Waits until all that run have come to the same zxid, and compares all digests that they have noted; how many that
    /// were.
    pub fn agree(&self) -> Result<usize> {
        let running = || self.members.iter().filter(|member| member.process.is_some());
        wait_until("all have come to the same zxid", || {
            let zxids: Vec<_> = running().map(|member| member.says("srvr", "Zxid: ")).collect();
            Ok(zxids.iter().all(|zxid| zxid.is_some() && *zxid == zxids[0]))
        })
        .with_context(|| self.said())?;
        let mut digests = BTreeMap::new();
        let mut compared = 0;
        for member in running() {
            let sid = member.sid;
            ensure!(
                member.mntr("digest_mismatches_count")? == 0.0,
                "server {sid} found a digest that differs"
            );
            for line in four_letter(member.port, "hash")?.lines() {
                let (zxid, digest) = line.split_once(": ").with_context(|| format!("hash says {line:?}"))?;
                let (first, other) =
                    digests.entry(zxid.to_owned()).or_insert_with(|| (sid, digest.to_owned()));
                ensure!(other == digest, "servers {first} and {sid} differ at {zxid}: {other} and {digest}");
                compared += usize::from(*first != sid);
            }
        }
        Ok(compared)
    }

    /// The ends of all logs.
    pub fn said(&self) -> String {
        let mut said = String::new();
        for member in &self.members {
            let log = member.output();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(15)..].join("\n");
            let _ = writeln!(said, "--- server {}, {:?}\n{last}", member.sid, member.mode());
        }
        said
    }

    /// All client addresses: `HOST:PORT,…`.
    pub fn addresses(&self) -> String {
        self.members.iter().map(Member::address).collect::<Vec<_>>().join(",")
    }

    /// The member with this number.
    pub fn member(&self, sid: u32) -> Result<&Member> {
        self.members.get(sid as usize - 1).with_context(|| format!("there is no server {sid}"))
    }

    /// The same, to be changed.
    pub fn member_mut(&mut self, sid: u32) -> Result<&mut Member> {
        self.members.get_mut(sid as usize - 1).with_context(|| format!("there is no server {sid}"))
    }
}

impl Member {
    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A number of its `server.N` line: 1 for the quorum port, 2 for the election port.
    fn port_of_line(&self, nth: usize) -> Result<u16> {
        let config = fs::read_to_string(self.dir.join("zoo.cfg"))?;
        let prefix = format!("server.{}=", self.sid);
        let line = config.lines().find_map(|line| line.strip_prefix(&prefix)).context("its own line")?;
        let place = line.split('|').next().unwrap_or_default().trim_end_matches(":observer");
        let number = place.rsplit(':').nth(2 - nth).context("host:port:port")?;
        Ok(number.parse()?)
    }

    /// Where it listens for learners while it leads.
    pub fn quorum_port(&self) -> Result<u16> {
        self.port_of_line(1)
    }

    /// Where it listens for votes.
    pub fn election_port(&self) -> Result<u16> {
        self.port_of_line(2)
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> Result<u64> {
        let pid = self.pid().with_context(|| format!("server {} does not run", self.sid))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(1024 * line.trim().trim_end_matches(" kB").parse::<u64>()?)
    }

    /// How many lines of its log hold this.
    pub fn told(&self, text: &str) -> usize {
        self.output().lines().filter(|line| line.contains(text)).count()
    }

    /// The running process.
    pub fn process(&mut self) -> Result<&mut Process> {
        let sid = self.sid;
        self.process.as_mut().with_context(|| format!("server {sid} does not run"))
    }

    /// Its process, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// What `srvr` calls its Mode; none while it serves nobody.
    pub fn mode(&self) -> Option<String> {
        self.says("srvr", "Mode: ")
    }

    /// What stands behind `prefix` in the answer to a four-letter word.
    pub fn says(&self, word: &str, prefix: &str) -> Option<String> {
        self.process.as_ref()?;
        let answer = four_letter(self.port, word).ok()?;
        answer.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
    }

    /// A number that `mntr` tells.
    pub fn mntr(&self, name: &str) -> Result<f64> {
        let found = self.says("mntr", &format!("zk_{name}\t"));
        let found = found.with_context(|| format!("server {} has no {name} in mntr", self.sid))?;
        Ok(found.parse()?)
    }

    /// What it has printed, over all its starts.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.join("server.log")).unwrap_or_else(|error| format!("(no log: {error})"))
    }
}
