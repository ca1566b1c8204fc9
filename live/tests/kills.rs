//! kill -9 and restart: everything acknowledged is still there, and sessions go on.

use anyhow::{Result, ensure};
use live::client::{Conversation, python};
use live::zoarium::Zoarium;

const WRITES: usize = 10_000;
const KILLS: usize = 20;

#[test]
fn no_acknowledged_write_is_lost_over_twenty_kills() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // Small numbers on purpose: the log rolls and snapshots are under way when the kills fall.
    let mut server = Zoarium::start(dir.path(), "snapCount=300\npreAllocSize=64\nmaxSessionTimeout=60000")?;
    let writes = WRITES.to_string();
    let mut client = Conversation::start(python("kazoo_kills.py", &[&server.address(), &writes]))?;
    let (mut kills, mut held) = (0, false);
    while let Some(line) = client.line()? {
        let acked = line.strip_prefix("ACKED ").map(str::parse::<usize>).transpose()?;
        // A kill after every so many acknowledgements: while the next ones are in flight.
        if acked.is_some_and(|n| kills < KILLS && n >= (kills + 1) * WRITES / (KILLS + 1)) {
            server.process.kill_nine()?;
            server.restart()?;
            kills += 1;
        }
        if line == "WRITTEN" {
            server.process.kill_nine()?;
            server.restart()?;
            kills += 1;
            client.say("go")?;
        }
        held |= line.strip_prefix("HELD ").is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n >= WRITES));
    }
    let status = client.end()?;
    ensure!(
        status.success() && held,
        "the client ended with {status}, held: {held}; server:\n{}",
        server.process.output()
    );
    ensure!(kills > KILLS, "only {kills} kills");
    Ok(())
}

#[test]
fn sessions_ephemerals_and_watches_survive_a_kill_and_silent_sessions_expire() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Zoarium::start(dir.path(), "")?;
    let mut client = Conversation::start(python("kazoo_sessions.py", &[&server.address()]))?;
    let mut held = false;
    while let Some(line) = client.line()? {
        match line.as_str() {
            "RESTART" => {
                server.process.kill_nine()?;
                server.restart()?;
                client.say("done")?;
            }
            other => held |= other == "HELD",
        }
    }
    let status = client.end()?;
    ensure!(status.success() && held, "the client ended with {status}; server:\n{}", server.process.output());
    Ok(())
}
