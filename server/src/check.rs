//! `check`: what an operator should know before Zoarium takes the place of a server, or starts at all. Nothing is changed, and
//! no port is taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zk_core::config::member::Member;
use zk_core::disk::layout;
use zk_core::disk::recovery::{Recovered, recover};
use zk_core::event::Event;
use zk_core::ids::Zxid;
use zk_net::disk::directories;
use zk_net::disk::files::{Files, Paths};

use crate::config::{Level, ZooCfg};
use crate::diff::client::{connected, four_letter};
use crate::{exit, jvm_flags, run};

/// Says whether a server would start with this zoo.cfg on its data, and what of the present configuration does not carry over.
///
/// Reads the configuration, the files that Java's scripts read beside it, the data directory as a start would read it, and
/// asks the other servers for their versions. Changes nothing. Exits with 1 if something is in the way.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The zoo.cfg.
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
}

/// What there is to say, and whether any of it is in the way.
#[derive(Debug, Default)]
struct Report {
    lines: Vec<String>,
    stops: usize,
}

impl Report {
    fn good(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("ok    {}", text.as_ref()));
    }

    fn note(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("note  {}", text.as_ref()));
    }

    fn stop(&mut self, text: impl AsRef<str>) {
        self.lines.push(format!("STOP  {}", text.as_ref()));
        self.stops += 1;
    }
}

/// Does it; the exit status.
pub fn run(args: &Args) -> u8 {
    let mut report = Report::default();
    if let Some(cfg) = configuration(&args.config, &mut report) {
        beside(&args.config, &mut report);
        data(&cfg, &mut report);
        peers(&cfg, &mut report);
    }
    report.lines.iter().for_each(|line| println!("{line}"));
    match report.stops {
        0 => {
            println!("nothing is in the way");
            exit::CLEAN
        }
        stops => {
            println!("{stops} in the way, see STOP");
            exit::UNEXPECTED
        }
    }
}

/// What `run` would say of the file, and of the environment.
fn configuration(path: &Path, report: &mut Report) -> Option<ZooCfg> {
    let mut cfg = match ZooCfg::load(path, &jvm_flags::from_environment()) {
        Ok(cfg) => cfg,
        Err(error) => {
            report.stop(error.to_string());
            return None;
        }
    };
    let identified = cfg.identify();
    for notice in &cfg.notices {
        match notice.level {
            Level::Info => report.good(notice.to_string()),
            Level::Warn => report.note(notice.to_string()),
        }
    }
    cfg.refusals.iter().for_each(|refusal| report.stop(refusal.to_string()));
    for checked in [cfg.check_other_data(), identified] {
        if let Err(error) = checked {
            report.stop(error.to_string());
        }
    }
    match (&cfg.ensemble, cfg.myid) {
        (Some(_), Some(me)) => report.good(format!("server {me} of {} in an ensemble", cfg.members.len())),
        (Some(_), None) => {}
        (None, _) => report.good("a server on its own"),
    }
    Some(cfg)
}

/// Files that Java's scripts read, and nobody here does.
const SCRIPTS: [&str; 3] = ["java.env", "zookeeper-env.sh", "environment"];

/// What stands beside the zoo.cfg and does not carry over.
fn beside(config: &Path, report: &mut Report) {
    let dir = config.parent().filter(|dir| *dir != Path::new("")).unwrap_or_else(|| Path::new("."));
    for name in SCRIPTS {
        let Ok(text) = fs::read_to_string(dir.join(name)) else { continue };
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('#'))
        {
            for word in line.split(|c: char| c.is_whitespace() || "\"'".contains(c)) {
                let word =
                    word.split_once("=-").map_or(word, |(_, option)| &word[word.len() - option.len() - 1..]);
                if let Some(property) = word.strip_prefix("-D") {
                    of_property(&format!("{name}, line {number}"), property, report);
                }
            }
        }
    }
    let jaas = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    for name in jaas.filter(|name| name.to_string_lossy().to_lowercase().contains("jaas")) {
        let name = name.to_string_lossy();
        report.note(format!("{name}: logins of JAAS files do not carry over"));
    }
}

fn of_property(place: &str, property: &str, report: &mut Report) {
    let key = property.split('=').next().unwrap_or(property);
    if key == "java.security.auth.login.config" {
        report.note(format!("{place}: -D{property}: logins of JAAS files do not carry over"));
    } else if key.starts_with("zookeeper.") || key.starts_with("jute.") {
        let how = format!("SERVER_JVMFLAGS=\"-D{property}\", or a line of zoo.cfg");
        report.note(format!("{place}: -D{property} is not read from there: {how}"));
    }
}

