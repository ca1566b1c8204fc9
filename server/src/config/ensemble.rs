//! What zoo.cfg says of an ensemble, and which of its members this server is.

use std::path::Path;
use std::sync::Arc;

use zk_core::address::HostPort;
use zk_core::config::member::{Member, Role};
use zk_core::config::quorum_config::{Hierarchy, QuorumConfig};
use zk_core::ids::Sid;
use zk_core::quorum::Membership;
use zk_core::replica::{ClientService, LocalSessions, LogShare, SyncChoice, SyncsMax};
use zk_net::peer::{BindRetry, KeepAlive, ListenOn};

use super::dynamic::Dynamic;
use super::settings::{Digits, Settings};
use super::zoo_cfg::{ANY, ZooCfg};
use super::{ConfigError, Level, Place};

/// The settings of an ensemble, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleCfg {
    /// `server.N`, `group.N`, `weight.N`.
    pub config: Arc<QuorumConfig>,
    /// What was proposed and is not known to be in force; otherwise the same.
    pub last_seen: Arc<QuorumConfig>,
    /// The members are in a file of their own, not in zoo.cfg.
    pub is_apart: bool,
    /// `quorumListenOnAllIPs`.
    pub listen_on: ListenOn,
    /// `electionPortBindRetry`.
    pub bind_retry: BindRetry,
    /// `tcpKeepAlive`.
    pub keep_alive: KeepAlive,
    /// `cnxTimeout`, ms.
    pub dial_timeout_ms: u32,
    /// `quorumCnxnTimeoutMs`, ms; syncLimit ticks if it is not set.
    pub hello_timeout_ms: Option<u32>,
    /// `fastleader.minNotificationInterval`, ms.
    pub notification_min_ms: u32,
    /// `fastleader.maxNotificationInterval`, ms.
    pub notification_max_ms: u32,
    /// `connectToLearnerMasterLimit`, ticks; initLimit if it is not set.
    pub connect_limit: Option<u32>,
    /// `commitLogCount`, transactions.
    pub commit_log_count: u32,
    /// `snapshotSizeFactor`.
    pub log_share: LogShare,
    /// `forceSnapshotSync`.
    pub sync_choice: SyncChoice,
    /// `leader.maxConcurrentSnapSyncs`, `leader.maxConcurrentDiffSyncs`.
    pub syncs_max: SyncsMax,
    /// `leaderServes`.
    pub leader_serves: ClientService,
    /// `localSessionsEnabled`, `localSessionsUpgradingEnabled`.
    pub local_sessions: LocalSessions,
    /// `observer.election.DelayMs`, ms.
    pub observer_delay_ms: u32,
    /// `peerType`, where it is set.
    peer_type: Option<(Role, Place)>,
}

impl EnsembleCfg {
    /// Who belongs to it.
    pub fn membership(&self) -> Arc<Membership> {
        Arc::new(Membership::new(Arc::clone(&self.config), Arc::clone(&self.last_seen)))
    }
}

