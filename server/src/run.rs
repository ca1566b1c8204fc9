//! `run`: from a configuration to a server, until somebody or something ends it.

use std::path::Path;
use std::process;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{error, info, warn};
use zk_core::config::member::Member;
use zk_core::disk::DiskConfig;
use zk_core::election::ElectionSettings;
use zk_core::election::links::LinkSettings;
use zk_core::front::FrontConfig;
use zk_core::ids::Sid;
use zk_core::replica::{Ensemble, ReplicaConfig, SyncReads};
use zk_core::tree::TreeConfig;
use zk_net::disk::directories::Missing;
use zk_net::node::{Node, NodeConfig, StartError};
use zk_net::peer::{PeerConfig, Record};

use crate::asked::{Asked, Signal, Wish};
use crate::cli::Run;
use crate::config::{ConfigError, EnsembleCfg, Level, Notice, Override, ZooCfg};
use crate::config_files::ConfigFiles;
use crate::{environment, exit, jvm_flags, logging, signals};

/// Why a running server ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    /// A signal.
    Asked(&'static str),
    /// It cannot go on.
    Failed(String),
}

/// Serves until it is asked to stop, or cannot go on; the exit status.
pub fn run(args: &Run, environment: &[Override]) -> u8 {
    logging::begin(&args.logging);
    end_with_any_panic();
    raise_open_files();
    let mut overrides = environment.to_vec();
    overrides.extend(jvm_flags::from_options(&args.properties));
    let cfg = match understand(&args.config, &overrides) {
        Ok(cfg) => cfg,
        Err(refusals) => {
            refusals.iter().for_each(|refusal| error!("{refusal}"));
            // The line that scripts know from Java, then the reason.
            eprintln!("Invalid config, exiting abnormally");
            refusals.iter().for_each(|refusal| eprintln!("{refusal}"));
            return exit::INVALID_CONFIG;
        }
    };
    let (tell, told) = mpsc::channel();
    if let Err(failure) = signals::watch(obey(tell.clone())) {
        return complain(exit::UNEXPECTED, &format!("cannot watch for signals: {failure}"));
    }
    let on_failure = Box::new(move |reason| {
        // Nobody listens any more when the process is ending already.
        let _ = tell.send(Ending::Failed(reason));
    });
    let node = match Node::start(node_config(&cfg), on_failure) {
        Ok(node) => node,
        Err(failure) => return complain(status_of(&failure), &format!("{failure}")),
    };
    let address = node.client_address();
    info!(%address, "serving clients");
    match told.recv().expect("the signal thread keeps its end") {
        Ending::Asked(signal) => {
            info!(signal, "stopping");
            if node.stop() {
                info!("stopped");
                exit::CLEAN
            } else {
                complain(exit::UNEXPECTED, "stopped, but not everything that was in flight could be finished")
            }
        }
        // No clean stop: nothing that is in memory may be trusted to reach a disk that has failed.
        Ending::Failed(reason) => complain(exit::UNEXPECTED, &format!("cannot go on: {reason}")),
    }
}

/// Reads the configuration and says everything there is to say about it.
fn understand(arguments: &[String], overrides: &[Override]) -> Result<ZooCfg, Vec<ConfigError>> {
    let read = match arguments {
        [] => ZooCfg::without_file(overrides),
        [file] => ZooCfg::load(Path::new(file), overrides),
        arguments => ZooCfg::from_arguments(arguments, overrides),
    };
    let mut cfg = read.map_err(|error| vec![error])?;
    let identified = cfg.identify();
    if arguments.is_empty() {
        let (port, data) = (cfg.client_port, cfg.data_dir.display());
        info!("no configuration file: connect with zkCli.sh -server 127.0.0.1:{port}; data goes to {data}");
    }
    cfg.notices.iter().for_each(tell);
    if !cfg.refusals.is_empty() {
        return Err(cfg.refusals);
    }
    cfg.check_other_data().and(identified).map_err(|error| vec![error])?;
    Ok(cfg)
}

fn tell(notice: &Notice) {
    match notice.level {
        Level::Info => info!("{notice}"),
        Level::Warn => warn!("{notice}"),
    }
}

