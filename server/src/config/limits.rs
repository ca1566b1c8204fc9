//! How much clients may ask at a time: the keys behind [`Limits`]. Out-of-range weights and thresholds become Java's
//! defaults, as there, and are told.

use std::time::Duration;

use zk_core::front::throttle::{Blue, ThrottleSettings, Weights};
use zk_core::replica::LocalSessions;
use zk_net::client::limits::{LargeRequests, Limits, RequestThrottle, Stale};

use super::settings::{Digits, Setting, Settings};
use super::zoo_cfg::{ANY, positive};
use super::{ConfigError, Level};

/// All of them.
pub(super) fn read(s: &mut Settings, sessions: LocalSessions) -> Result<Limits, ConfigError> {
    Ok(Limits {
        per_address: limit(s.number("maxClientCnxns", Digits::Decimal, ANY)?, Some(60)),
        total: limit(s.number("maxCnxns", Digits::Decoded, ANY)?, None),
        handshakes: read_handshakes(s, sessions)?,
        large: read_large(s)?,
        requests: read_requests(s)?,
    })
}

fn read_handshakes(s: &mut Settings, sessions: LocalSessions) -> Result<ThrottleSettings, ConfigError> {
    let mut key = |name, least, default| {
        s.count(&format!("connection_throttle_{name}"), Digits::Decoded, least, default)
    };
    let (tokens, fill_time_ms) = (key("tokens", 0, 0)?, key("fill_time", 1, 1)?);
    let fill_count = key("fill_count", 0, 1)?;
    let freeze = s.number("connection_throttle_freeze_time", Digits::Decoded, -1..=*ANY.end())?;
    let increase = millionths(s, "connection_throttle_drop_increase", 20_000)?;
    let decrease = millionths(s, "connection_throttle_drop_decrease", 2_000)?;
    let ratio = millionths(s, "connection_throttle_decrease_ratio", 0)?;
    let freeze_ms = freeze.and_then(|(n, _)| u32::try_from(n).ok());
    let blue = freeze_ms.map(|freeze_ms| Blue { freeze_ms, increase, decrease, ratio });
    Ok(ThrottleSettings { tokens, fill_time_ms, fill_count, blue, weights: read_weights(s, sessions)? })
}

/// No session of the ensemble and none that comes back weighs less than one of this server.
fn read_weights(s: &mut Settings, sessions: LocalSessions) -> Result<Option<Weights>, ConfigError> {
    let local = weight(s, "local", 1, 1)?;
    let global = weight(s, "global", 3, local)?;
    let renewed = weight(s, "renew", 2, local)?;
    let new = if sessions == LocalSessions::Off { global } else { local };
    let (enabled, _) = s.truth("connection_throttle_weight_enabled", false)?;
    Ok(enabled.then_some(Weights { global, new, renewed }))
}

fn weight(s: &mut Settings, which: &str, default: u32, least: u32) -> Result<u32, ConfigError> {
    let name = format!("connection_throttle_{which}_session_weight");
    let Some((n, setting)) = s.number(&name, Digits::Decoded, ANY)? else { return Ok(default.max(least)) };
    let found = u32::try_from(n).unwrap_or(0);
    let taken = if found == 0 { default.max(least) } else { found.max(least) };
    if taken != found {
        s.tell(Level::Warn, Some(setting.place), format!("{}={n}: {taken} is taken", setting.key));
    }
    Ok(taken)
}

/// A share, from 0 to 1.
fn millionths(s: &mut Settings, name: &str, default: u32) -> Result<u32, ConfigError> {
    let Some(setting) = s.text(name) else { return Ok(default) };
    let share = setting.value.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    let share = share.ok_or_else(|| setting.wrong("a number from 0 to 1"))?;
    Ok((share * 1e6).round() as u32)
}

fn read_large(s: &mut Settings) -> Result<Option<LargeRequests>, ConfigError> {
    let total = s.number("largeRequestMaxBytes", Digits::Decoded, ANY)?;
    let above = s.number("largeRequestThreshold", Digits::Decoded, ANY)?;
    let total = match total {
        Some((n, setting)) if n <= 0 => {
            let text = format!("{}={n}: {LARGE_TOTAL} is taken", setting.key);
            s.tell(Level::Warn, Some(setting.place), text);
            LARGE_TOTAL
        }
        found => found.map_or(LARGE_TOTAL, |(n, _)| n as usize),
    };
    Ok(match above {
        Some((n, _)) if n > 0 => Some(LargeRequests { above: n as usize, total }),
        Some((n, setting)) if n != -1 => {
            let text = format!("{}={n}: no request is large (as in Java, -1 says the same)", setting.key);
            s.tell(Level::Warn, Some(setting.place), text);
            None
        }
        _ => None,
    })
}

const LARGE_TOTAL: usize = 100 << 20;