/// Reads what only an ensemble has a use for.
pub(super) fn read(
    s: &mut Settings,
    members: &[Member],
    hierarchy: Option<Hierarchy>,
    local_sessions: LocalSessions,
    dynamic: Dynamic,
) -> Result<EnsembleCfg, ConfigError> {
    let file = s.source.clone();
    let Dynamic { version, next, is_apart } = dynamic;
    let config = QuorumConfig::new(version, members.iter().cloned(), hierarchy)
        .map_err(|error| ConfigError::Ensemble { file, what: error.to_string() })?;
    let all_ips = s.truth("quorumListenOnAllIPs", false)?.0;
    let keep_alive = s.truth("tcpKeepAlive", false)?.0;
    let snapshots_only = s.truth("forceSnapshotSync", false)?.0;
    let config = Arc::new(config);
    Ok(EnsembleCfg {
        last_seen: next.filter(|next| next.version() > version).map_or_else(|| config.clone(), Arc::new),
        is_apart,
        config,
        listen_on: if all_ips { ListenOn::AllAddresses } else { ListenOn::OwnAddresses },
        bind_retry: match s.number("electionPortBindRetry", Digits::Decoded, 0..=*ANY.end())? {
            None => BindRetry::UnlessInUse,
            Some((0, _)) => BindRetry::Forever,
            Some((tries, _)) => BindRetry::Tries(u32::try_from(tries).expect("ANY ends at i32::MAX")),
        },
        keep_alive: if keep_alive { KeepAlive::On } else { KeepAlive::Off },
        dial_timeout_ms: s.count("cnxTimeout", Digits::Decoded, 1, 5000)?,
        hello_timeout_ms: positive(s, "quorumCnxnTimeoutMs")?,
        notification_min_ms: s.count("fastleader.minNotificationInterval", Digits::Decoded, 1, 200)?,
        notification_max_ms: read_longest_wait(s)?,
        connect_limit: positive(s, "connectToLearnerMasterLimit")?,
        commit_log_count: s.count("commitLogCount", Digits::Decoded, 1, 500)?,
        log_share: read_log_share(s)?,
        sync_choice: if snapshots_only { SyncChoice::Snapshot } else { SyncChoice::Least },
        syncs_max: SyncsMax {
            snap: s.count("leader.maxConcurrentSnapSyncs", Digits::Decoded, 1, SyncsMax::default().snap)?,
            diff: s.count("leader.maxConcurrentDiffSyncs", Digits::Decoded, 1, SyncsMax::default().diff)?,
        },
        leader_serves: match s.word("leaderServes", "no", "yes") {
            true => ClientService::Closed,
            false => ClientService::Open,
        },
        local_sessions,
        observer_delay_ms: s.count("observer.election.DelayMs", Digits::Decoded, 0, 200)?,
        peer_type: read_peer_type(s)?,
    })
}

/// Java waits up to a minute before votes are asked for again, which is how long a server may stay away after an outage.
const LONGEST_WAIT_MS: u32 = 5000;

fn read_longest_wait(s: &mut Settings) -> Result<u32, ConfigError> {
    s.count("fastleader.maxNotificationInterval", Digits::Decoded, 1, LONGEST_WAIT_MS)
}

fn positive(s: &mut Settings, name: &str) -> Result<Option<u32>, ConfigError> {
    let found = s.number(name, Digits::Decoded, ANY)?;
    Ok(found.and_then(|(n, _)| u32::try_from(n).ok()).filter(|n| *n > 0))
}

fn read_log_share(s: &mut Settings) -> Result<LogShare, ConfigError> {
    let Some(setting) = s.text("snapshotSizeFactor") else {
        return Ok(LogShare::OfSnapshot { permille: 330 });
    };
    let factor = setting.value.parse::<f64>().ok().filter(|factor| factor.is_finite());
    let factor = factor.ok_or_else(|| setting.wrong("a share of a snapshot's size, such as 0.33"))?;
    Ok(if factor < 0.0 {
        LogShare::Never
    } else if factor == 0.0 {
        LogShare::Any
    } else {
        LogShare::OfSnapshot { permille: ((factor * 1000.0).round().min(f64::from(u32::MAX)) as u32).max(1) }
    })
}

fn read_peer_type(s: &mut Settings) -> Result<Option<(Role, Place)>, ConfigError> {
    let Some(setting) = s.text("peerType") else { return Ok(None) };
    let role = match setting.value.to_ascii_lowercase().as_str() {
        "participant" => Role::Participant,
        "observer" => Role::Observer,
        _ => return Err(setting.wrong("participant or observer")),
    };
    Ok(Some((role, setting.place)))
}

/// Which member this server is.
impl ZooCfg {
    /// Reads `myid` in the data directory, if this is about an ensemble, and takes the client port from the server's own line.
    pub fn identify(&mut self) -> Result<(), ConfigError> {
        if self.ensemble.is_none() {
            return Ok(());
        }
        let path = self.data_dir.join("myid");
        let file = path.display().to_string();
        let read = std::fs::read_to_string(&path).map_err(|error| ConfigError::MyId {
            file: file.clone(),
            what: format!("{error}; it is to hold the N of this server's server.N line, and nothing else"),
        });
        self.identify_as(&path, &read?)
    }

