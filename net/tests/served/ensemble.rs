//! Several servers in this process, an ensemble on ports of loopback.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zk_core::config::member::Member;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::election::ElectionSettings;
use zk_core::election::links::LinkSettings;
use zk_core::ids::Sid;
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, Ensemble, LocalSessions, LogShare, SyncChoice, SyncReads, SyncsMax};
use zk_net::node::NodeConfig;
use zk_net::peer::{BindRetry, KeepAlive, ListenOn, PeerConfig, Record};

use super::{Client, Served, config, start, try_client, until};

pub const TICK_MS: u32 = 200;

/// How a configuration is to be otherwise than usual.
pub type Change = Box<dyn Fn(&mut NodeConfig)>;

/// Servers 1, 2, … of one ensemble, each over a directory of its own.
pub struct Servers {
    dir: tempfile::TempDir,
    pub members: Arc<QuorumConfig>,
    pub up: Vec<Option<Served>>,
    /// What is to be otherwise than usual.
    pub change: Option<Change>,
}

/// Ports that nobody has a moment ago. All are held until the last is drawn, so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl Servers {
    /// None of them runs yet.
    pub fn new(count: usize) -> Self {
        let mut text = String::new();
        for (i, ports) in free_ports(2 * count).chunks(2).enumerate() {
            writeln!(text, "server.{}=127.0.0.1:{}:{}", i + 1, ports[0], ports[1]).unwrap();
        }
        let members = Arc::new(QuorumConfig::parse(&text).unwrap());
        let up = (0..count).map(|_| None).collect();
        Self { dir: tempfile::tempdir().unwrap(), members, up, change: None }
    }

    pub fn start(&mut self, n: usize) {
        let dir = self.dir.path().join(n.to_string());
        let mut config = member(&dir, Sid(n as i64), &self.members);
        self.change.iter().for_each(|change| change(&mut config));
        self.up[n - 1] = Some(start(config));
    }

    pub fn stop(&mut self, n: usize) {
        assert!(self.up[n - 1].take().expect("it runs").node.stop());
    }

    pub fn server(&self, n: usize) -> &Served {
        self.up[n - 1].as_ref().expect("it runs")
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (1..=self.up.len()).filter(|n| self.up[n - 1].is_some())
    }

    /// Waits until all that run serve; the leader.
    pub fn elect(&self) -> usize {
        let mut leader = None;
        until("all serve", || {
            let modes: Vec<_> = self.running().map(|n| (n, mode(self.server(n)))).collect();
            leader = modes.iter().find(|(_, mode)| mode == "leader").map(|(n, _)| *n);
            leader.is_some() && modes.iter().all(|(_, mode)| mode != "none")
        });
        leader.unwrap()
    }

    /// Where a server's election port is.
    pub fn election_port(&self, n: usize) -> u16 {
        self.members.member(Sid(n as i64)).unwrap().addresses[0].election_port
    }

    /// Where a server's quorum port is, if it leads.
    pub fn quorum_port(&self, n: usize) -> u16 {
        self.members.member(Sid(n as i64)).unwrap().addresses[0].quorum_port
    }

    /// A connection that has not said anything.
    pub fn socket(&self, n: usize) -> Client {
        self.server(n).socket()
    }

    /// A session on a server; it may still have to find out that it serves.
    pub fn client(&self, n: usize) -> Client {
        let mut client = None;
        until("a session begins", || {
            client = try_client(self.server(n));
            client.is_some()
        });
        client.unwrap()
    }
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream
}

/// As `srvr` tells it; `none` while no client is served.
pub fn mode(server: &Served) -> String {
    let told = server.word(b"srvr");
    told.lines().find_map(|line| line.strip_prefix("Mode: ")).unwrap_or("none").to_owned()
}

/// A member over `dir`, with one worker: whoever waits for what another connection brings would wait for ever.
pub fn member(dir: &Path, me: Sid, members: &Arc<QuorumConfig>) -> NodeConfig {
    let mut config = config(dir);
    config.workers = Some(1);
    config.replica.sid = me;
    config.replica.tick_ms = TICK_MS;
    config.front.tick_ms = TICK_MS;
    config.front.max_session_timeout_ms = 30_000;
    config.replica.ensemble = Some(Ensemble {
        membership: Arc::new(Membership::settled(Arc::clone(members))),
        election: ElectionSettings::default(),
        links: LinkSettings {
            addresses: members.member(me).into_iter().flat_map(Member::election_addresses).collect(),
            dial_timeout_ms: 5000,
            hello_timeout_ms: 1000,
        },
        init_limit: 20,
        sync_limit: 10,
        connect_limit: None,
        window_count: 500,
        window_bytes: 1 << 20,
        log_share: LogShare::OfSnapshot { permille: 330 },
        sync_choice: SyncChoice::Least,
        syncs_max: SyncsMax::default(),
        sync_reads: SyncReads::Confirmed,
        backlog_max: 64 << 20,
        held_max: 64 << 20,
        local_sessions: LocalSessions::Off,
        read_only_after_ms: None,
        leader_serves: ClientService::Open,
        observer_delay_ms: 0,
    });
    config.peers = Some(PeerConfig {
        me,
        membership: Arc::new(Membership::settled(Arc::clone(members))),
        record: Record::nowhere(),
        listen_on: ListenOn::OwnAddresses,
        bind_retry: BindRetry::Tries(1),
        dial_timeout: Duration::from_secs(5),
        keep_alive: KeepAlive::Off,
        data_max: config.disk.record_max,
    });
    config
}

/// All words of a text, for comparing sets of keys.
pub fn keys(mntr: &str) -> HashSet<String> {
    mntr.lines().filter_map(|line| Some(line.split_once('\t')?.0.to_owned())).collect()
}
