//! zoo.cfg as one typed value.
//!
//! What a file leaves out its author took from the sample that ships with ZooKeeper: tickTime 2000, initLimit 10,
//! syncLimit 5, clientPort 2181. (Java's code has other defaults: tickTime 3000, and no client port at all.) Everything
//! else has Java's default. Answers to `QuorumPeerConfig` and `ServerConfig`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zk_core::address::HostPort;
use zk_core::config::change::FewestVoters;
use zk_core::config::member::Member;
use zk_core::disk::Compression;
use zk_core::ids::Sid;
use zk_core::replica::{LocalSessions, Reconfig};
use zk_core::wire::limits::JUTE_MAXBUFFER;
use zk_net::client::limits::Limits;

use super::dynamic;
use super::ensemble::{self, EnsembleCfg};
use super::keys::{self, Fate};
use super::limits;
use super::members;
use super::properties;
use super::service::{self, ServiceCfg};
use super::settings::{Digits, Override, Setting, Settings, TwoPaths};
use super::{ConfigError, Level, Notice, Place};

/// Everything a configuration says, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooCfg {
    /// `tickTime`, ms.
    pub tick_ms: u32,
    /// `initLimit`, ticks; only an ensemble needs it.
    pub init_limit: u32,
    /// `syncLimit`, ticks; only an ensemble needs it.
    pub sync_limit: u32,
    /// `dataDir`.
    pub data_dir: PathBuf,
    /// `dataLogDir`; the same as `data_dir` if it is not set.
    pub data_log_dir: PathBuf,
    /// `datadir.autocreate`: missing directories are made.
    pub create_dirs: bool,
    /// `clientPort`; 0 takes any free port.
    pub client_port: u16,
    /// `clientPortAddress`: a name or address; all addresses if it is not set.
    pub client_host: Option<String>,
    /// `clientPortListenBacklog`; the system's if it is not set.
    pub listen_backlog: Option<u32>,
    /// How much clients may ask at a time.
    pub limits: Limits,
    /// `minSessionTimeout`, ms.
    pub min_session_timeout_ms: i32,
    /// `maxSessionTimeout`, ms.
    pub max_session_timeout_ms: i32,
    /// `snapCount`, transactions.
    pub snap_count: u32,
    /// `snapSizeLimitInKb`, in bytes; 0 is off.
    pub snap_size_limit: u64,
    /// `preAllocSize`, in bytes; 0 is off.
    pub prealloc: u64,
    /// `snapshot.compression.method`.
    pub compression: Compression,
    /// `snapshot.trust.empty`.
    pub trust_empty: bool,
    /// `digest.enabled`.
    pub digest: bool,
    /// `forceSync`: writes are on the disk before they are acknowledged.
    pub force_sync: bool,
    /// `skipACL`: access control lists are not checked.
    pub skip_acl: bool,
    /// `autopurge.snapRetainCount`.
    pub snap_retain_count: u32,
    /// `autopurge.purgeInterval`; `None` is off.
    pub purge_interval: Option<Duration>,
    /// `jute.maxbuffer`: the longest frame a client may send, bytes.
    pub frame_max: u32,
    /// `jute.maxbuffer` + `jute.maxbuffer.extrasize`: the longest record on disk, bytes.
    pub record_max: u32,
    /// `globalOutstandingLimit`, requests.
    pub outstanding_max: u32,
    /// `DigestAuthenticationProvider.superDigest`.
    pub super_digest: Option<String>,
    /// What clients are served.
    pub service: ServiceCfg,
    /// `4lw.commands.whitelist`, with `*` spelled out.
    pub four_letter_words: BTreeSet<String>,
    /// `readonlymode.enabled`.
    pub read_only_mode: bool,
    /// `server.N`, by N.
    pub members: Vec<Member>,
    /// What the members have in common; `None` if this server runs alone.
    pub ensemble: Option<EnsembleCfg>,
    /// `reconfigEnabled`, `standaloneEnabled`.
    pub reconfig: Reconfig,
    /// The file that was read, if it was one.
    pub path: Option<PathBuf>,
    /// `myid`, once it has been [read](Self::identify).
    pub myid: Option<Sid>,
    /// Where `clientPort` stands.
    pub(super) client_port_said: Option<Place>,
    /// What an operator should hear.
    pub notices: Vec<Notice>,
    /// Settings that stand in the way of a start, each with its reason.
    pub refusals: Vec<ConfigError>,
    two_paths: Vec<TwoPaths>,
}

