//! zoo.cfg as people write it, and what becomes of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use zk_core::disk::Compression;
use zk_core::ids::Sid;
use zk_core::replica::{LocalSessions, ReaperSettings};
use zk_core::tree::NodeTypes;

use super::*;

fn read(text: &str) -> Result<ZooCfg, String> {
    ZooCfg::parse("zoo.cfg", text.as_bytes(), &[]).map_err(|error| error.to_string())
}

/// Parses `dataDir=/d`, `clientPort` and `tickTime` with these lines behind them: no default is talked about.
fn with(lines: &str) -> Result<ZooCfg, String> {
    read(&format!("dataDir=/d\nclientPort=1\ntickTime=2000\n{lines}"))
}

fn notices(cfg: &ZooCfg) -> Vec<String> {
    cfg.notices.iter().map(|notice| format!("{:?} {notice}", notice.level)).collect()
}

fn option(key: &str, value: &str) -> Override {
    Override { key: key.to_owned(), value: value.to_owned(), source: "-D option" }
}

fn hosts(cfg: &ZooCfg) -> Vec<(i64, &str)> {
    let each = cfg.members.iter().map(|member| {
        let [Address { host, quorum_port: 2888, election_port: 3888 }] = member.addresses.as_slice() else {
            panic!("{member:?}")
        };
        assert_eq!((member.role, &member.client), (Role::Participant, &None));
        (member.sid.0, host.as_str())
    });
    each.collect()
}

fn fixture(name: &str) -> ZooCfg {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(name);
    let cfg = ZooCfg::load(&path, &[]).unwrap();
    // What a file does not say, its author took from the sample.
    assert_eq!((cfg.tick_ms, cfg.init_limit, cfg.sync_limit, cfg.client_port), (2000, 10, 5, 2181));
    assert_eq!((cfg.min_session_timeout_ms, cfg.max_session_timeout_ms), (4000, 40_000));
    assert_eq!(cfg.limits.per_address, Some(60));
    assert_eq!(cfg.snap_retain_count, 3);
    assert_eq!(cfg.refusals, []);
    let members = cfg.ensemble.as_ref().unwrap().config.members().cloned().collect::<Vec<_>>();
    assert_eq!(members, cfg.members);
    cfg
}

#[test]
fn the_plain_guide_is_understood() {
    let cfg = fixture("three-voters.cfg");
    assert_eq!(
        (cfg.data_dir.as_path(), cfg.data_log_dir.as_path()),
        (Path::new("/data/zookeeper"), Path::new("/data/logs/zookeeper"))
    );
    assert_eq!(hosts(&cfg), [(1, "10.130.12.66"), (2, "10.130.12.239"), (3, "10.130.12.188")]);
    assert_eq!(cfg.purge_interval, None);
    assert_eq!(notices(&cfg), [""; 0]);
}

#[test]
fn a_guide_without_limits_gets_the_sample_s() {
    let cfg = fixture("no-limits.cfg");
    assert_eq!(
        (cfg.data_dir.as_path(), cfg.data_log_dir.as_path()),
        (Path::new("/home/zookeeper/data"), Path::new("/home/zookeeper/dataLog"))
    );
    assert_eq!(hosts(&cfg), [(1, "192.168.1.213"), (2, "192.168.1.214"), (3, "192.168.1.215")]);
    assert_eq!(notices(&cfg), [""; 0]);
}

#[test]
fn a_guide_with_names_only_gets_port_and_tick_of_the_sample_and_is_told() {
    let cfg = fixture("five-voters-names.cfg");
    assert_eq!(cfg.data_dir, Path::new("/data/zookeeper"));
    assert_eq!(cfg.data_log_dir, cfg.data_dir);
    assert_eq!(hosts(&cfg), [(1, "node01"), (2, "node02"), (3, "node03"), (4, "node04"), (255, "node00")]);
    let told = notices(&cfg);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("tickTime is not set: 2000 ms is taken") && told[0].contains("Java takes 3000"),
        "{told:?}"
    );
    assert!(told[1].contains("clientPort is not set: 2181 is taken"), "{told:?}");
}

