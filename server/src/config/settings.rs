//! The settings as they were made, by canonical name, and the ways to read one: each getter takes the setting out,
//! checks it, and says what Java would have done where its reading differs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::properties::{Differs, Entry, java_trim};
use super::{ConfigError, Level, Notice, Place, keys};

/// A `-D` option: it wins over the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// With or without `zookeeper.`.
    pub key: String,
    /// The value.
    pub value: String,
    /// Where it was given, for messages: `-D option`, `SERVER_JVMFLAGS`.
    pub source: &'static str,
}

/// One setting, as made.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) java: Option<Differs>,
}

impl Setting {
    pub(super) fn wrong(&self, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            place: self.place.clone(),
            key: self.key.clone(),
            expected: expected.into(),
            found: self.value.clone(),
        }
    }
}

/// How Java reads a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// `Integer.parseInt`: what the config class reads.
    Decimal,
    /// `Integer.decode`: what system properties are read with; `0x…`, `#…` and octal `0…` as well.
    Decoded,
}

/// A path whose value Java reads differently: data may lie under either name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TwoPaths {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) meant: PathBuf,
    pub(super) java: PathBuf,
}

/// All settings not read yet, and what there is to say about those that were.
#[derive(Debug)]
pub(super) struct Settings {
    /// Names the configuration in messages.
    pub(super) source: String,
    by_key: BTreeMap<String, Setting>,
    pub(super) notices: Vec<Notice>,
    pub(super) two_paths: Vec<TwoPaths>,
}

impl Settings {
    /// The file's entries, then the overrides; of duplicates the last wins and the reader is told.
    pub(super) fn gather(source: &str, entries: Vec<Entry>, overrides: &[Override]) -> Self {
        let mut all =
            Self { source: source.to_owned(), by_key: BTreeMap::new(), notices: vec![], two_paths: vec![] };
        for Entry { key, value, java, line } in entries {
            let place = Place::Line { file: source.to_owned(), line };
            all.insert(Setting { place, key, value, java });
        }
        for Override { key, value, source } in overrides {
            let value = java_trim(value).to_owned();
            all.insert(Setting { place: Place::Option(source), key: key.clone(), value, java: None });
        }
        all
    }

    pub(super) fn insert(&mut self, setting: Setting) {
        let name = keys::canonical(&setting.key).to_owned();
        let (place, key, value) = (setting.place.clone(), setting.key.clone(), setting.value.clone());
        if let Some(old) = self.by_key.insert(name, setting) {
            let level = if old.value == value { Level::Info } else { Level::Warn };
            let text = format!("{key}={value} wins over {}={} of {}", old.key, old.value, old.place);
            self.tell(level, Some(place), text);
        }
    }

    pub(super) fn tell(&mut self, level: Level, place: Option<Place>, text: impl Into<String>) {
        self.notices.push(Notice { level, place, text: text.into() });
    }

    /// Takes a setting out, telling what Java would have made of it if it had read something else.
    pub(super) fn take(&mut self, name: &str, java_would: &str) -> Option<Setting> {
        let setting = self.by_key.remove(name)?;
        if let Some(java) = &setting.java {
            let what = if java.comment {
                "the comment behind the value is taken as a comment"
            } else {
                "read as UTF-8"
            };
            let text = format!(
                "{}={}: {what}; Java takes \"{}\" for the value and {java_would}",
                setting.key, setting.value, java.value
            );
            self.tell(Level::Warn, Some(setting.place.clone()), text);
        }
        Some(setting)
    }

    /// Takes out every setting whose name begins with `prefix`.
    pub(super) fn take_family(&mut self, prefix: &str, java_would: &str) -> Vec<Setting> {
        let names: Vec<String> =
            self.by_key.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        names.iter().filter_map(|name| self.take(name, java_would)).collect()
    }

    /// Where the first setting of one of these families stands, by name.
    pub(super) fn place_of_first(&self, prefixes: &[&str]) -> Option<Place> {
        let is_one = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
        self.by_key.iter().find(|(name, _)| is_one(name)).map(|(_, setting)| setting.place.clone())
    }