/// Where the defaults come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// A zoo.cfg.
    File,
    /// Neither a file nor arguments: a server to try things with.
    Nothing,
    /// `<clientPort> <dataDir> [tickTime] [maxClientCnxns]`.
    Arguments,
}

impl ZooCfg {
    /// Reads a zoo.cfg.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| ConfigError::Unreadable { file: file.clone(), error: error.to_string() })?;
        let entries = properties::parse(&file, &bytes)?;
        read(Settings::gather(&file, entries, overrides), Base::File, Some(path))
    }

    /// The same for bytes that are there already; `source` names them in messages.
    pub fn parse(source: &str, bytes: &[u8], overrides: &[Override]) -> Result<Self, ConfigError> {
        let entries = properties::parse(source, bytes)?;
        read(Settings::gather(source, entries, overrides), Base::File, None)
    }

    /// What a server started without a file does: port 2181, data in `./data`, old snapshots purged every hour.
    pub fn without_file(overrides: &[Override]) -> Result<Self, ConfigError> {
        read(Settings::gather("no configuration file", vec![], overrides), Base::Nothing, None)
    }

    /// Java's old command line: `<clientPort> <dataDir> [tickTime] [maxClientCnxns]`.
    pub fn from_arguments(arguments: &[String], overrides: &[Override]) -> Result<Self, ConfigError> {
        let keys = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"].into_iter();
        let all = keys.zip(arguments).map(|(key, value)| Override {
            key: key.to_owned(),
            value: value.clone(),
            source: "command line",
        });
        let all: Vec<_> = all.chain(overrides.iter().cloned()).collect();
        read(Settings::gather("command line", vec![], &all), Base::Arguments, None)
    }

    pub(super) fn tell(&mut self, level: Level, place: Option<Place>, text: impl Into<String>) {
        self.notices.push(Notice { level, place, text: text.into() });
    }

    /// Refuses where data may lie in a directory that only Java's reading of the file names: starting on an empty
    /// directory beside it would look like the loss of everything.
    pub fn check_other_data(&self) -> Result<(), ConfigError> {
        let lost = self.two_paths.iter().find(|two| two.java.join("version-2").is_dir());
        lost.map_or(Ok(()), |TwoPaths { place, key, meant, java }| {
            let what = format!(
                "{key} means {} here, but Java reads it as {} and there is data; say which one is meant, without a \
                 comment or special characters in the line",
                meant.display(),
                java.display()
            );
            Err(ConfigError::Contradiction { place: place.clone(), what })
        })
    }
}