#[test]
fn a_guide_with_purge_and_commented_metrics_is_understood() {
    let cfg = fixture("purge-and-metrics.cfg");
    assert_eq!(cfg.purge_interval, Some(Duration::from_secs(48 * 3600)));
    assert_eq!(
        (cfg.data_dir.as_path(), cfg.data_log_dir.as_path()),
        (Path::new("/data/zookeeper/data"), Path::new("/data/zookeeper/datalogs"))
    );
    assert_eq!(hosts(&cfg), [(1, "node01"), (2, "node02")]);
    assert_eq!(
        notices(&cfg),
        ["Warn two voting servers: the failure of either stops both; three tolerate one failure"]
    );
}

#[test]
fn comments_behind_values_are_comments_and_the_lines_are_named() {
    let cfg = fixture("inline-comments.cfg");
    assert_eq!(cfg.data_dir, Path::new("/apps/apache-zookeeper-3.8.0-bin/data"));
    assert_eq!(cfg.purge_interval, Some(Duration::from_secs(3600)));
    assert_eq!(hosts(&cfg), [(1, "10.0.0.100"), (2, "10.0.0.101"), (3, "10.0.0.102")]);
    let told = notices(&cfg);
    assert_eq!(told.len(), 8, "{told:?}");
    for (line, key, java) in [
        (2, "tickTime=2000", "exits with status 2"),
        (4, "initLimit=10", "exits with status 2"),
        (6, "syncLimit=5", "exits with status 2"),
        (8, "dataDir=/apps/apache-zookeeper-3.8.0-bin/data", "makes a directory of that name"),
        (10, "clientPort=2181", "exits with status 2"),
        (12, "maxClientCnxns=60", "exits with status 2"),
        (14, "autopurge.snapRetainCount=3", "exits with status 2"),
        (16, "autopurge.purgeInterval=1", "exits with status 2"),
    ] {
        let place =
            format!("line {line}: {key}: the comment behind the value is taken as a comment; Java takes");
        assert!(
            told.iter().any(|text| text.contains(&place) && text.ends_with(java)),
            "{place} … {java}: {told:#?}"
        );
    }
}

#[test]
fn data_under_the_name_that_java_reads_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("dataDir={}/d #custom\nclientPort=1\ntickTime=2000", dir.path().display());
    assert_eq!(read(&text).unwrap().check_other_data(), Ok(()));
    std::fs::create_dir_all(dir.path().join("d #custom/version-2")).unwrap();
    let error = read(&text).unwrap().check_other_data().unwrap_err().to_string();
    assert!(
        error.starts_with("zoo.cfg, line 1: dataDir means") && error.contains("d #custom and there is data"),
        "{error}"
    );
}

#[test]
fn a_small_file_gets_java_s_defaults_for_the_rest() {
    let cfg = with("").unwrap();
    assert_eq!(cfg.data_log_dir, Path::new("/d"));
    assert_eq!((cfg.snap_count, cfg.snap_size_limit, cfg.prealloc), (100_000, 4 << 32, 64 << 20));
    assert_eq!((cfg.frame_max, cfg.record_max, cfg.outstanding_max), (0xf_ffff, 2 * 0xf_ffff, 1000));
    assert_eq!((cfg.limits.per_address, cfg.limits.total, cfg.listen_backlog), (Some(60), None, None));
    assert!(cfg.force_sync && cfg.digest && cfg.create_dirs && !cfg.skip_acl && !cfg.trust_empty);
    assert_eq!(
        (cfg.compression, cfg.purge_interval, cfg.super_digest.as_ref()),
        (Compression::None, None, None)
    );
    assert_eq!((cfg.service.types, cfg.service.reaper), (NodeTypes::Plain, ReaperSettings::JAVAS));
    assert_eq!(cfg.four_letter_words, BTreeSet::from(["srvr".to_owned()]));
    assert_eq!((notices(&cfg), cfg.refusals), (vec![], vec![]));
}

