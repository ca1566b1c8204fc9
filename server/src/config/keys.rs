//! Every key that ZooKeeper 3.9 knows, with what becomes of it here. A key that is not in this table is a typo.
//!
//! Names are without the `zookeeper.` prefix, which [`canonical`] takes off: Java sets some keys only through system
//! properties and some only through the file; here both spellings work for all.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// [`super::zoo_cfg`] reads it.
    Applied,
    /// Accepted, has no effect; the notice gives this reason.
    NoEffect(&'static str),
    /// Of use in an ensemble only: [`super::ensemble`] reads it, or it has no effect there for this reason.
    Ensemble(&'static str),
    /// A class that checks identities of one scheme. Those of `here` are always there; those of `shut` would let in more
    /// clients, which they do not here; without any other one, something would not be checked that ought to be.
    Provider {
        /// In lower case.
        here: &'static [&'static str],
        /// In lower case.
        shut: &'static [&'static str],
    },
    /// Ignoring it would be unsafe, unless its value is one of `harmless`.
    Refused {
        /// Values (in lower case) that ask for nothing.
        harmless: &'static [&'static str],
        /// What is missing.
        why: &'static str,
    },
}
use Fate::{Applied, Ensemble, NoEffect, Provider, Refused};

/// The name under which a key is known: without `zookeeper.`, and by the name that ZooKeeper's code reads where the
/// admin guide prints another.
pub(super) fn canonical(key: &str) -> &str {
    let key = key.strip_prefix("zookeeper.").unwrap_or(key);
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name)
}

/// What becomes of the key with this canonical name; `None` for one that nobody knows.
pub(crate) fn fate(canonical: &str) -> Option<Fate> {
    let exact = KEYS.iter().find(|(name, _)| *name == canonical);
    // The longest prefix counts, so that `ssl.quorum.` is told from `ssl.`.
    let by_prefix = || {
        let fits = FAMILIES.iter().filter(|(prefix, _)| canonical.starts_with(prefix));
        fits.max_by_key(|(prefix, _)| prefix.len())
    };
    exact.or_else(by_prefix).map(|(_, fate)| *fate)
}

/// Every name that is known, with what becomes of it: in the order of names; families end with a dot, or with what a number
/// or a name follows.
pub(crate) fn all() -> Vec<(&'static str, Fate)> {
    let mut all: Vec<_> = KEYS.iter().chain(FAMILIES).copied().collect();
    all.sort_by_key(|(name, _)| (name.to_lowercase(), *name));
    all
}

/// What the admin guide calls this key besides.
pub(crate) fn aliases(name: &str) -> Vec<&'static str> {
    ALIASES.iter().filter(|(_, of)| *of == name).map(|(alias, _)| *alias).collect()
}

/// True of a name of which only the beginning is fixed.
pub(crate) fn is_family(name: &str) -> bool {
    FAMILIES.iter().any(|(prefix, _)| *prefix == name)
}

/// The known name nearest to an unknown one, if any is near enough to be what was meant.
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let lower = unknown.to_lowercase();
    let names = KEYS.iter().chain(FAMILIES).map(|(name, _)| *name);
    let near =
        names.map(|name| (edits(&lower, &name.to_lowercase()), name)).min_by_key(|(edits, _)| *edits)?;
    (near.0 <= (unknown.len() / 4).clamp(1, 4)).then_some(near.1)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

const READ: Fate = Ensemble("is read");
const ALWAYS: Fate = Ensemble("has no effect: the server always does that");
const LATER: Fate = Ensemble("is not in this version and has no effect");
const JAVAS: Fate = Ensemble("tunes threads and queues of the Java server that do not exist here");
const QUORUM_TLS: Fate = Ensemble(
    "speaks of TLS between servers, which this version does not have and nothing else here asks for",
);
const TUNING: Fate = NoEffect("tunes threads and caches of the Java server that do not exist here");
const NOT_YET: Fate = NoEffect("is not in this version and has no effect");
const ADMIN: Fate =
    NoEffect("is not in this version: there is no admin HTTP server; the four-letter words tell the same");
const METRICS: Fate =
    NoEffect("is not in this version: no metrics are exported; the four-letter word mntr lists them");