fn read(mut s: Settings, base: Base, path: Option<&Path>) -> Result<ZooCfg, ConfigError> {
    let dynamic = dynamic::read(&mut s, path)?;
    let (members, hierarchy) = members::read(&mut s)?;
    let tick_ms = read_tick(&mut s, base)?;
    let (min_session_timeout_ms, max_session_timeout_ms) = read_session_timeouts(&mut s, tick_ms)?;
    let (client_port, client_host, client_port_said) = read_client_port(&mut s, &members, base)?;
    let (data_dir, data_log_dir) = read_dirs(&mut s, base)?;
    let (snap_retain_count, purge_interval) = read_purge(&mut s, base)?;
    let (frame_max, record_max) = read_frame_limits(&mut s)?;
    let sessions = read_local_sessions(&mut s)?;
    let limits = limits::read(&mut s, sessions)?;
    let force_sync = !s.word("forceSync", "no", "yes");
    if !force_sync {
        let text =
            "forceSync=no: writes are acknowledged before they are on the disk; a power cut loses them";
        s.tell(Level::Warn, None, text);
    }
    let skip_acl = s.word("skipACL", "yes", "no");
    if skip_acl {
        s.tell(
            Level::Warn,
            None,
            "skipACL=yes: no access control list is checked, everybody may do everything",
        );
    }
    let mut cfg = ZooCfg {
        tick_ms,
        init_limit: s.count("initLimit", Digits::Decimal, 1, SAMPLE_INIT_LIMIT)?,
        sync_limit: s.count("syncLimit", Digits::Decimal, 1, SAMPLE_SYNC_LIMIT)?,
        data_dir,
        data_log_dir,
        create_dirs: s.truth("datadir.autocreate", true)?.0,
        client_port,
        client_host,
        listen_backlog: positive(s.number("clientPortListenBacklog", Digits::Decimal, ANY)?),
        limits,
        min_session_timeout_ms,
        max_session_timeout_ms,
        snap_count: read_snap_count(&mut s)?,
        snap_size_limit: s.number("snapSizeLimitInKb", Digits::Decoded, KIB)?.map_or(4 << 32, kib),
        prealloc: s.number("preAllocSize", Digits::Decoded, 0..=*KIB.end())?.map_or(64 << 20, kib),
        compression: read_compression(&mut s)?,
        trust_empty: s.truth("snapshot.trust.empty", false)?.0,
        digest: s.truth("digest.enabled", true)?.0,
        force_sync,
        skip_acl,
        snap_retain_count,
        purge_interval,
        frame_max,
        record_max,
        outstanding_max: s.count("globalOutstandingLimit", Digits::Decoded, 1, 1000)?,
        super_digest: read_super_digest(&mut s)?,
        service: service::read(&mut s)?,
        four_letter_words: read_four_letter_words(&mut s)?,
        read_only_mode: s.truth("readonlymode.enabled", false)?.0,
        members,
        ensemble: None,
        reconfig: Reconfig::Disabled,
        path: path.map(Path::to_owned),
        myid: None,
        client_port_said,
        notices: vec![],
        refusals: vec![],
        two_paths: vec![],
    };
    if let Some((number, setting)) = s.number("electionAlg", Digits::Decimal, ANY)?
        && number != 3
    {
        return Err(setting.wrong("3, the only election algorithm there is"));
    }
    let (standalone, setting) = s.truth("standaloneEnabled", true)?;
    if let (true, Some(setting)) = s.truth("reconfigEnabled", false)? {
        let text = "reconfigEnabled=true: changing members at run time is new here, and the simulator has not searched it yet";
        s.tell(Level::Warn, Some(setting.place), text);
        let fewest = if standalone { FewestVoters::Two } else { FewestVoters::One };
        cfg.reconfig = Reconfig::Enabled { fewest };
    }
    if forms_ensemble(&mut s, &cfg.members, standalone, setting)? {
        cfg.ensemble = Some(ensemble::read(&mut s, &cfg.members, hierarchy, sessions, dynamic)?);
    }
    if cfg.read_only_mode {
        cfg.four_letter_words.insert("isro".to_owned());
    }
    tell_of_sessions(&mut s, &cfg, sessions);
    cfg.refusals.extend(read_rest(&mut s, cfg.ensemble.is_some()));
    cfg.notices = s.notices;
    cfg.two_paths = s.two_paths;
    Ok(cfg)
}

fn read_tick(s: &mut Settings, base: Base) -> Result<u32, ConfigError> {
    let found = s.number("tickTime", Digits::Decimal, 1..=i64::from(i32::MAX))?;
    Ok(match (found, base) {
        (Some((n, _)), _) => u32::try_from(n).expect("the range ends at i32::MAX"),
        (None, Base::Arguments) => JAVA_TICK_MS,
        (None, Base::Nothing) => SAMPLE_TICK_MS,
        (None, Base::File) => {
            let text = format!(
                "{}: tickTime is not set: {SAMPLE_TICK_MS} ms is taken, as the sample file has it (Java takes {JAVA_TICK_MS})",
                s.source
            );
            s.tell(Level::Info, None, text);
            SAMPLE_TICK_MS
        }
    })
}

fn read_session_timeouts(s: &mut Settings, tick_ms: u32) -> Result<(i32, i32), ConfigError> {
    let ticks = |n: i64| (i64::from(tick_ms) * n).min(i64::from(i32::MAX));
    let range = -1..=i64::from(i32::MAX);
    let least = s.number("minSessionTimeout", Digits::Decimal, range.clone())?;
    let most = s.number("maxSessionTimeout", Digits::Decimal, range)?;
    let value = |found: &Option<(i64, Setting)>, default| match found {
        None | Some((-1, _)) => default,
        Some((n, _)) => *n,
    };
    let (min, max) = (value(&least, ticks(2)), value(&most, ticks(20)));
    if min > max {
        let place = most.or(least).map(|(_, setting)| setting.place);
        let place = place.expect("2 ticks are less than 20: one of the two was set");
        let what = format!("minSessionTimeout ({min} ms) is larger than maxSessionTimeout ({max} ms)");
        return Err(ConfigError::Contradiction { place, what });
    }
    let ms = |n: i64| i32::try_from(n).expect("both ends of the range fit 32 bits");
    Ok((ms(min), ms(max)))
}

