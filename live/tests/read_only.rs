//! A server that loses its quorum, as a kazoo client sees it: ours does what Apache's does.

use anyhow::{Context, Result, ensure};
use live::client::{Conversation, python};
use live::ensemble::{Ensemble, Kind, Part};
use live::zoarium::Profile;

/// What a client of one of three servers sees while the other two are away.
fn seen_at(kind: Kind) -> Result<Vec<String>> {
    let dir = tempfile::tempdir()?;
    let lines = "localSessionsEnabled=true\nmaxSessionTimeout=60000\n";
    // Java reads this one from its command line only.
    let ours = if kind == Kind::Java { "" } else { "readonlymode.enabled=true\n" };
    let mut ensemble = Ensemble::new(dir.path(), &[(kind, Part::Voter); 3], &format!("{lines}{ours}"))?
        .with_jvm(&["-Xmx256m", "-Dreadonlymode.enabled=true"]);
    let leader = ensemble.start()?;
    let (alone, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let mut client = Conversation::start(python("kazoo_readonly.py", &[&ensemble.member(alone)?.address()]))?;
    let mut seen = Vec::new();
    while let Some(line) = client.line().with_context(|| ensemble.said())? {
        match line.as_str() {
            "QUORUM-AWAY" => {
                ensemble.kill_nine(other)?;
                ensemble.kill_nine(leader)?;
                client.say("gone")?;
            }
            "QUORUM-BACK" => {
                ensemble.launch(other)?;
                ensemble.launch(leader)?;
                client.say("back")?;
            }
            line => seen.extend(line.strip_prefix("SAW ").map(str::to_owned)),
        }
    }
    let status = client.end()?;
    ensure!(status.success(), "the client ended with {status}; {seen:#?}\n{}", ensemble.said());
    Ok(seen)
}

#[test]
fn a_client_that_is_content_with_reading_sees_the_same_of_both_kinds() -> Result<()> {
    let ours = seen_at(Kind::Zoarium(Profile::Same))?;
    ensure!(ours.iter().any(|line| line.contains("CONNECTED_RO")), "{ours:#?}");
    let java = seen_at(Kind::Java)?;
    ensure!(ours == java, "ours: {ours:#?}\nJava: {java:#?}");
    Ok(())
}