/// The first signal asks for a clean stop; see [`Asked`] for those that follow.
fn obey(tell: Sender<Ending>) -> impl FnMut(Signal) + Send {
    let mut asked = Asked::default();
    move |signal| match asked.hear(signal, Instant::now()) {
        // Nobody listens any more when the process is ending already.
        Wish::Stop => drop(tell.send(Ending::Asked(signal.name()))),
        Wish::Known => {}
        Wish::End => {
            eprintln!("{} again: ending without a clean stop", signal.name());
            process::exit(exit::UNEXPECTED.into());
        }
    }
}

/// A thread that panics leaves its work undone, and others waiting for it: the process ends, and says where it happened.
fn end_with_any_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        eprintln!("a broken invariant ends this process; nothing was acknowledged that is not on the disk");
        process::exit(exit::UNEXPECTED.into());
    }));
}

/// Every connection is an open file: as many as the system lets this process have (the Java machine does the same).
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "the limit of open files stays at {current:?}");
    }
}

fn complain(status: u8, message: &str) -> u8 {
    error!("{message}");
    eprintln!("{message}");
    status
}

const fn status_of(failure: &StartError) -> u8 {
    match failure {
        StartError::Directory(_) => exit::DATA_DIR,
        StartError::ElectionPort { .. } => exit::ELECTION_PORT,
        _ => exit::UNEXPECTED,
    }
}

/// Requests that one connection may have between door and reply.
const IN_FLIGHT_MAX: usize = 1000;
/// Output that a client may leave unread before it is not read from, bytes.
const OUTPUT_HIGH: usize = 1 << 20;

/// What the disk room is told.
pub(crate) const fn disk_config(cfg: &ZooCfg) -> DiskConfig {
    DiskConfig {
        prealloc: cfg.prealloc,
        force_sync: cfg.force_sync,
        compression: cfg.compression,
        trust_empty: cfg.trust_empty,
        digest: cfg.digest,
        record_max: cfg.record_max as usize,
        tree: TreeConfig { hash_seed: 0, types: cfg.service.types },
    }
}

fn node_config(cfg: &ZooCfg) -> NodeConfig {
    let ensemble = cfg.myid.zip(cfg.ensemble.as_ref());
    NodeConfig {
        data_dir: cfg.data_dir.clone(),
        data_log_dir: cfg.data_log_dir.clone(),
        missing_dirs: if cfg.create_dirs { Missing::Create } else { Missing::Refuse },
        client_host: cfg.client_host.clone(),
        client_port: cfg.client_port,
        listen_backlog: cfg.listen_backlog,
        limits: cfg.limits,
        disk: disk_config(cfg),
        front: FrontConfig {
            min_session_timeout_ms: cfg.min_session_timeout_ms,
            max_session_timeout_ms: cfg.max_session_timeout_ms,
            tick_ms: cfg.tick_ms,
            frame_max: cfg.frame_max as usize,
            in_flight_max: IN_FLIGHT_MAX,
            large_above: cfg.limits.large.map(|large| large.above),
            output_high: OUTPUT_HIGH,
            skip_acl: cfg.skip_acl,
            super_digest: cfg.super_digest.clone(),
            enforced_schemes: cfg.service.enforced_schemes.clone(),
        },
        replica: ReplicaConfig {
            // Alone as Java's standalone server, whatever myid says.
            sid: cfg.myid.unwrap_or(Sid(1)),
            tick_ms: cfg.tick_ms,
            snap_count: cfg.snap_count,
            snap_size_limit: cfg.snap_size_limit,
            digest: cfg.digest,
            skip_acl: cfg.skip_acl,
            enforce_quota: cfg.service.enforce_quota,
            reaper: cfg.service.reaper,
            outstanding_max: cfg.outstanding_max,
            reconfig: cfg.reconfig,
            ensemble: ensemble.map(|(me, ensemble)| replica_ensemble(cfg, me, ensemble)),
        },
        peers: ensemble.map(|(me, ensemble)| peer_config(cfg, me, ensemble)),
        snap_retain_count: cfg.snap_retain_count as usize,
        purge_interval: cfg.purge_interval,
        workers: None,
        version: environment::version(),
        whitelist: cfg.four_letter_words.clone(),
        environment: environment::list(),
    }
}

/// Committed txns that are kept in memory for learners that come back, bytes.
const WINDOW_BYTES: usize = 64 << 20;
/// What may be on its way to a learner that has been brought up to date, bytes.
const BACKLOG_MAX: usize = 128 << 20;
/// What a learner holds in memory between two steps of a sync, bytes.
const HELD_MAX: usize = 256 << 20;