/// The client port, from `clientPort` or the only `server.N` line.
fn read_client_port(
    s: &mut Settings,
    members: &[Member],
    base: Base,
) -> Result<(u16, Option<String>, Option<Place>), ConfigError> {
    let port = s.number("clientPort", Digits::Decimal, 0..=i64::from(u16::MAX))?;
    let host = s.text("clientPortAddress");
    if let Some(setting) = host.as_ref().filter(|setting| setting.value.is_empty()) {
        return Err(setting.wrong("a host name or an IP address"));
    }
    let host = host.map(|setting| setting.value);
    let of_member = match members {
        [only] => only.client.clone(),
        _ => None,
    };
    let as_u16 = |n: i64| u16::try_from(n).expect("the range ends at u16::MAX");
    match (port, of_member) {
        (Some((n, setting)), Some(HostPort { port: other, .. })) if as_u16(n) != other => {
            let what = format!("clientPort={n}, but the server line says port {other} for clients");
            Err(ConfigError::Contradiction { place: setting.place, what })
        }
        (Some((n, setting)), _) => {
            if n == 0 {
                let text = "clientPort=0: any free port is taken (Java opens no port at all)";
                s.tell(Level::Info, Some(setting.place.clone()), text);
            }
            Ok((as_u16(n), host, Some(setting.place)))
        }
        (None, Some(member)) => {
            Ok((member.port, host.or_else(|| (!member.is_wildcard()).then_some(member.host)), None))
        }
        (None, None) => {
            // In an ensemble the port may stand in the server's own line.
            let in_lines = !members.is_empty() && members.iter().all(|member| member.client.is_some());
            let secure = if in_lines { None } else { s.text("secureClientPort") };
            if let Some(secure) = secure {
                return Err(secure.refuse(ONLY_TLS));
            }
            if base == Base::File && !in_lines {
                let text = format!(
                    "{}: clientPort is not set: {SAMPLE_CLIENT_PORT} is taken, as the sample file has it (Java opens no port)",
                    s.source
                );
                s.tell(Level::Info, None, text);
            }
            Ok((SAMPLE_CLIENT_PORT, host, None))
        }
    }
}

fn read_dirs(s: &mut Settings, base: Base) -> Result<(PathBuf, PathBuf), ConfigError> {
    let data_dir = match (s.path("dataDir")?, base) {
        (Some(dir), _) => dir,
        (None, Base::Nothing) => PathBuf::from("./data"),
        (None, _) => {
            let expected = "the directory for snapshots and logs";
            return Err(ConfigError::Missing { file: s.source.clone(), key: "dataDir", expected });
        }
    };
    let data_log_dir = s.path("dataLogDir")?.unwrap_or_else(|| data_dir.clone());
    Ok((data_dir, data_log_dir))
}

fn read_purge(s: &mut Settings, base: Base) -> Result<(u32, Option<Duration>), ConfigError> {
    let retain = match s.number("autopurge.snapRetainCount", Digits::Decimal, ANY)? {
        Some((n, setting)) if n < i64::from(RETAIN_LEAST) => {
            let text = format!("autopurge.snapRetainCount={n}: {RETAIN_LEAST} is the least, and is taken");
            s.tell(Level::Warn, Some(setting.place), text);
            RETAIN_LEAST
        }
        Some((n, _)) => u32::try_from(n).expect("ANY ends at i32::MAX"),
        None => RETAIN_LEAST,
    };
    let interval = match s.take("autopurge.purgeInterval", "exits with status 2") {
        Some(setting) => interval(&setting.value)
            .ok_or_else(|| setting.wrong("a number of hours, or a number with a unit: ms, s, m, h, d"))?,
        None if base == Base::Nothing => Duration::from_secs(3600),
        None => Duration::ZERO,
    };
    Ok((retain, Some(interval).filter(|interval| !interval.is_zero())))
}

/// A number of hours; with a unit behind it (as Java takes it from 3.10 on) of that. Below 0 is off, as 0 is.
fn interval(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = u64::from(u32::try_from(number.trim().parse::<i32>().ok()?.max(0)).ok()?);
    Some(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "" | "h" => Duration::from_secs(number * 3600),
        "d" => Duration::from_secs(number * 86400),
        _ => return None,
    })
}