fn read_requests(s: &mut Settings) -> Result<RequestThrottle, ConfigError> {
    let requests = positive(s.number("request_throttle_max_requests", Digits::Decoded, ANY)?);
    let late_ms = positive(s.number("throttled_op_wait_time", Digits::Decoded, ANY)?);
    if let (None, Some(_)) = (requests, late_ms) {
        let text =
            "throttled_op_wait_time has no effect without request_throttle_max_requests: no request waits";
        s.tell(Level::Info, None, text);
    }
    let (drops, _) = s.truth("request_throttle_drop_stale", true)?;
    let (looks, _) = s.truth("request_stale_latency_check", false)?;
    if let (false, Some(Setting { key, place, .. })) = s.truth("request_stale_connection_check", true)? {
        let text =
            format!("{key}=false has no effect: what a client that is gone asked and nobody took is dropped");
        s.tell(Level::Info, Some(place), text);
    }
    let stale = match (looks, drops) {
        (false, _) => Stale::Served,
        (true, false) => Stale::Counted,
        (true, true) => Stale::Dropped,
    };
    let late_after = late_ms.map(|ms| Duration::from_millis(ms.into()));
    Ok(RequestThrottle { requests, late_after, stale })
}

/// A limit that 0 (or less) turns off.
fn limit(found: Option<(i64, Setting)>, default: Option<u32>) -> Option<u32> {
    if found.is_none() { default } else { positive(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, ZooCfg};

    fn with(lines: &str) -> (Limits, Vec<String>) {
        let text = format!("dataDir=/d\nclientPort=1\ntickTime=2000\n{lines}");
        let cfg = ZooCfg::parse("zoo.cfg", text.as_bytes(), &[]).unwrap();
        (cfg.limits, cfg.notices.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_a_word_only_addresses_are_limited() {
        let expected = Limits { per_address: Some(60), ..Limits::NONE };
        assert_eq!(with(""), (expected, vec![]));
    }

    #[test]
    fn handshakes_are_throttled_under_the_guide_s_names_and_those_of_the_code() {
        let guide = "connectionMaxTokens=40\nconnectionTokenFillTime=10\nconnectionTokenFillCount=2\n\
                     connectionFreezeTime=20\nconnectionDropIncrease=0.1\nconnectionDropDecrease=0.01\n\
                     connectionDecreaseRatio=0.5\nzookeeper.connection_throttle_weight_enabled=true\n";
        let code = guide
            .replace("connectionMaxTokens", "zookeeper.connection_throttle_tokens")
            .replace("connectionTokenFillTime", "connection_throttle_fill_time")
            .replace("connectionTokenFillCount", "connection_throttle_fill_count")
            .replace("connectionFreezeTime", "connection_throttle_freeze_time")
            .replace("connectionDropIncrease", "connection_throttle_drop_increase")
            .replace("connectionDropDecrease", "connection_throttle_drop_decrease")
            .replace("connectionDecreaseRatio", "connection_throttle_decrease_ratio");
        let blue = Some(Blue { freeze_ms: 20, increase: 100_000, decrease: 10_000, ratio: 500_000 });
        let weights = Some(Weights { global: 3, new: 3, renewed: 2 });
        let expected = ThrottleSettings { tokens: 40, fill_time_ms: 10, fill_count: 2, blue, weights };
        for text in [guide, &code] {
            let (limits, told) = with(text);
            assert_eq!((limits.handshakes, told), (expected, vec![]));
        }
    }

    #[test]
    fn weights_that_make_no_sense_become_those_that_do() {
        let (limits, told) = with(
            "connection_throttle_weight_enabled=true\nconnection_throttle_local_session_weight=5\n\
             connection_throttle_global_session_weight=0\nconnection_throttle_renew_session_weight=4",
        );
        assert_eq!(limits.handshakes.weights, Some(Weights { global: 5, new: 5, renewed: 5 }));
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn large_requests_and_the_request_throttle_are_read() {
        let (limits, told) = with(
            "largeRequestThreshold=1000\nlargeRequestMaxBytes=5000\nrequestThrottleLimit=7\n\
             throttledOpWaitTime=250\nrequestStaleLatencyCheck=true\nrequestThrottleStallTime=50",
        );
        assert_eq!(limits.large, Some(LargeRequests { above: 1000, total: 5000 }));
        let late_after = Some(Duration::from_millis(250));
        assert_eq!(limits.requests, RequestThrottle { requests: Some(7), late_after, stale: Stale::Dropped });
        assert!(told[0].contains("requestThrottleStallTime has no effect") && told.len() == 1, "{told:?}");
        let (limits, _) = with("request_stale_latency_check=true\nrequest_throttle_drop_stale=false");
        assert_eq!(limits.requests.stale, Stale::Counted);
        let (limits, told) = with("largeRequestThreshold=0");
        assert_eq!((limits.large, told.len()), (None, 1));
    }

    #[test]
    fn the_properties_of_java_s_command_line_win_over_the_file() {
        let option = |key: &str, value: &str| Override {
            key: key.to_owned(),
            value: value.to_owned(),
            source: "-D option",
        };
        let overrides =
            [option("zookeeper.request_throttle_max_requests", "0x10"), option("zookeeper.maxCnxns", "9")];
        let text = b"dataDir=/d\nclientPort=1\nrequestThrottleLimit=3";
        let limits = ZooCfg::parse("zoo.cfg", text, &overrides).unwrap().limits;
        assert_eq!((limits.requests.requests, limits.total), (Some(16), Some(9)));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        let text = b"dataDir=/d\nconnection_throttle_drop_increase=2";
        let error = ZooCfg::parse("zoo.cfg", text, &[]).unwrap_err().to_string();
        assert!(error.contains("expected a number from 0 to 1, found \"2\""), "{error}");
    }
}