fn replica_ensemble(cfg: &ZooCfg, me: Sid, ensemble: &EnsembleCfg) -> Ensemble {
    let own = ensemble.config.member(me).into_iter().flat_map(Member::election_addresses);
    let sync_limit_ms = u64::from(cfg.sync_limit) * u64::from(cfg.tick_ms);
    Ensemble {
        membership: ensemble.membership(),
        election: ElectionSettings {
            notification_min_ms: u64::from(ensemble.notification_min_ms),
            notification_max_ms: u64::from(ensemble.notification_max_ms.max(ensemble.notification_min_ms)),
            ..ElectionSettings::default()
        },
        links: LinkSettings {
            addresses: own.collect(),
            dial_timeout_ms: u64::from(ensemble.dial_timeout_ms),
            hello_timeout_ms: ensemble.hello_timeout_ms.map_or(sync_limit_ms, u64::from),
        },
        init_limit: cfg.init_limit,
        sync_limit: cfg.sync_limit,
        connect_limit: ensemble.connect_limit,
        window_count: ensemble.commit_log_count,
        window_bytes: WINDOW_BYTES,
        log_share: ensemble.log_share,
        sync_choice: ensemble.sync_choice,
        syncs_max: ensemble.syncs_max,
        sync_reads: SyncReads::Confirmed,
        backlog_max: BACKLOG_MAX,
        held_max: HELD_MAX,
        leader_serves: ensemble.leader_serves,
        local_sessions: ensemble.local_sessions,
        // As long as Java waits.
        read_only_after_ms: cfg.read_only_mode.then(|| cfg.tick_ms.max(2000)),
        observer_delay_ms: ensemble.observer_delay_ms,
    }
}

/// Where changes of the members go: into the files beside zoo.cfg.
fn record(cfg: &ZooCfg, me: Sid, ensemble: &EnsembleCfg) -> Record {
    let Some(path) = cfg.path.as_deref().filter(|_| cfg.reconfig.is_enabled()) else {
        return Record::nowhere();
    };
    let files = ConfigFiles::new(path, me, &ensemble.membership());
    if !ensemble.is_apart
        && let Err(error) = files.back_up()
    {
        warn!(%error, "zoo.cfg cannot be kept as it is before it is rewritten");
    }
    Record::by(move |membership| files.record(membership))
}

fn peer_config(cfg: &ZooCfg, me: Sid, ensemble: &EnsembleCfg) -> PeerConfig {
    PeerConfig {
        me,
        membership: ensemble.membership(),
        record: record(cfg, me, ensemble),
        listen_on: ensemble.listen_on,
        bind_retry: ensemble.bind_retry,
        dial_timeout: Duration::from_millis(u64::from(ensemble.dial_timeout_ms)),
        keep_alive: ensemble.keep_alive,
        data_max: cfg.record_max as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const CHILD: &str = "ZOARIUM_TEST_PANICS";

    /// Does nothing unless [`a_panic_in_any_thread_ends_the_process`] runs it in a process of its own.
    #[test]
    fn panics_when_told_to() {
        if std::env::var_os(CHILD).is_some() {
            end_with_any_panic();
            let thread = std::thread::spawn(|| panic!("invariant: one and one are three"));
            let _ = thread.join();
            process::exit(0);
        }
    }

    #[test]
    fn a_panic_in_any_thread_ends_the_process() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "run::tests::panics_when_told_to", "--nocapture"]).env(CHILD, "1");
        let output = child.output().unwrap();
        assert_eq!(output.status.code(), Some(exit::UNEXPECTED.into()), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("one and one are three") && said.contains("run.rs"), "{said}");
        assert!(said.contains("nothing was acknowledged"), "{said}");
    }

    #[test]
    fn the_sample_file_is_accepted_without_a_warning() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/zoo_sample.cfg");
        let cfg = ZooCfg::load(Path::new(sample), &[]).unwrap();
        assert!(cfg.notices.iter().all(|notice| notice.level == Level::Info), "{:?}", cfg.notices);
        assert!(cfg.refusals.is_empty());
        assert_eq!((cfg.client_port, cfg.tick_ms, cfg.snap_retain_count), (2181, 2000, 3));
    }
}