    /// The same with what `myid` says.
    fn identify_as(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let ensemble = self.ensemble.as_ref().expect("asked of ensembles only");
        let wrong = |what: String| ConfigError::MyId { file: path.display().to_string(), what };
        let text = text.trim();
        let sid = text.parse().map(Sid).map_err(|_| {
            wrong(format!(
                "expected the N of this server's server.N line, found \"{text}\", which is no number"
            ))
        })?;
        let Some(member) = ensemble.config.member(sid) else {
            let known: Vec<_> = self.members.iter().map(|member| format!("server.{}", member.sid)).collect();
            return Err(wrong(format!("there is no server.{sid} among {}", known.join(", "))));
        };
        let (role, client) = (member.role, member.client.clone());
        if let Some((said, place)) = ensemble.peer_type.clone().filter(|(said, _)| *said != role) {
            let text = format!("peerType says {said:?}, but server.{sid} is {role:?}, which counts");
            self.tell(Level::Warn, Some(place), text);
        }
        if let Some(place) = self.service.types_said.clone().filter(|_| sid.0 == 255) {
            // Its sessions' numbers would look like times to live.
            let what =
                format!("extendedTypesEnabled=true leaves server ids up to 254, and this is server.{sid}");
            return Err(ConfigError::Contradiction { place, what });
        }
        self.myid = Some(sid);
        if let Some(client) = client {
            self.take_client_port(sid, client)?;
        }
        Ok(())
    }

    /// The client port stands in the server line; where `clientPort` says something too, it is to say the same.
    fn take_client_port(&mut self, sid: Sid, client: HostPort) -> Result<(), ConfigError> {
        let host = Some(client.host.clone()).filter(|_| !client.is_wildcard());
        let said = self.client_port_said.clone().filter(|_| {
            self.client_port != client.port || self.client_host.is_some() && self.client_host != host
        });
        if let Some(place) = said {
            let here = self.client_host.as_deref().unwrap_or("*");
            let what = format!(
                "clients are served at {here}:{} here, but at {client} in the line of server.{sid}",
                self.client_port
            );
            return Err(ConfigError::Contradiction { place, what });
        }
        (self.client_port, self.client_host) = (client.port, host.or_else(|| self.client_host.take()));
        Ok(())
    }
}

