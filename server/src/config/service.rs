//! Switches of the API: which nodes there may be, how they end, how many, and for whom.

use zk_core::replica::ReaperSettings;
use zk_core::tree::NodeTypes;

use super::settings::{Digits, Settings};
use super::{ConfigError, Level, Place};

/// What clients are served, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCfg {
    /// `extendedTypesEnabled`, `emulate353TTLNodes`.
    pub types: NodeTypes,
    /// Where the first of them stands, if it is on.
    pub(super) types_said: Option<Place>,
    /// `enforceQuota`: hard limits are kept.
    pub enforce_quota: bool,
    /// `enforce.auth.schemes`, if `enforce.auth.enabled`.
    pub enforced_schemes: Vec<String>,
    /// `znode.container.*`.
    pub reaper: ReaperSettings,
}

/// Reads them.
pub(super) fn read(s: &mut Settings) -> Result<ServiceCfg, ConfigError> {
    let (types, types_said) = read_types(s)?;
    Ok(ServiceCfg {
        types,
        types_said,
        enforce_quota: s.truth("enforceQuota", false)?.0,
        enforced_schemes: read_enforced(s)?,
        reaper: read_reaper(s)?,
    })
}

/// Java does not start either where the schemes are missing, or of no provider that it has.
fn read_enforced(s: &mut Settings) -> Result<Vec<String>, ConfigError> {
    let (is_enabled, enabled) = s.truth("enforce.auth.enabled", false)?;
    let schemes = s.text("enforce.auth.schemes");
    let Some(enabled) = enabled.filter(|_| is_enabled) else { return Ok(Vec::new()) };
    let Some(schemes) = schemes else {
        return Err(enabled.wrong("enforce.auth.schemes beside it: digest, ip, or both"));
    };
    let names: Vec<_> = schemes.value.split(',').map(str::trim).map(str::to_owned).collect();
    if names.iter().any(|name| !matches!(name.as_str(), "digest" | "ip")) {
        return Err(schemes.wrong("schemes that there are in this version: digest, ip"));
    }
    Ok(names)
}

fn read_types(s: &mut Settings) -> Result<(NodeTypes, Option<Place>), ConfigError> {
    let (extended, said) = s.truth("extendedTypesEnabled", false)?;
    let (emulated, other) = s.truth("emulate353TTLNodes", false)?;
    let types = match (extended, emulated) {
        (true, true) => NodeTypes::Emulate353,
        (true, false) => NodeTypes::Extended,
        (false, _) => NodeTypes::Plain,
    };
    if let (false, true, Some(setting)) = (extended, emulated, other) {
        let text = format!(
            "{}=true changes nothing as long as extendedTypesEnabled is not true, here as in Java",
            setting.key
        );
        s.tell(Level::Warn, Some(setting.place), text);
    }
    Ok((types, said.filter(|_| extended).map(|setting| setting.place)))
}

fn read_reaper(s: &mut Settings) -> Result<ReaperSettings, ConfigError> {
    let ReaperSettings { interval_ms, per_minute, .. } = ReaperSettings::JAVAS;
    let never_used = s.number("znode.container.maxNeverUsedIntervalMs", Digits::Decoded, 0..=i64::MAX)?;
    Ok(ReaperSettings {
        interval_ms: s.count("znode.container.checkIntervalMs", Digits::Decoded, 1, interval_ms)?,
        per_minute: s.count("znode.container.maxPerMinute", Digits::Decoded, 1, per_minute)?,
        never_used_ms: never_used.map(|(ms, _)| ms).filter(|ms| *ms > 0),
    })
}