#[test]
fn every_key_that_is_applied_is_read() {
    let cfg = read(
        "tickTime=500\ninitLimit=7\nsyncLimit=3\ndataDir=/a\ndataLogDir=/b\nclientPort=2222\nclientPortAddress=::1\n\
         clientPortListenBacklog=9\nmaxClientCnxns=0\nmaxCnxns=12\nminSessionTimeout=100\nmaxSessionTimeout=900\n\
         snapCount=10\nsnapSizeLimitInKb=2\npreAllocSize=16\nautopurge.snapRetainCount=5\nautopurge.purgeInterval=2\n\
         4lw.commands.whitelist=ruok, mntr\nforceSync=no\nskipACL=yes\ndatadir.autocreate=false\ndigest.enabled=false\n\
         snapshot.compression.method=gz\nsnapshot.trust.empty=true\njute.maxbuffer=0x1000\n\
         jute.maxbuffer.extrasize=2048\nglobalOutstandingLimit=77\nelectionAlg=3\nstandaloneEnabled=true\n\
         multiAddress.enabled=true\nreadonlymode.enabled=true\nDigestAuthenticationProvider.superDigest=super:x\n\
         server.1=h:1:2\ngroup.1=1\nweight.1=1\nextendedTypesEnabled=true\nenforceQuota=true\nenforce.auth.enabled=true\nenforce.auth.schemes=digest, ip\nemulate353TTLNodes=true\n\
         znode.container.checkIntervalMs=9\nznode.container.maxPerMinute=8\nznode.container.maxNeverUsedIntervalMs=7\n",
    )
    .unwrap();
    assert_eq!((cfg.tick_ms, cfg.init_limit, cfg.sync_limit), (500, 7, 3));
    assert_eq!((cfg.data_dir.as_path(), cfg.data_log_dir.as_path()), (Path::new("/a"), Path::new("/b")));
    assert_eq!((cfg.client_port, cfg.client_host.as_deref()), (2222, Some("::1")));
    assert_eq!((cfg.limits.per_address, cfg.limits.total, cfg.listen_backlog), (None, Some(12), Some(9)));
    assert_eq!((cfg.min_session_timeout_ms, cfg.max_session_timeout_ms), (100, 900));
    assert_eq!((cfg.snap_count, cfg.snap_size_limit, cfg.prealloc), (10, 2048, 16384));
    assert_eq!((cfg.snap_retain_count, cfg.purge_interval), (5, Some(Duration::from_secs(7200))));
    assert_eq!(cfg.four_letter_words, ["isro", "mntr", "ruok", "srvr"].map(str::to_owned).into());
    assert!(!cfg.force_sync && !cfg.digest && !cfg.create_dirs && cfg.skip_acl && cfg.trust_empty);
    assert_eq!((cfg.compression, cfg.super_digest.as_deref()), (Compression::Gzip, Some("super:x")));
    assert_eq!((cfg.frame_max, cfg.record_max, cfg.outstanding_max), (4096, 4096 + 2048, 77));
    let reaper = ReaperSettings { interval_ms: 9, per_minute: 8, never_used_ms: Some(7) };
    assert_eq!((cfg.service.types, cfg.service.reaper), (NodeTypes::Emulate353, reaper));
    assert!(cfg.service.enforce_quota);
    assert_eq!(cfg.service.enforced_schemes, ["digest", "ip"]);
    assert_eq!(cfg.members[0].sid, Sid(1));
    assert_eq!(cfg.refusals, vec![]);
    let told = notices(&cfg).join("\n");
    assert!(told.contains("Warn forceSync=no") && told.contains("Warn skipACL=yes"), "{told}");
}

#[test]
fn both_spellings_are_one_key_and_the_last_wins_with_a_notice() {
    let cfg = with("snapCount=10\nzookeeper.snapCount=20").unwrap();
    assert_eq!(cfg.snap_count, 20);
    assert_eq!(
        notices(&cfg),
        ["Warn zoo.cfg, line 5: zookeeper.snapCount=20 wins over snapCount=10 of zoo.cfg, line 4"]
    );
}