fn read_snap_count(s: &mut Settings) -> Result<u32, ConfigError> {
    Ok(match s.number("snapCount", Digits::Decoded, ANY)? {
        None => 100_000,
        Some((n, setting)) if n < 2 => {
            s.tell(Level::Warn, Some(setting.place), format!("snapCount={n}: 2 is the least, and is taken"));
            2
        }
        Some((n, _)) => u32::try_from(n).expect("ANY ends at i32::MAX"),
    })
}

fn read_compression(s: &mut Settings) -> Result<Compression, ConfigError> {
    let Some(setting) = s.text("snapshot.compression.method") else { return Ok(Compression::None) };
    match setting.value.as_str() {
        "" => Ok(Compression::None),
        "gz" => Ok(Compression::Gzip),
        "snappy" => Ok(Compression::Snappy),
        _ => Err(setting.wrong("gz, snappy or nothing")),
    }
}

/// The frame and the record limit. Java adds as much again for what a transaction holds beyond its request.
fn read_frame_limits(s: &mut Settings) -> Result<(u32, u32), ConfigError> {
    let default = u32::try_from(JUTE_MAXBUFFER).expect("0xfffff fits");
    let frame_max = s.count("jute.maxbuffer", Digits::Decoded, 1024, default)?;
    let extra = s.count("jute.maxbuffer.extrasize", Digits::Decoded, 1024, frame_max)?;
    Ok((frame_max, frame_max.saturating_add(extra)))
}

fn read_super_digest(s: &mut Settings) -> Result<Option<String>, ConfigError> {
    let Some(setting) = s.text("DigestAuthenticationProvider.superDigest") else { return Ok(None) };
    match setting.value.split_once(':') {
        Some((user, digest)) if !user.is_empty() && !digest.is_empty() => Ok(Some(setting.value)),
        _ => Err(setting.wrong("super:<base64 of the SHA1 of super:password>")),
    }
}

fn read_four_letter_words(s: &mut Settings) -> Result<BTreeSet<String>, ConfigError> {
    // zkServer.sh asks for srvr: it cannot be turned off.
    let mut words = BTreeSet::from(["srvr".to_owned()]);
    if let Some(setting) = s.text("4lw.commands.whitelist") {
        for word in setting.value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "*" => words.extend(FOUR_LETTER_WORDS.map(str::to_owned)),
                word if FOUR_LETTER_WORDS.contains(&word) => {
                    words.insert(word.to_owned());
                }
                _ => {
                    let text = format!("{}: {word} is no four-letter word and is left out", setting.key);
                    s.tell(Level::Warn, Some(setting.place.clone()), text);
                }
            }
        }
    }
    Ok(words)
}

fn read_local_sessions(s: &mut Settings) -> Result<LocalSessions, ConfigError> {
    let (are_on, _) = s.truth("localSessionsEnabled", false)?;
    let (upgrading, setting) = s.truth("localSessionsUpgradingEnabled", false)?;
    Ok(match (are_on, upgrading, setting) {
        (false, true, Some(Setting { key, place, .. })) => {
            s.tell(Level::Warn, Some(place), format!("{key} has no effect without localSessionsEnabled"));
            LocalSessions::Off
        }
        (false, ..) => LocalSessions::Off,
        (true, false, _) => LocalSessions::On,
        (true, true, _) => LocalSessions::Upgrading,
    })
}

/// What a server alone has no use for, and what read-only mode wants besides.
fn tell_of_sessions(s: &mut Settings, cfg: &ZooCfg, sessions: LocalSessions) {
    let texts = match (cfg.ensemble.is_some(), cfg.read_only_mode, sessions) {
        (false, read_only, sessions) => {
            let one = read_only.then_some("readonlymode.enabled allows isro");
            let other = (sessions != LocalSessions::Off).then_some("localSessionsEnabled has no effect");
            let told = one.into_iter().chain(other);
            told.map(|what| format!("{what}: one server alone has its quorum, and every session is its own")).collect()
        }
        (true, true, LocalSessions::Off) => vec![
            "readonlymode.enabled without localSessionsEnabled: as in Java, no client can begin a session without a quorum"
                .to_owned(),
        ],
        _ => vec![],
    };
    texts.into_iter().for_each(|text| s.tell(Level::Info, None, text));
}

