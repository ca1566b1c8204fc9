//! Client programs in other languages, run to their end.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::java::class_path;
use crate::process::PATIENCE;

/// Curator's recipes and what they use besides ZooKeeper's client; their manifests name the rest.
const CURATOR: [&str; 3] = ["curator-recipes", "curator-x-discovery", "jackson-databind"];

/// A script of `live/clients`.
pub fn script(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/clients")).join(name)
}

/// Debian's Python with Debian's kazoo.
pub fn python(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script(name)).args(args);
    command
}

/// A Java program of `live/clients`, compiled once per test process.
pub fn java(class: &str, args: &[&str]) -> Result<Command> {
    static CLASSES: OnceLock<Result<tempfile::TempDir, String>> = OnceLock::new();
    let classes = CLASSES.get_or_init(|| compile().map_err(|e| format!("{e:#}")));
    let classes = classes.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut command = Command::new("java");
    command.arg("-cp").arg(format!("{}:{}", classes.path().display(), client_path()?));
    command.arg("-Dlog4j.rootLogger=WARN,CONSOLE").arg(class).args(args);
    Ok(command)
}

/// What the programs of `live/clients` are compiled against: Debian's packages.
fn client_path() -> Result<String> {
    let mut path = class_path()?.to_owned();
    for name in CURATOR {
        let jar = format!("/usr/share/java/{name}.jar");
        ensure!(Path::new(&jar).exists(), "{jar} is missing: cargo xtask setup");
        path += &format!(":{jar}");
    }
    Ok(path)
}

fn compile() -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    let mut javac = Command::new("javac");
    javac.args(["-cp", &client_path()?, "-d"]).arg(dir.path());
    for entry in std::fs::read_dir(script(""))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "java") {
            javac.arg(path);
        }
    }
    let status = javac.status().context("javac is missing: apt-get install default-jdk-headless")?;
    ensure!(status.success(), "{javac:?} failed");
    Ok(dir)
}

/// Runs a client to its end with `input` on its standard input; fails, with all it printed, unless it exits with 0.
pub fn run(command: Command, input: &str) -> Result<String> {
    let shown = format!("{command:?}");
    let output = run_any(command, input)?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} ended with {}:\n{text}", output.status);
    Ok(text)
}

/// Runs a client to its end, whatever its exit status.
fn run_any(mut command: Command, input: &str) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let mut stdin = child.stdin.take().context("stdin was piped")?;
    // A client that ends before it has read everything shows in its status, not here.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    end_in_time(child, &command)
}

/// A client that takes commands as they come. It never outlives this, and gets [`PATIENCE`] for every line it prints.
#[derive(Debug)]
pub struct Conversation {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Conversation {
    /// Starts it; what it prints on its standard output is the conversation.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take().context("stdin was piped")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout was piped")?);
        let (tell, lines) = channel();
        // Ends with the client's output, or when nobody listens any more.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Ok(Self { child, stdin, lines })
    }

    /// The next line; `None` when it has closed its output.
    pub fn line(&mut self) -> Result<Option<String>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("the client has said nothing for {PATIENCE:?}"),
        }
    }

    /// Says a line to it.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.stdin, "{line}")?)
    }

    /// Its exit status, once it has closed its output.
    pub fn end(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The commands of the C client's shell, against these addresses.
pub fn c_shell(address: &str) -> Result<()> {
    // It tells everything on standard error, and answers when the reply comes, not before the next command.
    let mut cli = Command::new("sh");
    cli.args(["-c", "exec /usr/lib/zookeeper/bin/cli_mt \"$0\" 2>&1", address]);
    let mut shell = Conversation::start(cli)?;
    let script = [
        "create /c",
        "create +e /c/eph",
        "create +s /c/seq",
        "set /c other",
        "get /c",
        "ls2 /c",
        "ls /c",
        "exists /c",
        "sync /c",
        "myid",
        "verbose",
        "delete /c/seq0000000001",
    ];
    script.iter().try_for_each(|line| shell.say(line))?;
    let mut out = String::new();
    // Replies come in order, so the last one's comes last.
    while let Some(line) = shell.line()? {
        out += &format!("{line}\n");
        if line.contains("/c/seq0000000001: rc = ") {
            shell.say("quit")?;
        }
    }
    ensure!(shell.end()?.success(), "cli_mt:\n{out}");
    for expected in [
        "Creating [/c] node",
        "name = /c\n",
        "value_len = 5\nother",
        "\teph\n",
        "\tseq0000000001\n",
        "/c/seq0000000001: rc = 0",
    ] {
        ensure!(out.contains(expected), "cli_mt did not print {expected:?}:\n{out}");
    }
    ensure!(!out.contains("rc = -"), "cli_mt met an error:\n{out}");
    Ok(())
}

fn end_in_time(child: Child, command: &Command) -> Result<Output> {
    let pid = rustix::process::Pid::from_child(&child);
    let waiter = std::thread::spawn(move || child.wait_with_output());
    let start = Instant::now();
    while !waiter.is_finished() {
        if start.elapsed() > 2 * PATIENCE {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let output = waiter.join().map_err(|_| anyhow::anyhow!("the waiting thread panicked"))??;
            bail!(
                "{command:?} did not end within {:?}:\n{}",
                2 * PATIENCE,
                String::from_utf8_lossy(&output.stdout)
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(waiter.join().map_err(|_| anyhow::anyhow!("the waiting thread panicked"))??)
}
