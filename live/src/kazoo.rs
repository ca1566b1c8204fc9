//! Kazoo's own tests, which come inside its package: run on Java's servers once, and on ours whenever it is asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Seconds that one test may take. The slowest takes 15 on a quiet machine.
const PATIENCE: &str = "180";
/// Seconds that all may take. Java's need 900, one after the other.
const PATIENCE_FOR_ALL: &str = "1800";

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It held.
    Passed,
    /// It took itself out.
    Skipped,
    /// It, or what comes before and behind it, did not hold.
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Passed, Self::Skipped, Self::Failed];

    /// As the lists have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// What became of each test, as `test_lock.py::KazooLockTests::test_lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes(pub BTreeMap<String, Outcome>);

impl Outcomes {
    /// Reads lines of an outcome and a test; lines that begin with # say nothing.
    pub fn parse(text: &str) -> Result<Self> {
        let line = |line: &str| {
            let (word, test) =
                line.split_once(' ').with_context(|| format!("no outcome and test: {line:?}"))?;
            let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.word() == word);
            Ok((test.to_owned(), outcome.with_context(|| format!("no outcome: {word:?} of {test}"))?))
        };
        text.lines().filter(|text| !text.starts_with('#')).map(line).collect::<Result<_>>().map(Self)
    }

    /// Itself again, a line for each test.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(test, outcome)| format!("{} {test}", outcome.word()))
    }

    /// The tests that had this outcome.
    pub fn with(&self, outcome: Outcome) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, had)| **had == outcome).map(|(test, _)| test.as_str())
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Outcome::ALL.map(|outcome| format!("{} {}", self.with(outcome).count(), outcome.word()));
        f.write_str(&counts.join(", "))
    }
}

/// Whose servers the suite starts.
#[derive(Clone, Debug)]
pub enum Servers {
    /// Java's 3.9.5, from the jars in this directory.
    Java(PathBuf),
    /// This binary of ours.
    Zoarium(PathBuf),
}

/// Which of the tests.
#[derive(Clone, Copy, Debug)]
pub enum Tests<'a> {
    /// These.
    Only(&'a [&'a str]),
    /// All, but those whose names begin like this.
    AllBut(&'a [&'a str]),
}

/// The suite, with a Python that has it.
#[derive(Debug)]
pub struct Suite {
    python: PathBuf,
    tests: PathBuf,
}

impl Suite {
    /// Finds it in a virtual environment, where `cargo xtask setup` puts it.
    pub fn find(environment: &Path) -> Result<Self> {
        let python = environment.join("bin/python");
        let ask = "import kazoo.tests; print(kazoo.tests.__path__[0])";
        let output = Command::new(&python).args(["-c", ask]).output();
        let output = output.with_context(|| format!("no {}: cargo xtask setup", python.display()))?;
        ensure!(output.status.success(), "{} has no kazoo.tests: cargo xtask setup", python.display());
        Ok(Self { python, tests: String::from_utf8(output.stdout)?.trim_end().into() })
    }

    /// Runs these tests by so many workers with three servers each. What the tests print goes to `log`.
    pub fn run(&self, on: &Servers, tests: &Tests<'_>, workers: usize, log: &Path) -> Result<Outcomes> {
        let dir = tempfile::tempdir()?;
        let outcomes = dir.path().join("outcomes");
        let mut pytest = Command::new("timeout");
        pytest.args(["--kill-after=10", PATIENCE_FOR_ALL]).arg(&self.python);
        pytest.args(["-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "each_worker", "-W", "ignore"]);
        pytest.args(["--timeout", PATIENCE, "--tb", "short", "--durations", "10"]);
        if workers > 1 {
            pytest.args(["-n", &workers.to_string(), "--dist", "worksteal"]);
        }
        // With CI set, the suite asks for the version number of a release and guesses less.
        pytest.env_remove("CI").env_remove("EXCEPTED").envs(environment_for(on)?);
        match *tests {
            Tests::Only(tests) => pytest.args(tests.iter().map(|test| self.tests.join(test))),
            Tests::AllBut(excepted) => pytest.arg(&self.tests).env("EXCEPTED", excepted.join(" ")),
        };
        pytest.env("PYTHONPATH", folder()).env("PYTHONDONTWRITEBYTECODE", "1");
        pytest.env("TMPDIR", dir.path()).env("OUTCOMES", &outcomes).current_dir(dir.path());
        let out = File::create(log)?;
        pytest.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let status = pytest.status().with_context(|| format!("cannot start {pytest:?}"))?;
        let text = std::fs::read_to_string(&outcomes);
        // 0 if all held, 1 if some did not, anything else if the suite as such failed.
        if !matches!(status.code(), Some(0 | 1)) || text.is_err() {
            bail!("{pytest:?} ended with {status}:\n{}", std::fs::read_to_string(log)?);
        }
        Outcomes::parse(&text?)
    }
}

/// The shim, the plugin and the lists.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kazoo"))
}

/// The harness takes the class path as it is given, and `java` from `PATH`.
fn environment_for(on: &Servers) -> Result<Vec<(&'static str, OsString)>> {
    let mut environment = vec![("ZOOKEEPER_VERSION", "3.9.5".into())];
    match on {
        Servers::Java(jars) => {
            environment.push(("ZOOKEEPER_CLASSPATH", jars.join("*").into()));
        }
        Servers::Zoarium(server) => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = std::iter::once(folder().to_owned()).chain(std::env::split_paths(&path));
            environment.push(("PATH", std::env::join_paths(path)?));
            environment.push(("ZOARIUM_SERVER", server.into()));
            environment.push(("ZOOKEEPER_CLASSPATH", "-".into()));
        }
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_counted_and_told_apart() {
        let text = "# Java\nfailed a.py::T::b\npassed a.py::T::a[x y]\npassed a.py::T::c\n";
        let outcomes = Outcomes::parse(text).unwrap();
        assert_eq!(outcomes.to_string(), "2 passed, 0 skipped, 1 failed");
        assert_eq!(outcomes.with(Outcome::Passed).collect::<Vec<_>>(), ["a.py::T::a[x y]", "a.py::T::c"]);
        for wrong in ["well a.py::T::b", "passed"] {
            assert!(Outcomes::parse(wrong).is_err(), "{wrong}");
        }
    }
}
