//! Both servers, over the same settings, and a chapter played on them.

use std::fmt::Write as _;

use anyhow::Result;
use zk_core::auth::hash_credentials;

use super::Difference;
use super::draw::SESSIONS;
use super::seen::Seen;
use super::side::{Side, Sights};
use super::step::{Act, Ask, Step};
use super::tally::Tally;
use super::tree;
use super::worlds::World;
use crate::java::{Install, Java, Release};
use crate::zoarium::Zoarium;
use zk_core::wire::request::Request;

/// The session that may do everything, which walks the trees.
pub const SUPER: usize = SESSIONS;
/// Its credentials.
pub const SUPER_CREDENTIALS: &str = "super:differ";

/// A server of each kind, fresh, with the sessions of a chapter.
#[derive(Debug)]
pub struct Pair {
    release: Release,
    java: Side,
    ours: Side,
    servers: (Java, Zoarium),
    // Goes last: the servers' files.
    _dirs: (tempfile::TempDir, tempfile::TempDir),
}

impl Pair {
    /// Starts both.
    pub fn start(install: &Install, world: &World) -> Result<Self> {
        let dirs = (in_memory()?, in_memory()?);
        let super_digest = hash_credentials(SUPER_CREDENTIALS);
        let common = [
            ("tickTime", "2000"),
            ("minSessionTimeout", "60000"),
            ("maxSessionTimeout", "90000"),
            ("forceSync", "no"),
            ("DigestAuthenticationProvider.superDigest", super_digest.as_str()),
        ];
        let mut lines = String::new();
        let mut options = vec!["-Xmx512m".to_owned(), "-Xshare:auto".to_owned()];
        for (key, value) in common.iter().chain(world.settings) {
            writeln!(lines, "{key}={value}")?;
            options.push(format!("-Dzookeeper.{key}={value}"));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let java = Java::start_of(install, dirs.0.path(), &lines, &options)?;
        for (key, value) in world.planted {
            writeln!(lines, "{key}={value}")?;
        }
        let ours = Zoarium::start(dirs.1.path(), &lines)?;
        let sides = (Side::new(java.address(), SESSIONS + 1), Side::new(ours.address(), SESSIONS + 1));
        Ok(Self {
            release: install.release,
            java: sides.0,
            ours: sides.1,
            servers: (java, ours),
            _dirs: dirs,
        })
    }

    /// Plays a chapter up to its first difference, and clears the trees if there is none.
    pub fn play(&mut self, steps: &[Step], tally: &mut Tally) -> Result<Option<Difference>> {
        for step in steps {
            tally.operations += step.operations() as u64;
            if let Some(difference) = self.take(step, tally)?.difference {
                return Ok(Some(difference));
            }
        }
        for session in 0..SESSIONS {
            let act = Act::Ask(vec![Ask::Whole(Request::CloseSession)]);
            if let Some(difference) = self.take(&Step { session, act }, tally)?.difference {
                return Ok(Some(difference));
            }
        }
        tree::compare_and_clear(self, tally)
    }

    /// Takes a step on both.
    pub(super) fn take(&mut self, step: &Step, tally: &mut Tally) -> Result<Taken> {
        let (mut java, mut ours) = (Sights::new(), Sights::new());
        self.java.begin(step, &mut java)?;
        self.ours.begin(step, &mut ours)?;
        self.java.end(step, &mut java)?;
        self.ours.end(step, &mut ours)?;
        tally.saw(step, &ours[step.session]);
        let mut difference = None;
        for (session, (java, ours)) in java.iter().zip(&ours).enumerate() {
            let (mut java, mut ours) = (java.clone(), ours.clone());
            if step.closes() {
                // What a session owned goes in no order, all under one zxid.
                sort_events(&mut java);
                sort_events(&mut ours);
            }
            self.release.level(step, &mut java, &mut ours, |allowed| tally.allow(allowed));
            if java != ours && difference.is_none() {
                difference = Some(Difference { step: step.clone(), session, java, ours });
            }
        }
        Ok(Taken { seen: java.swap_remove(step.session), difference })
    }

    /// What both servers have printed.
    pub fn output(&self) -> String {
        let (java, ours) = &self.servers;
        format!("Java:\n{}\nours:\n{}", java.process.output(), ours.process.output())
    }
}

/// A step that was taken.
pub(super) struct Taken {
    /// What its session saw, of Java.
    pub(super) seen: Vec<Seen>,
    /// Whether both saw the same.
    pub(super) difference: Option<Difference>,
}

/// A directory in memory, where there is one: nothing here asks what a disk does.
fn in_memory() -> Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

fn sort_events(seen: &mut [Seen]) {
    seen.sort_by_key(|seen| match seen {
        Seen::Event { event, .. } => (0, event.path.to_string(), event.kind),
        _ => (1, String::new(), 0),
    });
}