#[test]
fn options_win_over_the_file_and_the_file_s_name_stays_out_of_their_errors() {
    let options = [option("zookeeper.snapCount", "30"), option("tickTime", "100")];
    let cfg =
        ZooCfg::parse("zoo.cfg", b"dataDir=/d\nclientPort=1\ntickTime=5\nsnapCount=10", &options).unwrap();
    assert_eq!((cfg.snap_count, cfg.tick_ms), (30, 100));
    let told = notices(&cfg);
    assert!(
        told[0]
            .starts_with("Warn -D option: zookeeper.snapCount=30 wins over snapCount=10 of zoo.cfg, line 4"),
        "{told:?}"
    );
    let error = ZooCfg::without_file(&[option("tickTime", "x")]).unwrap_err().to_string();
    assert_eq!(error, "-D option: tickTime: expected a whole number from 1 to 2147483647, found \"x\"");
}

#[test]
fn an_unknown_key_is_warned_about_by_name_and_line() {
    let cfg = with("ticktime=5\nour.own=1").unwrap();
    let expected = [
        "Warn zoo.cfg, line 4: ticktime is no key that ZooKeeper knows and has no effect; did you mean tickTime?",
        "Warn zoo.cfg, line 5: our.own is no key that ZooKeeper knows and has no effect",
    ];
    assert_eq!(notices(&cfg), expected);
    assert_eq!(cfg.tick_ms, 2000);
}