    /// Takes out every setting left, for a last word about each.
    pub(super) fn take_rest(&mut self) -> Vec<(String, Setting)> {
        std::mem::take(&mut self.by_key).into_iter().collect()
    }

    pub(super) fn text(&mut self, name: &str) -> Option<Setting> {
        self.take(name, "uses it as it is")
    }

    /// A number in `range`, with the setting it was read from.
    pub(super) fn number(
        &mut self,
        name: &str,
        digits: Digits,
        range: RangeInclusive<i64>,
    ) -> Result<Option<(i64, Setting)>, ConfigError> {
        let java_would = match digits {
            Digits::Decimal => "exits with status 2",
            Digits::Decoded => "falls back to its default",
        };
        let Some(setting) = self.take(name, java_would) else { return Ok(None) };
        let number = match digits {
            Digits::Decimal => setting.value.parse().ok(),
            Digits::Decoded => decode(&setting.value),
        };
        match number.filter(|n| range.contains(n)) {
            Some(n) => Ok(Some((n, setting))),
            None => Err(setting.wrong(format!("a whole number from {} to {}", range.start(), range.end()))),
        }
    }

    /// The same for a number that fits 32 bits without a sign, with its default.
    pub(super) fn count(
        &mut self,
        name: &str,
        digits: Digits,
        least: u32,
        default: u32,
    ) -> Result<u32, ConfigError> {
        let range = i64::from(least)..=i64::from(i32::MAX);
        let number = self.number(name, digits, range)?.map(|(n, _)| n);
        Ok(number.map_or(default, |n| u32::try_from(n).expect("the range begins at 0 and ends at i32::MAX")))
    }

    /// `true` or `false`, in any case of letters.
    pub(super) fn truth(
        &mut self,
        name: &str,
        default: bool,
    ) -> Result<(bool, Option<Setting>), ConfigError> {
        let Some(setting) = self.take(name, "takes that for false, or exits with status 2") else {
            return Ok((default, None));
        };
        let truth = match setting.value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(setting.wrong("true or false")),
        };
        Ok((truth, Some(setting)))
    }

    /// A switch that Java reads as a word: anything but `word` leaves the switch where it is, and is warned about
    /// unless it is `other`.
    pub(super) fn word(&mut self, name: &str, word: &str, other: &str) -> bool {
        let Some(setting) = self.text(name) else { return false };
        if setting.value == word {
            return true;
        }
        if setting.value != other {
            let text = format!(
                "{}={} changes nothing: only the value {word} would, here as in Java",
                setting.key, setting.value
            );
            self.tell(Level::Warn, Some(setting.place), text);
        }
        false
    }

    /// A directory.
    pub(super) fn path(&mut self, name: &str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(setting) = self.take(name, "makes a directory of that name") else { return Ok(None) };
        if setting.value.is_empty() {
            return Err(setting.wrong("the path of a directory"));
        }
        let path = PathBuf::from(&setting.value);
        if let Some(java) = &setting.java {
            self.two_paths.push(TwoPaths {
                place: setting.place.clone(),
                key: setting.key.clone(),
                meant: path.clone(),
                java: PathBuf::from(&java.value),
            });
        }
        if path.is_relative() && !path.starts_with(".") {
            let (key, value) = (&setting.key, &setting.value);
            let text = format!(
                "{key}={value} is relative to where the server is started; ./{value} says so plainly"
            );
            self.tell(Level::Info, Some(setting.place), text);
        }
        Ok(Some(path))
    }
}

/// `Long.decode`.
fn decode(s: &str) -> Option<i64> {
    let (sign, digits) = match s.as_bytes().first()? {
        b'-' => ("-", &s[1..]),
        b'+' => ("", &s[1..]),
        _ => ("", s),
    };
    let hex =
        digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).or_else(|| digits.strip_prefix('#'));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_hexdigit());
    plain.then(|| i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_decoded_as_java_decodes_them() {
        let cases =
            [("10", 10), ("-1", -1), ("+7", 7), ("0x9fffff", 0x9f_ffff), ("#ff", 255), ("010", 8), ("0", 0)];
        for (text, number) in cases {
            assert_eq!(decode(text), Some(number), "{text}");
        }
        for text in ["", "-", "--1", "0x", "1k", "1 "] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
