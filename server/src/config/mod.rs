//! What an operator wrote, understood: zoo.cfg and `-D` options in, one typed [`ZooCfg`] out, together with everything
//! that the operator should hear about it. Opens no file but the configuration itself, the files of
//! members that go with it, and `myid`, and starts nothing.

pub(crate) mod dynamic;
mod ensemble;
pub(crate) mod keys;
mod limits;
mod members;
pub mod properties;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod zoo_cfg;

pub use ensemble::EnsembleCfg;
pub use service::ServiceCfg;
pub use settings::Override;
pub use zk_core::config::member::{Address, Member, Role};
pub use zoo_cfg::ZooCfg;

use std::fmt;

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, counted from 1.
    Line {
        /// The file, as the operator named it.
        file: String,
        /// The line.
        line: u32,
    },
    /// A `-D` option, on the command line or in `SERVER_JVMFLAGS`.
    Option(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}, line {line}"),
            Self::Option(source) => f.write_str(source),
        }
    }
}

/// Why a configuration cannot be used. The process exits with [`crate::exit::INVALID_CONFIG`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {error}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's words.
        error: String,
    },
    /// A line breaks the grammar of properties files.
    #[error("{file}, line {line}: {what}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: u32,
        /// What was expected and found.
        what: String,
    },
    /// A value that the key cannot have.
    #[error("{place}: {key}: expected {expected}, found \"{found}\"")]
    Value {
        /// Where.
        place: Place,
        /// The key as it was written.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A key that must be there and is not.
    #[error("{file}: {key} is not set: expected {expected}")]
    Missing {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// What it should say.
        expected: &'static str,
    },
    /// Two settings that contradict each other.
    #[error("{place}: {what}")]
    Contradiction {
        /// Where the later of the two stands.
        place: Place,
        /// Both settings.
        what: String,
    },
    /// Server lines, groups and weights that make no ensemble.
    #[error("{file}: {what}")]
    Ensemble {
        /// The file.
        file: String,
        /// What is wrong with them together.
        what: String,
    },
    /// The file that says which server this is.
    #[error("{file}: {what}")]
    MyId {
        /// The file.
        file: String,
        /// What was expected and found.
        what: String,
    },
    /// A setting that this version cannot honour and that must not be ignored.
    #[error("{place}: {key}={value}: {why}")]
    Refused {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is missing, and why going on without it would be unsafe.
        why: String,
    },
}

/// How loudly a notice is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is not as its author thinks.
    Warn,
}

/// Something an operator should hear about a configuration that is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How loudly.
    pub level: Level,
    /// The place, if the notice is about one.
    pub place: Option<Place>,
    /// What there is to say.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