/// Whether the members run as an ensemble. One alone does only if `standaloneEnabled=false` says so.
fn forms_ensemble(
    s: &mut Settings,
    members: &[Member],
    standalone: bool,
    setting: Option<Setting>,
) -> Result<bool, ConfigError> {
    match (members, standalone, setting) {
        ([], false, Some(setting)) => {
            let what = "standaloneEnabled=false, but there is no server.N line".to_owned();
            Err(ConfigError::Contradiction { place: setting.place, what })
        }
        ([only], true, _) => {
            let text = format!("server.{} is the only server: it runs alone, as Java runs it", only.sid);
            s.tell(Level::Info, None, text);
            Ok(false)
        }
        (members, ..) => Ok(!members.is_empty()),
    }
}

/// The last word about every key that nothing above has read; refusals are returned.
fn read_rest(s: &mut Settings, in_ensemble: bool) -> Vec<ConfigError> {
    let mut refusals = vec![];
    let mut rest = s.take_rest();
    rest.sort_by_key(|(_, setting)| match &setting.place {
        Place::Line { line, .. } => *line,
        Place::Option(_) => u32::MAX,
    });
    for (name, setting) in rest {
        let Setting { key, value, place, .. } = &setting;
        match keys::fate(&name) {
            Some(Fate::Applied) => {
                unreachable!("{name} is in the table of keys that are applied, but nothing reads it")
            }
            Some(Fate::Ensemble(there)) => {
                let why = if in_ensemble { there } else { ALONE };
                s.tell(Level::Info, Some(place.clone()), format!("{key} {why}"));
            }
            Some(Fate::NoEffect(why)) => s.tell(Level::Info, Some(place.clone()), format!("{key} {why}")),
            Some(Fate::Provider { here, shut }) => {
                let class = value.to_lowercase();
                if shut.contains(&class.as_str()) {
                    let text = format!("{key} opens no door: {value} is not in this version");
                    s.tell(Level::Info, Some(place.clone()), text);
                } else if !here.contains(&class.as_str()) {
                    refusals.push(setting.refuse(OTHER_SCHEME));
                }
            }
            Some(Fate::Refused { harmless, why }) => {
                if !harmless.contains(&value.to_lowercase().as_str()) {
                    refusals.push(setting.refuse(why));
                }
            }
            None if is_foreign(&setting) => {
                s.tell(Level::Info, Some(place.clone()), format!("{key} means nothing to this server"));
            }
            None => {
                let hint =
                    keys::nearest(&name).map_or(String::new(), |near| format!("; did you mean {near}?"));
                let text = format!("{key} is no key that ZooKeeper knows and has no effect{hint}");
                s.tell(Level::Warn, Some(place.clone()), text);
            }
        }
    }
    refusals
}

/// A `-D` option for other readers of the Java command line than ZooKeeper.
fn is_foreign(setting: &Setting) -> bool {
    matches!(setting.place, Place::Option(_))
        && !setting.key.starts_with("zookeeper.")
        && setting.key.contains('.')
}

impl Setting {
    fn refuse(&self, why: &str) -> ConfigError {
        let (place, key, value) = (self.place.clone(), self.key.clone(), self.value.clone());
        ConfigError::Refused { place, key, value, why: why.to_owned() }
    }
}

pub(super) fn positive(found: Option<(i64, Setting)>) -> Option<u32> {
    found.and_then(|(n, _)| u32::try_from(n).ok()).filter(|n| *n > 0)
}

/// KiB to bytes; less than nothing is off.
fn kib((n, _): (i64, Setting)) -> u64 {
    u64::try_from(n).unwrap_or(0) << 10
}

const OTHER_SCHEME: &str =
    "this version has the schemes world, digest and ip; ACLs of another one could not be checked";
const ONLY_TLS: &str =
    "TLS is not in this version, and clientPort, which opens a door without, is not set beside it";
const ALONE: &str = "concerns the servers of an ensemble; one server alone has no use for it";
const SAMPLE_TICK_MS: u32 = 2000;
const SAMPLE_INIT_LIMIT: u32 = 10;
const SAMPLE_SYNC_LIMIT: u32 = 5;
const SAMPLE_CLIENT_PORT: u16 = 2181;
const JAVA_TICK_MS: u32 = 3000;
const RETAIN_LEAST: u32 = 3;
pub(super) const ANY: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
const KIB: std::ops::RangeInclusive<i64> = -1..=(i64::MAX >> 10);
const FOUR_LETTER_WORDS: [&str; 18] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr",
    "stat", "stmk", "wchc", "wchp", "wchs",
];
