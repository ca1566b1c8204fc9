//! Members outside of zoo.cfg (Java: `QuorumPeerConfig.parse`): the file that `dynamicConfigFile` names, whose name ends in the
//! version of its config, and `zoo.cfg.dynamic.next`, a config that was proposed and of which nothing more was heard.

use std::path::{Path, PathBuf};

use zk_core::config::quorum_config::QuorumConfig;
use zk_core::ids::Zxid;

use super::properties::{self, Entry};
use super::settings::{Setting, Settings};
use super::{ConfigError, Place};

/// Where the members stand.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Dynamic {
    /// The members of zoo.cfg itself have none.
    pub(super) version: Zxid,
    /// What was proposed last.
    pub(super) next: Option<QuorumConfig>,
    /// The members are in a file of their own.
    pub(super) is_apart: bool,
}

/// The file beside a zoo.cfg with what was proposed last.
pub(crate) fn next_file(zoo_cfg: &Path) -> PathBuf {
    beside(zoo_cfg, ".dynamic.next")
}

/// The file beside a zoo.cfg with the members as of a version.
pub(crate) fn version_file(zoo_cfg: &Path, version: Zxid) -> PathBuf {
    beside(zoo_cfg, &format!(".dynamic.{:x}", version.0))
}

/// The file with this ending behind the name of a zoo.cfg.
pub(crate) fn beside(zoo_cfg: &Path, ending: &str) -> PathBuf {
    let mut name = zoo_cfg.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Puts the lines of the dynamic file where those of zoo.cfg would be.
pub(super) fn read(s: &mut Settings, zoo_cfg: Option<&Path>) -> Result<Dynamic, ConfigError> {
    let Some(setting) = s.text("dynamicConfigFile") else { return Ok(Dynamic::default()) };
    if let Some(place) = s.place_of_first(&FAMILIES) {
        let what =
            format!("dynamicConfigFile={} is to hold all members, but there is one here", setting.value);
        return Err(ConfigError::Contradiction { place, what });
    }
    let file = &setting.value;
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| ConfigError::Unreadable {
            file: path.display().to_string(),
            error: error.to_string(),
        })
    };
    for entry in properties::parse(file, &read(Path::new(file))?)? {
        s.insert(line_of(file, entry)?);
    }
    let next = zoo_cfg.map(next_file).filter(|path| path.exists());
    let next = next.map(|path| parse_next(&path, &read(&path)?)).transpose()?;
    Ok(Dynamic { version: version_in(file), next, is_apart: true })
}

const FAMILIES: [&str; 3] = ["server.", "group", "weight"];

fn line_of(file: &str, entry: Entry) -> Result<Setting, ConfigError> {
    let Entry { key, value, java, line } = entry;
    let place = Place::Line { file: file.to_owned(), line };
    if key == "version" {
        let what = "the version of these members stands in the name of the file, not in it".to_owned();
        return Err(ConfigError::Contradiction { place, what });
    }
    let setting = Setting { place, key, value, java };
    if FAMILIES.iter().any(|family| setting.key.starts_with(family)) {
        Ok(setting)
    } else {
        Err(setting.wrong("server.N, group.G and weight.N only, in a file of members"))
    }
}

/// What stands behind the last dot of its name, if that is a hexadecimal number.
fn version_in(file: &str) -> Zxid {
    let ending = file.rsplit_once('.').and_then(|(_, ending)| i64::from_str_radix(ending, 16).ok());
    ending.filter(|version| *version >= 0).map_or(Zxid::ZERO, Zxid)
}

fn parse_next(path: &Path, bytes: &[u8]) -> Result<QuorumConfig, ConfigError> {
    let wrong = |what: String| ConfigError::Ensemble { file: path.display().to_string(), what };
    let text = str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    QuorumConfig::parse(text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_behind_the_last_dot() {
        for (file, version) in [
            ("/conf/zoo.cfg.dynamic.10000000a", 0x1_0000_000a),
            ("zoo.cfg.dynamic", 0),
            ("members", 0),
            ("zoo.cfg.dynamic.next", 0),
            ("zoo.cfg.dynamic.-1", 0),
        ] {
            assert_eq!(version_in(file), Zxid(version), "{file}");
        }
    }
}
