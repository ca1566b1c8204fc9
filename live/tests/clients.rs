//! Every operation through the clients that people use, unmodified.

use anyhow::{Result, ensure};
use live::client::{Conversation, java, python, run};
use live::zoarium::Zoarium;
use std::process::Command;

#[test]
fn kazoo_finds_every_operation() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "")?;
    run(python("kazoo_ops.py", &[&server.address()]), "")?;
    ensure!(server.process.terminate()?.success(), "SIGTERM ends it with 0:\n{}", server.process.output());
    Ok(())
}

#[test]
fn the_java_client_finds_every_operation() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    run(java("JavaOps", &[&server.address()])?, "")?;
    Ok(())
}

#[test]
fn zk_cli_finds_its_commands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    let mut cli = java("org.apache.zookeeper.ZooKeeperMain", &["-server", &server.address()])?;
    cli.args(["-timeout", "20000"]);
    let script = "create /z data\nget -s /z\nset /z more\nls /\nls -s /\nstat /z\ncreate -s /z/s- x\ncreate -e /z/e y\n\
                  addauth digest u:p\ncreate /z/p secret auth::cdrwa\ngetAcl /z/p\nsetAcl /z world:anyone:cdrwa\n\
                  sync /z\ndelete /z/p\ndeleteall /z\nls /\nquit\n";
    let out = run(cli, script)?;
    for expected in
        ["Created /z", "data", "dataVersion = 0", "[z, zookeeper]", "Created /z/s-0000000000", "'digest,'u:"]
    {
        ensure!(out.contains(expected), "zkCli did not print {expected:?}:\n{out}");
    }
    ensure!(out.trim_end().contains("[zookeeper]"), "deleteall left something:\n{out}");
    Ok(())
}

#[test]
fn the_c_client_shell_finds_its_commands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Zoarium::start(dir.path(), "")?;
    // It tells everything on standard error, and answers when the reply comes, not before the next command.
    let mut cli = Command::new("sh");
    cli.args(["-c", "exec /usr/lib/zookeeper/bin/cli_mt \"$0\" 2>&1", &server.address()]);
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