/// What `myid` and server lines have to say to each other; see the tests of the whole for the rest.
#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "dataDir=/d\ntickTime=2000\nserver.1=a:2888:3888\nserver.2=b:2888:3888\n\
        server.3=c:2888:3888;2181\nserver.4=d:2888:3888:observer;[::1]:2199\n";

    fn cfg(more: &str) -> ZooCfg {
        ZooCfg::parse("zoo.cfg", format!("{LINES}{more}").as_bytes(), &[]).unwrap()
    }

    fn identified(more: &str, myid: &str) -> Result<ZooCfg, String> {
        let mut cfg = cfg(more);
        cfg.identify_as(Path::new("/d/myid"), myid).map_err(|error| error.to_string())?;
        Ok(cfg)
    }

    #[test]
    fn a_server_finds_itself_and_its_client_port() {
        let cfg = identified("clientPort=5\nclientPortAddress=h", "1\n").unwrap();
        assert_eq!((cfg.myid, cfg.client_port, cfg.client_host.as_deref()), (Some(Sid(1)), 5, Some("h")));
        let cfg = identified("", " 3 ").unwrap();
        assert_eq!((cfg.client_port, cfg.client_host), (2181, None));
        let cfg = identified("", "4").unwrap();
        assert_eq!((cfg.client_port, cfg.client_host.as_deref()), (2199, Some("::1")));
        assert_eq!(identified("clientPort=2181", "3").unwrap().client_port, 2181);
    }

    #[test]
    fn a_myid_that_is_none_is_named() {
        for (myid, why) in [
            (
                "one",
                "/d/myid: expected the N of this server's server.N line, found \"one\", which is no number",
            ),
            ("", "/d/myid: expected the N of this server's server.N line, found \"\", which is no number"),
            ("7", "/d/myid: there is no server.7 among server.1, server.2, server.3, server.4"),
        ] {
            assert_eq!(identified("", myid).unwrap_err(), why);
        }
        let dir = tempfile::tempdir().unwrap();
        let mut cfg = cfg("");
        cfg.data_dir = dir.path().to_owned();
        let error = cfg.identify().unwrap_err().to_string();
        assert!(error.contains("/myid: No such file") && error.contains("server.N"), "{error}");
    }

    #[test]
    fn two_client_ports_for_one_server_are_a_contradiction() {
        let error = identified("clientPort=5", "3").unwrap_err();
        let expected =
            "zoo.cfg, line 7: clients are served at *:5 here, but at 0.0.0.0:2181 in the line of server.3";
        assert_eq!(error, expected);
    }

    #[test]
    fn the_server_line_says_whether_it_votes() {
        let cfg = identified("peerType=observer", "1").unwrap();
        let told = cfg.notices.iter().map(ToString::to_string).collect::<Vec<_>>();
        let warning = "zoo.cfg, line 7: peerType says Observer, but server.1 is Participant, which counts";
        assert!(told.iter().any(|told| told == warning), "{told:?}");
        assert!(
            !identified("peerType=OBSERVER", "4")
                .unwrap()
                .notices
                .iter()
                .any(|n| n.text.contains("peerType"))
        );
    }

    #[test]
    fn settings_of_an_ensemble_are_read_with_their_units() {
        let ensemble = cfg("").ensemble.unwrap();
        assert_eq!((ensemble.dial_timeout_ms, ensemble.hello_timeout_ms), (5000, None));
        assert_eq!((ensemble.notification_min_ms, ensemble.notification_max_ms), (200, 5000));
        assert_eq!((ensemble.commit_log_count, ensemble.connect_limit), (500, None));
        assert_eq!(ensemble.log_share, LogShare::OfSnapshot { permille: 330 });
        assert_eq!(ensemble.syncs_max, SyncsMax { snap: 10, diff: 100 });
        let ensemble = cfg(
            "quorumListenOnAllIPs=true\ntcpKeepAlive=true\nzookeeper.cnxTimeout=7\nquorumCnxnTimeoutMs=8\n\
             fastleader.maxNotificationInterval=9\nconnectToLearnerMasterLimit=3\ncommitLogCount=600\n\
             snapshotSizeFactor=-1\nforceSnapshotSync=true\nleaderServes=no\nobserver.election.DelayMs=0\n\
             electionPortBindRetry=0\nleader.maxConcurrentSnapSyncs=2\nzookeeper.leader.maxConcurrentDiffSyncs=3",
        )
        .ensemble
        .unwrap();
        assert_eq!((ensemble.listen_on, ensemble.keep_alive), (ListenOn::AllAddresses, KeepAlive::On));
        assert_eq!((ensemble.dial_timeout_ms, ensemble.hello_timeout_ms), (7, Some(8)));
        assert_eq!((ensemble.notification_max_ms, ensemble.connect_limit), (9, Some(3)));
        assert_eq!((ensemble.commit_log_count, ensemble.log_share), (600, LogShare::Never));
        assert_eq!(
            (ensemble.sync_choice, ensemble.leader_serves),
            (SyncChoice::Snapshot, ClientService::Closed)
        );
        assert_eq!(ensemble.syncs_max, SyncsMax { snap: 2, diff: 3 });
        assert_eq!((ensemble.observer_delay_ms, ensemble.bind_retry), (0, BindRetry::Forever));
    }

    #[test]
    fn groups_and_weights_belong_to_the_config_and_leave_nobody_out() {
        let groups = "group.1=1:2\ngroup.2=3\nweight.1=2\n";
        let config = cfg(groups).ensemble.unwrap().config;
        let hierarchy = config.hierarchy().unwrap();
        assert_eq!(
            (hierarchy.groups.len(), hierarchy.weights[&Sid(1)], hierarchy.weights[&Sid(2)]),
            (2, 2, 1)
        );
        let text = format!("{LINES}group.1=1:2");
        let error = ZooCfg::parse("zoo.cfg", text.as_bytes(), &[]).unwrap_err().to_string();
        assert_eq!(error, "zoo.cfg: expected server.3 in a group, found it in none");
    }
}