/// What a start would find in the data directory.
fn data(cfg: &ZooCfg, report: &mut Report) {
    let (snap, log) = (cfg.data_dir.join("version-2"), cfg.data_log_dir.join("version-2"));
    if let Some(by) = directories::user_of(&cfg.data_dir, &cfg.data_log_dir) {
        report.note(format!("{} is in use by {by}: stop that before the start", cfg.data_dir.display()));
    }
    if !snap.is_dir() && !log.is_dir() {
        report.note(format!("{} holds no data: the server starts empty", cfg.data_dir.display()));
        return;
    }
    let count = |dir: &Path, is: fn(&str) -> bool| {
        let names = fs::read_dir(dir).into_iter().flatten().flatten();
        names.filter(|entry| entry.file_name().to_str().is_some_and(is)).count()
    };
    let snapshots = count(&snap, |name| layout::snapshot(name).is_some());
    let logs = count(&log, |name| layout::log_zxid(name).is_some());
    let mut files = Files::new(Paths { data: cfg.data_dir.clone(), snap, log });
    match recover(&mut files, &run::disk_config(cfg)) {
        Err(fault) => report.stop(format!("{}: {fault}", cfg.data_dir.display())),
        Ok(found) => {
            recovered(&found, report);
            report.good(format!("read from {snapshots} snapshots and {logs} logs"));
        }
    }
}

fn recovered(found: &Recovered, report: &mut Report) {
    let (zxid, nodes) = (found.last_zxid, found.tree.node_count());
    let sessions = found.tree.sessions().count();
    report.good(format!("the data goes to zxid {zxid}: {nodes} znodes, {sessions} sessions"));
    report.good(format!("its digest is {:#x}", found.tree.digest()));
    match found.epochs {
        Some(epochs) => {
            report.good(format!("accepted epoch {}, current epoch {}", epochs.accepted, epochs.current));
        }
        None if zxid == Zxid::ZERO => {}
        None => report.note("no epoch files: both epochs begin with that of the last zxid"),
    }
    for event in &found.events {
        match event {
            Event::SnapshotSkipped { file, why } => report.note(format!("{file} cannot be used: {why}")),
            Event::TornTailDropped { file, offset } => {
                report.note(format!(
                    "{file}: torn at byte {offset}, which a start cuts off: nobody was promised it"
                ));
            }
            Event::DigestMismatch { zxid } => {
                report.note(format!("at zxid {zxid} the data has another digest than its writer noted"));
            }
            other => report.note(format!("{other:?}")),
        }
    }
}

/// How long another server may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the other servers are.
fn peers(cfg: &ZooCfg, report: &mut Report) {
    for member in cfg.members.iter().filter(|member| Some(member.sid) != cfg.myid) {
        let name = format!("server {}", member.sid);
        let reached = member.election_addresses().any(|at| connected(&at.to_string(), PATIENCE).is_ok());
        if !reached {
            report.note(format!("{name} does not answer on its election port"));
        }
        let Some(client) = client_address(member, cfg) else {
            report.note(format!(
                "{name} tells no version: it is on this machine, and no line says on which client port"
            ));
            continue;
        };
        match four_letter(&client, "srvr", PATIENCE) {
            None => report.note(format!("{name} tells no version: nothing answers srvr on {client}")),
            Some(answer) => told(&name, &client, &answer, report),
        }
    }
}

