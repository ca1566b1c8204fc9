//! Each kind of sync between a leader and a learner of the other kind, ours and Java's, both ways: the histories are made by
//! hand, and afterwards the trees are compared znode by znode.
//!
//! TRUNC with a DIFF behind it is not among them: a leader sends it to a learner that stands in a hole of an epoch in the
//! leader's history. Within an epoch zxids are given out one after another, so neither kind has such a history, and ours
//! refuses one in its own log and in a leader's.

mod hand_made;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use hand_made::HandMade;
use live::client::{python, run};
use live::ensemble::{Ensemble, Kind, Member, Part};
use live::zoarium::{Profile, binary};
use zk_core::ids::Zxid;

const OURS: (Kind, Part) = (Kind::Zoarium(Profile::Same), Part::Voter);
const JAVAS: (Kind, Part) = (Kind::Java, Part::Voter);

/// The learner that comes and goes; the other two are the quorum, and the larger of them leads.
const LEARNER: u32 = 1;
const LEADER: u32 = 3;

/// Where the history of the leader's log begins, and where its first epoch ends.
const PURGED: u32 = 600;
const ENDS: u32 = 1600;

/// What the leader and its follower have: a log that does not go back to the beginning.
fn history_of_the_leader(data: &Path) -> Result<()> {
    let mut made = HandMade::new(data)?;
    made.creates_without_log("h", 1, PURGED)?;
    made.snapshot()?;
    made.creates("h", 1, ENDS)?;
    made.epoch(1)
}

/// The same history up to a zxid, and then these znodes of nobody else's.
fn history_of_the_learner(data: &Path, until: u32, foreign: u32) -> Result<()> {
    let mut made = HandMade::new(data)?;
    made.snapshot()?;
    made.creates("h", 1, until)?;
    if foreign > 0 {
        made.creates("foreign", 1, until + foreign)?;
    }
    made.epoch(1)
}

/// Behind what a server has left, three txns that nobody else has; the zxid in front of them.
fn three_more(data: &Path) -> Result<Zxid> {
    let mut made = HandMade::after(data)?;
    let last = made.zxid();
    made.creates("foreign", last.epoch(), last.counter() + 3)?;
    Ok(last)
}

/// An ensemble whose learner is not there yet.
struct Stage {
    ensemble: Ensemble,
    learner_is: Kind,
    /// Rounds of writes so far.
    rounds: u32,
}

/// What the learner must be sent.
struct Expected {
    kind: &'static str,
    /// The zxid in the packet, where it is known beforehand.
    zxid: Option<String>,
}

impl Stage {
    fn new(dir: &Path, kinds: &[(Kind, Part); 3]) -> Result<Self> {
        // Commits in memory go back 500 txns; the log may be longer than the snapshot.
        let lines = "maxSessionTimeout=600000\npreAllocSize=64\nsnapshotSizeFactor=100\n";
        let mut ensemble = Ensemble::new(dir, kinds, lines)?;
        for sid in [2, LEADER] {
            history_of_the_leader(&ensemble.member(sid)?.dir.join("data"))?;
            ensemble.launch(sid)?;
        }
        let leader = ensemble.wait_serving()?;
        ensure!(leader == LEADER, "server {leader} leads\n{}", ensemble.said());
        Ok(Self { ensemble, learner_is: kinds[0].0, rounds: 0 })
    }

    fn learners_data(&self) -> Result<std::path::PathBuf> {
        Ok(self.ensemble.member(LEARNER)?.dir.join("data"))
    }

    fn writes(&mut self) -> Result<()> {
        self.rounds += 1;
        let address = self.ensemble.member(2)?.address();
        run(python("kazoo_history.py", &[&address, &self.rounds.to_string()]), "").map(drop)
    }

    /// What our one of the two says of the syncs so far.
    fn told(&self) -> Result<Vec<String>> {
        let (sid, words) = match self.learner_is {
            Kind::Java => (LEADER, "a learner is brought up to date learner=1 "),
            Kind::Zoarium(_) => (LEARNER, "being brought up to date "),
        };
        let said = self.ensemble.member(sid)?.output();
        Ok(said.lines().filter_map(|line| Some(line.split_once(words)?.1.to_owned())).collect())
    }

    /// The learner comes, is sent what is expected, has the same as the leader, and goes.
    fn joins(&mut self, what: &str, expected: &Expected) -> Result<()> {
        let before = self.told()?.len();
        self.ensemble.launch(LEARNER)?;
        self.ensemble.wait_serving()?;
        let told = self.told()?;
        let [sync] = &told[before..] else {
            bail!("{what}: expected one sync, told of {:?}\n{}", &told[before..], self.ensemble.said());
        };
        let right = sync.contains(&format!("kind=\"{}\"", expected.kind))
            && expected.zxid.as_ref().is_none_or(|zxid| sync.contains(zxid));
        ensure!(right, "{what}: expected {} {:?}, told {sync}", expected.kind, expected.zxid);
        println!("{what}: {sync}");
        // What comes behind the sync fits as well; and before a write nobody's tree has come to the epoch's first zxid.
        self.writes()?;
        let compared = self.ensemble.agree().with_context(|| what.to_owned())?;
        ensure!(compared > 0, "{what}: no digest was compared");
        let [learner, leader] = [LEARNER, LEADER].map(|sid| self.ensemble.member(sid).map(Member::address));
        let mut diff = Command::new(binary()?);
        diff.args(["diff", &learner?, &leader?, "--auth", "digest:alice:secret"]);
        let compared = run(diff, "").with_context(|| what.to_owned())?;
        ensure!(compared.contains("both at zxid"), "{what}: {compared}");
        self.ensemble.terminate(LEARNER)?;
        Ok(())
    }

    fn every_kind(mut self) -> Result<()> {
        let data = self.learners_data()?;
        let java_learns = self.learner_is == Kind::Java;
        let sent = |kind, zxid| Expected { kind, zxid };

        history_of_the_learner(&data, PURGED - 100, 0)?;
        self.joins("SNAP", &sent("SNAP", None))?;
        // 900 behind: more than is kept in memory.
        history_of_the_learner(&data, PURGED + 100, 0)?;
        self.joins("DIFF from the log", &sent("DIFF", None))?;
        self.writes()?;
        self.joins("DIFF from memory", &sent("DIFF", None))?;
        self.joins("empty DIFF", &sent("DIFF", None))?;
        let last = three_more(&data)?;
        // Our learner tells where it is cut, our leader where its history ends.
        let cut = if java_learns { format!("to={last}") } else { format!("zxid={last}") };
        self.joins("TRUNC", &sent("TRUNC", Some(cut)))?;
        self.ensemble.stop()
    }
}

#[test]
fn ours_is_brought_up_to_date_by_java_s_leader_in_every_way() -> Result<()> {
    let dir = tempfile::tempdir()?;
    Stage::new(dir.path(), &[OURS, JAVAS, JAVAS])?.every_kind()
}

#[test]
fn java_s_is_brought_up_to_date_by_our_leader_in_every_way() -> Result<()> {
    let dir = tempfile::tempdir()?;
    Stage::new(dir.path(), &[JAVAS, OURS, OURS])?.every_kind()
}