#[test]
fn admin_and_metrics_keys_are_accepted_with_a_notice() {
    let cfg = with("admin.serverPort=8081\nmetricsProvider.httpPort=7000\nadmin.enableServer=true").unwrap();
    let told = notices(&cfg);
    assert_eq!((told.len(), &cfg.refusals), (3, &vec![]), "{told:?}");
    assert!(told[0].starts_with("Info zoo.cfg, line 4: admin.serverPort is not in this version"), "{told:?}");
    assert!(
        told[1].starts_with("Info zoo.cfg, line 5: metricsProvider.httpPort is not in this version"),
        "{told:?}"
    );
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused_by_key_and_line() {
    for (line, why) in [
        ("authProvider.1=org.example.OurOwn", "world, digest and ip"),
        ("sslQuorum=true", "TLS is not in this version"),
        ("quorum.auth.serverRequireSasl=true", "anybody could join"),
        ("zookeeper.sessionRequireClientSASLAuth=true", "clients would be let in without it"),
        ("quorum.auth.enableSasl=true", "anybody could join"),
        ("DigestAuthenticationProvider.digestAlg=SHA-256", "only SHA1"),
    ] {
        let cfg = with(line).unwrap();
        let [ConfigError::Refused { .. }] = cfg.refusals.as_slice() else {
            panic!("{line}: {:?}", cfg.refusals)
        };
        let text = cfg.refusals[0].to_string();
        let first = line.split('\n').next().unwrap();
        assert!(text.starts_with(&format!("zoo.cfg, line 4: {first}: ")) && text.contains(why), "{text}");
    }
    for harmless in [
        "sslQuorum=false",
        "authProvider.1=org.apache.zookeeper.server.auth.IPAuthenticationProvider",
        "DigestAuthenticationProvider.digestAlg=SHA1",
    ] {
        assert_eq!(with(harmless).unwrap().refusals, vec![], "{harmless}");
    }
}

#[test]
fn a_setting_that_opens_one_more_door_is_told_that_it_stays_shut() {
    for line in [
        "secureClientPort=2281",
        "client.portUnification=true",
        "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "authProvider.x=org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        "ssl.keyStore.location=/keys.jks",
    ] {
        let cfg = with(line).unwrap();
        assert_eq!(cfg.refusals, vec![], "{line}");
        let told = notices(&cfg);
        assert!(told.len() == 1 && told[0].starts_with("Info zoo.cfg, line 4: "), "{told:?}");
        assert!(told[0].contains("opens no door") || told[0].contains("stays shut"), "{told:?}");
    }
}

#[test]
fn a_door_of_tls_alone_is_refused() {
    let error = read("dataDir=/d\nsecureClientPort=2281").unwrap_err();
    assert!(error.starts_with("zoo.cfg, line 2: secureClientPort=2281: "), "{error}");
    let lines = "secureClientPort=2281\ninitLimit=5\nsyncLimit=5\nserver.1=a:1:2;2181\nserver.2=b:1:2;2181";
    assert_eq!(read(&format!("dataDir=/d\n{lines}")).unwrap().refusals, vec![]);
}

#[test]
fn one_server_line_is_a_single_server() {
    let cfg = with("server.1=localhost:2888:3888").unwrap();
    assert_eq!(cfg.ensemble, None);
    assert_eq!((cfg.refusals.len(), cfg.client_port), (0, 1));
    assert!(notices(&cfg)[0].ends_with("server.1 is the only server: it runs alone, as Java runs it"));
    let docker = read("dataDir=/d\ntickTime=1\nserver.1=localhost:2888:3888;2199").unwrap();
    assert_eq!((docker.client_port, docker.client_host), (2199, None));
}

#[test]
fn bad_values_are_named_with_key_line_expectation_and_finding() {
    for (line, error) in [
        (
            "enforce.auth.enabled=true",
            "enforce.auth.enabled: expected enforce.auth.schemes beside it: digest, ip, or both, found \"true\"",
        ),
        ("initLimit=ten", "initLimit: expected a whole number from 1 to 2147483647, found \"ten\""),
        ("clientPort=70000", "clientPort: expected a whole number from 0 to 65535, found \"70000\""),
        ("clientPort=", "clientPort: expected a whole number from 0 to 65535, found \"\""),
        ("tickTime=0", "tickTime: expected a whole number from 1 to 2147483647, found \"0\""),
        (
            "snapshot.compression.method=zip",
            "snapshot.compression.method: expected gz, snappy or nothing, found \"zip\"",
        ),
        ("digest.enabled=yes", "digest.enabled: expected true or false, found \"yes\""),
        ("electionAlg=1", "electionAlg: expected 3, the only election algorithm there is, found \"1\""),
        ("dataLogDir=", "dataLogDir: expected the path of a directory, found \"\""),
        (
            "minSessionTimeout=50000",
            "minSessionTimeout (50000 ms) is larger than maxSessionTimeout (40000 ms)",
        ),
        (
            "server.1=a:1:2|b:1:2",
            "server.1: expected one address, as multiAddress.enabled is not true, found \"a:1:2|b:1:2\"",
        ),
        ("server.1=a:1:2:observer", "server.1 is an observer, but 0 voting server(s) make no quorum"),
        ("server.1=a:1:2;9", "clientPort=1, but the server line says port 9 for clients"),
        (
            "weight.1=1",
            "weight.1: expected weight.N=W with the N of a server.N line and a whole number W, found \"1\"",
        ),
        (
            "autopurge.purgeInterval=1w",
            "autopurge.purgeInterval: expected a number of hours, or a number with a unit: ms, s, m, h, d, found \"1w\"",
        ),
    ] {
        let found = with(line).unwrap_err();
        let line = if line.ends_with(";9") { 2 } else { 4 };
        assert_eq!(found, format!("zoo.cfg, line {line}: {error}"));
    }
    assert_eq!(
        read("clientPort=1").unwrap_err(),
        "zoo.cfg: dataDir is not set: expected the directory for snapshots and logs"
    );
}

#[test]
fn values_below_java_s_least_are_raised_and_words_that_change_nothing_are_told() {
    let cfg =
        with("snapCount=1\nautopurge.snapRetainCount=1\nforceSync=false\n4lw.commands.whitelist=*,nope")
            .unwrap();
    assert_eq!((cfg.snap_count, cfg.snap_retain_count, cfg.force_sync), (2, 3, true));
    assert_eq!(cfg.four_letter_words.len(), 18);
    assert_eq!(
        cfg.notices.iter().filter(|notice| notice.level == Level::Warn).count(),
        4,
        "{:?}",
        cfg.notices
    );
}

#[test]
fn without_a_file_a_server_to_try_things_with_is_described() {
    let cfg = ZooCfg::without_file(&[]).unwrap();
    assert_eq!((cfg.client_port, cfg.data_dir.as_path(), cfg.tick_ms), (2181, Path::new("./data"), 2000));
    assert_eq!((cfg.snap_retain_count, cfg.purge_interval), (3, Some(Duration::from_secs(3600))));
    assert_eq!(notices(&cfg), [""; 0]);
}

#[test]
fn java_s_old_command_line_is_read_with_java_s_tick() {
    let arguments = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let cfg = ZooCfg::from_arguments(&arguments("2182 /d"), &[]).unwrap();
    assert_eq!((cfg.client_port, cfg.data_dir.as_path(), cfg.tick_ms), (2182, Path::new("/d"), 3000));
    assert_eq!((cfg.limits.per_address, cfg.purge_interval), (Some(60), None));
    let cfg = ZooCfg::from_arguments(&arguments("2182 /d 500 9"), &[]).unwrap();
    assert_eq!((cfg.tick_ms, cfg.limits.per_address), (500, Some(9)));
    let error = ZooCfg::from_arguments(&arguments("port /d"), &[]).unwrap_err().to_string();
    assert_eq!(error, "command line: clientPort: expected a whole number from 0 to 65535, found \"port\"");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ZooCfg::load(Path::new("/nowhere/zoo.cfg"), &[]).unwrap_err().to_string();
    assert_eq!(error, "/nowhere/zoo.cfg: No such file or directory (os error 2)");
}

#[test]
fn local_sessions_and_readers_are_read_and_what_they_lack_is_told() {
    let members = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";
    let cfg = with(&format!(
        "{members}localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\nreadonlymode.enabled=true"
    ))
    .unwrap();
    assert_eq!(cfg.ensemble.as_ref().unwrap().local_sessions, LocalSessions::Upgrading);
    assert!(cfg.read_only_mode && cfg.four_letter_words.contains("isro"));
    assert_eq!(notices(&cfg), [""; 0]);
    let cfg = with(&format!("{members}localSessionsEnabled=true")).unwrap();
    assert_eq!(cfg.ensemble.as_ref().unwrap().local_sessions, LocalSessions::On);
    let cfg =
        with(&format!("{members}localSessionsUpgradingEnabled=true\nreadonlymode.enabled=true")).unwrap();
    assert_eq!(cfg.ensemble.as_ref().unwrap().local_sessions, LocalSessions::Off);
    let told = notices(&cfg);
    assert!(
        told[0].ends_with("localSessionsUpgradingEnabled has no effect without localSessionsEnabled"),
        "{told:?}"
    );
    assert!(
        told[1].contains("no client can begin a session without a quorum") && told.len() == 2,
        "{told:?}"
    );
    let told = notices(&with("localSessionsEnabled=true\nreadonlymode.enabled=true").unwrap());
    assert!(told.len() == 2 && told.iter().all(|text| text.contains("one server alone")), "{told:?}");
}

#[test]
fn schemes_that_are_not_here_cannot_be_enforced() {
    for scheme in ["sasl", "digest,x509", ""] {
        let error = with(&format!("enforce.auth.enabled=true\nenforce.auth.schemes={scheme}")).unwrap_err();
        assert!(error.starts_with("zoo.cfg, line 5: enforce.auth.schemes: expected schemes that"), "{error}");
    }
    let off = with("enforce.auth.enabled=false\nenforce.auth.schemes=sasl").unwrap();
    assert_eq!(off.service.enforced_schemes, [""; 0]);
}