/// Where a member serves clients: as its line says, else on the port of this server, which most ensembles share unless two
/// servers are on one host.
fn client_address(member: &Member, cfg: &ZooCfg) -> Option<String> {
    let host_of = |member: &Member| member.addresses.first().map(|address| address.host.clone());
    let host = host_of(member).unwrap_or_default();
    let (host, port) = match &member.client {
        Some(client) if client.host == "0.0.0.0" || client.host == "::" => (host, client.port),
        Some(client) => (client.host.clone(), client.port),
        None => {
            let own = cfg.members.iter().find(|own| Some(own.sid) == cfg.myid);
            if own.and_then(host_of).is_some_and(|own| own == host) {
                return None;
            }
            (host, cfg.client_port)
        }
    };
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// What a server's `srvr` means for an ensemble with it.
fn told(name: &str, at: &str, answer: &str, report: &mut Report) {
    let of = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let Some(version) = of("Zookeeper version:") else {
        let said = answer.lines().next().unwrap_or_default();
        report.note(format!("{name} ({at}) tells no version: {said}"));
        return;
    };
    let number = version.split(['-', ',', ' ']).next().unwrap_or(version);
    let (mode, zxid) = (of("Mode:").unwrap_or("?"), of("Zxid:").unwrap_or("?"));
    let what = format!("{name} ({at}) is a {mode} of version {number} at zxid {zxid}");
    let parts: Vec<u32> = number.split('.').filter_map(|part| part.parse().ok()).collect();
    match parts[..] {
        _ if mode == "standalone" => report.stop(format!("{what}, and belongs to no ensemble")),
        [0..=2, ..] | [3, 0..=4, ..] => {
            report.stop(format!(
                "{what}: it speaks the protocol of 3.4 and earlier; upgrade it to 3.5 or later first"
            ));
        }
        [3, 8 | 9, ..] => report.good(what),
        _ => report.note(format!("{what}, with which ensembles are not tested")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn report_of(config: &Path) -> Report {
        let mut report = Report::default();
        if let Some(cfg) = configuration(config, &mut report) {
            beside(config, &mut report);
            data(&cfg, &mut report);
        }
        report
    }

    /// A zoo.cfg with these lines over a dataDir with the files of this fixture.
    fn directory(fixture: &str, lines: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("data/version-2");
        fs::create_dir_all(&below).unwrap();
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/data/3.8.0");
        for entry in fs::read_dir(Path::new(golden).join(fixture).join("data/version-2")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), below.join(entry.file_name())).unwrap();
        }
        fs::write(dir.path().join("data/myid"), "1\n").unwrap();
        let mut text = format!("clientPort=2181\ndataDir={}\n", dir.path().join("data").display());
        text.write_str(lines).unwrap();
        let config = dir.path().join("zoo.cfg");
        fs::write(&config, text).unwrap();
        (dir, config)
    }

    const THREE: &str = "initLimit=5\nsyncLimit=5\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";

    #[test]
    fn sound_data_is_described() {
        let (_dir, config) = directory("data-ensemble-plain", THREE);
        let report = report_of(&config);
        let all = report.lines.join("\n");
        assert_eq!(report.stops, 0, "{all}");
        for expected in [
            "ok    server 1 of 3 in an ensemble",
            "ok    the data goes to zxid 0x200000021: ",
            "ok    accepted epoch 2, current epoch 2",
            "ok    read from 5 snapshots and 5 logs",
        ] {
            assert!(all.contains(expected), "{expected} is not in\n{all}");
        }
    }

    #[test]
    fn a_server_on_the_same_host_is_not_mistaken_for_this_one() {
        let lines =
            "initLimit=5\nsyncLimit=5\nserver.1=a:1:2\nserver.2=a:3:4\nserver.3=b:1:2\nserver.4=a:5:6;2184\n";
        let (_dir, config) = directory("data-ensemble-plain", lines);
        let cfg = configuration(&config, &mut Report::default()).unwrap();
        let others = cfg.members.iter().filter(|member| Some(member.sid) != cfg.myid);
        let found: Vec<_> = others.map(|member| client_address(member, &cfg)).collect();
        assert_eq!(found, [None, Some("b:2181".to_owned()), Some("a:2184".to_owned())]);
    }

    #[test]
    fn damage_and_settings_that_are_refused_are_in_the_way() {
        let (dir, config) = directory(
            "data-ensemble-plain",
            "initLimit=5\nsyncLimit=5\nsslQuorum=true\nserver.2=b:1:2\nserver.3=c:1:2\n",
        );
        let log = dir.path().join("data/version-2/log.20000001a");
        let mut bytes = fs::read(&log).unwrap();
        bytes[60] ^= 1;
        fs::write(&log, bytes).unwrap();
        let report = report_of(&config);
        let all = report.lines.join("\n");
        assert!(all.contains("log.20000001a: corrupt at byte 16"), "{all}");
        assert!(all.contains("sslQuorum"), "{all}");
        assert!(all.contains("there is no server.1 among"), "{all}");
        assert_eq!(report.stops, 3, "{all}");
    }

    #[test]
    fn what_java_s_scripts_would_have_set_is_named() {
        let (dir, config) = directory("data-standalone-bare", "");
        let script = "# -Dzookeeper.not=1\nexport JVMFLAGS=\"-Xmx1g -Djute.maxbuffer=4000000 -Dother=1\"\n\
                      SERVER_JVMFLAGS=-Djava.security.auth.login.config=/etc/jaas.conf\n";
        fs::write(dir.path().join("java.env"), script).unwrap();
        fs::write(dir.path().join("zk-jaas.conf"), "").unwrap();
        let report = report_of(&config);
        let notes: Vec<_> = report.lines.iter().filter(|line| line.starts_with("note")).cloned().collect();
        let all = notes.join("\n");
        assert!(all.contains("java.env, line 2: -Djute.maxbuffer=4000000 is not read from there"), "{all}");
        assert!(all.contains("java.env, line 3: -Djava.security.auth.login.config"), "{all}");
        assert!(all.contains("zk-jaas.conf: logins"), "{all}");
        assert!(!all.contains("zookeeper.not") && !all.contains("other=1"), "{all}");
    }

    #[test]
    fn old_servers_and_lone_ones_are_in_the_way() {
        let said = |answer: &str| {
            let mut report = Report::default();
            told("server 2", "b:2181", answer, &mut report);
            report.lines.pop().unwrap()
        };
        let of = |version: &str, mode: &str| {
            said(&format!("Zookeeper version: {version}-1a2b, built on x\nZxid: 0x5\nMode: {mode}\n"))
        };
        assert_eq!(of("3.8.0", "leader"), "ok    server 2 (b:2181) is a leader of version 3.8.0 at zxid 0x5");
        assert!(
            of("3.4.14", "follower").starts_with("STOP")
                && of("3.4.14", "follower").contains("upgrade it to 3.5")
        );
        assert!(of("3.6.2", "follower").starts_with("note"));
        assert!(of("3.9.5", "standalone").starts_with("STOP"));
        assert!(said("srvr is not executed because it is not in the whitelist.\n").starts_with("note"));
    }
}