const STALL: Fate = NoEffect(
    "has no effect: a request that waits for request_throttle_max_requests goes on as soon as another one is done",
);
const TLS_ONLY: Fate = NoEffect("speaks of TLS, which this version does not have: that door stays shut");
const SASL_ONLY: Fate = NoEffect("speaks of SASL, which this version does not have: that door stays shut");
const TLS_DOOR: Fate = NoEffect("opens no door: TLS is not in this version");
const QUORUM_SASL: Fate =
    Refused { harmless: OFF, why: "SASL between servers is not in this version; anybody could join" };
const LOGGING: Fate = NoEffect("is a setting of Java's logging; see --log-level and --log-format");

const OFF: &[&str] = &["false"];

/// Names of the admin guide that Java reads under another name.
const ALIASES: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    ("connectionDropIncrease", "connection_throttle_drop_increase"),
    ("connectionDropDecrease", "connection_throttle_drop_decrease"),
    ("connectionDecreaseRatio", "connection_throttle_decrease_ratio"),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
    ("advancedFlowControlEnabled", "netty.advancedFlowControl.enabled"),
    ("outstandingHandshake.limit", "netty.server.outstandingHandshake.limit"),
    ("observer.syncEnabled", "syncEnabled"),
];

const KEYS: &[(&str, Fate)] = &[
    ("4lw.commands.whitelist", Applied),
    ("autopurge.purgeInterval", Applied),
    ("autopurge.snapRetainCount", Applied),
    ("clientPort", Applied),
    ("clientPortAddress", Applied),
    ("clientPortListenBacklog", Applied),
    ("dataDir", Applied),
    ("dataLogDir", Applied),
    ("datadir.autocreate", Applied),
    ("digest.enabled", Applied),
    ("DigestAuthenticationProvider.superDigest", Applied),
    ("dynamicConfigFile", Applied),
    ("electionAlg", Applied),
    ("emulate353TTLNodes", Applied),
    ("enforce.auth.enabled", Applied),
    ("enforce.auth.schemes", Applied),
    ("enforceQuota", Applied),
    ("extendedTypesEnabled", Applied),
    ("forceSync", Applied),
    ("globalOutstandingLimit", Applied),
    ("connection_throttle_decrease_ratio", Applied),
    ("connection_throttle_drop_decrease", Applied),
    ("connection_throttle_drop_increase", Applied),
    ("connection_throttle_fill_count", Applied),
    ("connection_throttle_fill_time", Applied),
    ("connection_throttle_freeze_time", Applied),
    ("connection_throttle_global_session_weight", Applied),
    ("connection_throttle_local_session_weight", Applied),
    ("connection_throttle_renew_session_weight", Applied),
    ("connection_throttle_tokens", Applied),
    ("connection_throttle_weight_enabled", Applied),
    ("initLimit", Applied),
    ("jute.maxbuffer", Applied),
    ("jute.maxbuffer.extrasize", Applied),
    ("largeRequestMaxBytes", Applied),
    ("largeRequestThreshold", Applied),
    ("localSessionsEnabled", Applied),
    ("localSessionsUpgradingEnabled", Applied),
    ("maxClientCnxns", Applied),
    ("maxCnxns", Applied),
    ("maxSessionTimeout", Applied),
    ("minSessionTimeout", Applied),
    ("multiAddress.enabled", Applied),
    ("preAllocSize", Applied),
    ("readonlymode.enabled", Applied),
    ("request_stale_connection_check", Applied),
    ("request_stale_latency_check", Applied),
    ("request_throttle_drop_stale", Applied),
    ("request_throttle_max_requests", Applied),
    ("request_throttle_stall_time", STALL),
    ("skipACL", Applied),
    ("snapCount", Applied),
    ("snapSizeLimitInKb", Applied),
    ("snapshot.compression.method", Applied),
    ("snapshot.trust.empty", Applied),
    ("reconfigEnabled", Applied),
    ("standaloneEnabled", Applied),
    ("syncLimit", Applied),
    ("throttled_op_wait_time", Applied),
    ("tickTime", Applied),
    ("znode.container.checkIntervalMs", Applied),
    ("znode.container.maxNeverUsedIntervalMs", Applied),
    ("znode.container.maxPerMinute", Applied),
    // What must not be ignored.
    ("sslQuorum", Refused { harmless: OFF, why: "TLS is not in this version" }),
    (
        "oraclePath",
        Refused { harmless: &[], why: "an oracle decides for half an ensemble, and this version asks none" },
    ),
    ("quorum.auth.enableSasl", QUORUM_SASL),
    ("quorum.auth.learnerRequireSasl", QUORUM_SASL),
    ("quorum.auth.serverRequireSasl", QUORUM_SASL),
    (
        "sessionRequireClientSASLAuth",
        Refused { harmless: OFF, why: "SASL is not in this version; clients would be let in without it" },
    ),
    (
        "DigestAuthenticationProvider.enabled",
        Refused { harmless: &["true"], why: "this version cannot turn the digest scheme off" },
    ),
    (
        "DigestAuthenticationProvider.digestAlg",
        Refused {
            harmless: &["sha1", "sha-1"],
            why: "only SHA1 is in this version; every digest ACL would refuse its owner",
        },
    ),
    (
        "audit.enable",
        Refused { harmless: OFF, why: "the audit log is not in this version; changes would go unrecorded" },
    ),
    (
        "db.autocreate",
        Refused {
            harmless: &["true"],
            why: "this version always creates an empty database where there is none",
        },
    ),
    // What an ensemble has a use for.
    ("leader.closeSocketAsync", ALWAYS),
    ("leader.maxConcurrentDiffSyncs", READ),
    ("leader.maxConcurrentSnapSyncs", READ),
    ("leader.maxTimeToWaitForEpoch", LATER),
    ("leader.nodelay", ALWAYS),
    ("learner.asyncSending", ALWAYS),
    ("learner.closeSocketAsync", ALWAYS),
    ("observer.election.DelayMs", READ),
    ("cnxTimeout", READ),
    ("commitLogCount", READ),
    ("connectToLearnerMasterLimit", READ),
    ("electionPortBindRetry", READ),
    ("fastleader.maxNotificationInterval", READ),
    ("fastleader.minNotificationInterval", READ),
    ("follower.nodelay", ALWAYS),
    ("follower.skipLearnerRequestToNextProcessor", JAVAS),
    ("forceSnapshotSync", READ),
    ("forward_learner_requests_to_commit_processor_disabled", JAVAS),
    ("kerberos.canonicalizeHostNames", LATER),
    ("leaderConnectDelayDuringRetryMs", JAVAS),
    ("leaderServes", READ),
    ("multiAddress.reachabilityCheckEnabled", JAVAS),
    ("multiAddress.reachabilityCheckTimeoutMs", JAVAS),
    ("observerMaster.sizeLimit", JAVAS),
    ("observerMasterPort", LATER),
    ("peerType", READ),
    ("portUnification", QUORUM_TLS),
    ("quorumCnxnTimeoutMs", READ),
    ("quorumListenOnAllIPs", READ),
    ("snapshotSizeFactor", READ),
    ("sslQuorumReloadCertFiles", QUORUM_TLS),
    ("syncEnabled", LATER),
    ("tcpKeepAlive", READ),
    // Tuning of another machine.
    ("bitHashCacheSize", TUNING),
    ("fips-mode", TLS_ONLY),
    ("flushDelay", TUNING),
    ("intBufferStartingSizeBytes", TUNING),
    ("maxBatchSize", TUNING),
    ("maxGetChildrenResponseCacheSize", TUNING),
    ("maxInProcessingDeadWatchers", TUNING),
    ("maxResponseCacheSize", TUNING),
    ("maxWriteQueuePollTime", TUNING),
    ("nio.directBufferBytes", TUNING),
    ("nio.numSelectorThreads", TUNING),
    ("nio.numWorkerThreads", TUNING),
    ("nio.shutdownTimeout", TUNING),
    ("request_throttler.shutdownTimeout", TUNING),
    ("serverCnxnFactory", TUNING),
    ("watchManagerName", TUNING),
    ("watcherCleanIntervalInSeconds", TUNING),
    ("watcherCleanThreadsNum", TUNING),
    ("watcherCleanThreshold", TUNING),
    // What is still to come.
    ("audit.impl.class", NOT_YET),
    ("clientTcpKeepAlive", NOT_YET),
    ("closeSessionTxn.enabled", NOT_YET),
    ("enableEagerACLCheck", NOT_YET),
    ("ensembleAuthName", NOT_YET),
    ("fsync.warningthresholdms", NOT_YET),
    ("IPAuthenticationProvider.usexforwardedfor", ADMIN),
    ("nio.sessionlessCnxnTimeout", NOT_YET),
    ("serializeLastProcessedZxid.enabled", NOT_YET),
    ("txnLogSizeLimitInKb", NOT_YET),
    ("controllerPort", NOT_YET),
    ("test.allowDiscontinuousProposals", NOT_YET),
    ("testingonly.initialZxid", NOT_YET),
    // Doors that stay shut, and identities of schemes that are not here: without them nobody gains anything.
    ("client.certReload", TLS_ONLY),
    ("client.portUnification", TLS_DOOR),
    ("secureClientPort", TLS_DOOR),
    ("secureClientPortAddress", TLS_DOOR),
    ("kinit", SASL_ONLY),
    ("requireKerberosConfig", SASL_ONLY),
    ("superUser", SASL_ONLY),
    ("allowSaslFailedClients", SASL_ONLY),
    ("letAnySaslUserDoX", SASL_ONLY),
    ("log.dir", LOGGING),
    ("log.file", LOGGING),
    ("log.threshold", LOGGING),
    ("root.logger", LOGGING),
    ("console.threshold", LOGGING),
    ("tracelog.dir", LOGGING),
    ("tracelog.file", LOGGING),
];

/// Keys of which only the beginning is fixed.
const FAMILIES: &[(&str, Fate)] = &[
    ("server.", Applied),
    ("group", Applied),
    ("weight", Applied),
    (
        "authProvider.",
        Provider {
            here: &[
                "org.apache.zookeeper.server.auth.digestauthenticationprovider",
                "org.apache.zookeeper.server.auth.ipauthenticationprovider",
            ],
            shut: &[
                "org.apache.zookeeper.server.auth.saslauthenticationprovider",
                "org.apache.zookeeper.server.auth.x509authenticationprovider",
            ],
        },
    ),
    ("admin.", ADMIN),
    ("commitProcessor.", TUNING),
    ("jvm.pause.", NOT_YET),
    ("kerberos.", SASL_ONLY),
    ("leader.", JAVAS),
    ("learner.", JAVAS),
    ("messageTracker.", LATER),
    ("metricsProvider.", METRICS),
    ("netty.", TUNING),
    ("observer.", JAVAS),
    ("pathStats.", NOT_YET),
    ("quorum.", LATER),
    ("sasl.", SASL_ONLY),
    ("SASLAuthenticationProvider.", SASL_ONLY),
    ("security.", SASL_ONLY),
    ("ssl.", TLS_ONLY),
    ("ssl.quorum.", QUORUM_TLS),
    ("superUser.", SASL_ONLY),
    ("X509AuthenticationProvider.", TLS_ONLY),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_the_guide_s_names_mean_the_same_key() {
        for spelling in [
            "requestThrottleLimit",
            "zookeeper.requestThrottleLimit",
            "zookeeper.request_throttle_max_requests",
        ] {
            assert_eq!(canonical(spelling), "request_throttle_max_requests");
        }
        assert_eq!(canonical("zookeeper.observer.syncEnabled"), "syncEnabled");
        assert_eq!(canonical("jute.maxbuffer"), "jute.maxbuffer");
    }

    #[test]
    fn every_alias_leads_to_a_known_key_and_no_key_stands_twice() {
        for (alias, name) in ALIASES {
            assert!(fate(name).is_some(), "{alias} leads to {name}");
        }
        for (i, (name, _)) in KEYS.iter().enumerate() {
            assert!(!KEYS[..i].iter().any(|(other, _)| other == name), "{name} stands twice");
            assert_eq!(canonical(name), *name);
        }
    }

    #[test]
    fn typos_find_the_name_that_was_meant() {
        for (typo, meant) in [
            ("ticktime", "tickTime"),
            ("tikcTime", "tickTime"),
            ("maxClientConns", "maxClientCnxns"),
            ("autopurge.snapRetentionCount", "autopurge.snapRetainCount"),
            ("dataLogdir", "dataLogDir"),
        ] {
            assert_eq!(nearest(typo), Some(meant), "{typo}");
        }
        assert_eq!(nearest("mycompany.cluster"), None);
        assert_eq!(nearest("x"), None);
    }

    #[test]
    fn the_longest_family_decides() {
        assert_eq!(fate("ssl.quorum.keyStore.location"), Some(QUORUM_TLS));
        assert_eq!(fate("ssl.keyStore.location"), Some(TLS_ONLY));
        assert_eq!(fate("nothing.of.the.kind"), None);
    }
}
