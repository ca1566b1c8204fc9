//! `diff`: compares the whole trees of two servers, or of a server and a data directory, or of two directories.
//!
//! A tree that is written meanwhile is never seen at one zxid through the client port. So every znode that differs is looked
//! at again after a sync of both sides, until it agrees, or has stood still on both sides and still differs: the latter is a
//! difference. Where both sides have noted a digest of the same zxid (every 128 txns, the word `hash`), those are compared,
//! too: that is the whole tree at that very zxid.

pub(crate) mod client;
mod side;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use zk_core::ids::Zxid;
use zk_core::text::Text;
use zk_core::wire::records::{Acl, Stat};

use self::side::{Node, Seen, Side};
use crate::exit;

/// Compares two whole trees, znode by znode: data, stat, ACL and children. Changes nothing on either side.
///
/// Exits with 0 if they are equal, 1 if they differ, 2 if they could not be compared in whole. What every server keeps for
/// itself is left out: quota statistics and the text of /zookeeper/config.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// HOST:PORT of a client port; or a dataDir (DATADIR,DATALOGDIR where they differ), which no running server should be
    /// writing to.
    #[arg(value_name = "LEFT")]
    left: String,
    /// The same.
    #[arg(value_name = "RIGHT")]
    right: String,
    /// Who asks, to be let in by ACLs: digest:user:password. May be given several times.
    #[arg(long, value_name = "SCHEME:AUTH")]
    auth: Vec<String>,
    /// Differences beyond so many are counted and not printed.
    #[arg(long, value_name = "N", default_value_t = 100)]
    print: usize,
}

/// Does it; the exit status.
pub fn run(args: &Args) -> u8 {
    match diff(args) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{error:#}");
            exit::NOT_COMPARED
        }
    }
}

/// Paths that are looked at together.
const TOGETHER: usize = 100;
/// Paths that may differ when looked at first, because of writes.
const DOUBTFUL_MAX: usize = 100_000;
/// How often a znode that differs is looked at again.
const ROUNDS: usize = 20;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(100);

/// What the walk has come to.
#[derive(Debug, Default)]
struct Walked {
    equal: u64,
    bytes: u64,
    hidden: u64,
    /// What has differed, as seen last.
    doubtful: BTreeMap<Text, (Seen, Seen)>,
    /// Too many differ to look at all of them again.
    given_up: bool,
}

fn diff(args: &Args) -> Result<u8> {
    let mut left = Side::open(&args.left, &args.auth)?;
    let mut right = Side::open(&args.right, &args.auth)?;
    left.sync()?;
    right.sync()?;
    let until = left.zxid().min(right.zxid());
    left.back_to(until)?;
    right.back_to(until)?;
    let begun = (left.zxid(), right.zxid());
    let mut walked = Walked::default();
    walked.walk(&mut left, &mut right, vec!["/".into()])?;
    let moving = settle(&mut walked, &mut left, &mut right)?;
    let ended = (left.zxid(), right.zxid());
    let digests = compare_digests(&left, &right);
    Ok(report(args, &walked, moving, [begun, ended], &digests))
}

impl Walked {
    /// Compares what is at these paths, and below.
    fn walk(&mut self, left: &mut Side, right: &mut Side, mut paths: Vec<Text>) -> Result<()> {
        while !paths.is_empty() && !self.given_up {
            let batch = paths.split_off(paths.len().saturating_sub(TOGETHER));
            let (lefts, rights) = (left.look(&batch)?, right.look(&batch)?);
            for (path, (left, right)) in batch.into_iter().zip(lefts.into_iter().zip(rights)) {
                let below = if path == "/" { "" } else { path.as_str() };
                let join = |name: Text| Text::from(format!("{below}/{name}"));
                paths.extend(common_children(&left, &right).into_iter().map(join));
                self.take(path, left, right);
            }
        }
        Ok(())
    }

    fn take(&mut self, path: Text, left: Seen, right: Seen) {
        self.doubtful.remove(&path);
        if left == Seen::Hidden || right == Seen::Hidden {
            self.hidden += 1;
        } else if differences(&path, &left, &right).is_empty() {
            if let Seen::Node(node) = &left {
                self.equal += 1;
                self.bytes += node.data.as_ref().map_or(0, |data| data.len() as u64);
            }
        } else if self.doubtful.len() < DOUBTFUL_MAX {
            self.doubtful.insert(path, (left, right));
        } else {
            self.given_up = true;
        }
    }
}

/// Looks again at what differs until it agrees or has stood still; how many never did either.
fn settle(walked: &mut Walked, left: &mut Side, right: &mut Side) -> Result<usize> {
    let mut moving = 0;
    for _ in 0..ROUNDS {
        if walked.doubtful.is_empty() {
            return Ok(0);
        }
        std::thread::sleep(BETWEEN_ROUNDS);
        left.sync()?;
        right.sync()?;
        let before = walked.doubtful.clone();
        walked.walk(left, right, before.keys().cloned().collect())?;
        moving = walked.doubtful.iter().filter(|(path, seen)| before.get(*path) != Some(seen)).count();
        if moving == 0 {
            return Ok(0);
        }
    }
    Ok(moving)
}

/// Children of a znode that is on both sides. What is below one that is not, differs with it.
fn common_children(left: &Seen, right: &Seen) -> Vec<Text> {
    let (Seen::Node(left), Seen::Node(right)) = (left, right) else { return Vec::new() };
    let mut all = left.children.clone();
    all.extend(right.children.iter().filter(|name| left.children.binary_search(name).is_err()).cloned());
    all
}

/// True of what every server writes for itself.
fn is_own(path: &str) -> bool {
    let statistics = path.starts_with("/zookeeper/quota/") && path.ends_with("/zookeeper_stats");
    statistics || path == "/zookeeper/config"
}

/// What differs, in words.
fn differences(path: &str, left: &Seen, right: &Seen) -> Vec<String> {
    match (left, right) {
        (Seen::Missing, Seen::Missing) => Vec::new(),
        (_, Seen::Missing) => vec!["only on the left".to_owned()],
        (Seen::Missing, _) => vec!["only on the right".to_owned()],
        (Seen::Node(left), Seen::Node(right)) if !is_own(path) => of_nodes(left, right),
        _ => Vec::new(),
    }
}

fn of_nodes(left: &Node, right: &Node) -> Vec<String> {
    let mut differ = Vec::new();
    if left.data != right.data {
        let len = |node: &Node| {
            node.data.as_ref().map_or_else(|| "null".to_owned(), |d| format!("{} bytes", d.len()))
        };
        differ.push(format!("data ({} and {})", len(left), len(right)));
    }
    for (name, field) in STAT {
        let (left, right) = (field(&left.stat), field(&right.stat));
        if left != right {
            differ.push(format!("{name} ({left:#x} and {right:#x})"));
        }
    }
    if !are_same_acl(&left.acl, &right.acl) {
        differ.push("ACL".to_owned());
    }
    if left.children != right.children {
        differ.push("children".to_owned());
    }
    differ
}

type Field = fn(&Stat) -> i64;

const STAT: [(&str, Field); 9] = [
    ("czxid", |stat| stat.czxid.0),
    ("mzxid", |stat| stat.mzxid.0),
    ("pzxid", |stat| stat.pzxid.0),
    ("ctime", |stat| stat.ctime.0),
    ("mtime", |stat| stat.mtime.0),
    ("version", |stat| stat.version.into()),
    ("cversion", |stat| stat.cversion.into()),
    ("aclVersion", |stat| stat.aversion.into()),
    ("ephemeralOwner", |stat| stat.ephemeral_owner),
];

/// A server shows `x` for the secret of a digest to whoever may not change the ACL.
fn are_same_acl(left: &[Acl], right: &[Acl]) -> bool {
    let masked = |acl: &Acl| acl.id.scheme == "digest" && acl.id.id.ends_with(":x");
    let user = |acl: &Acl| acl.id.id.split(':').next().map(str::to_owned);
    let same = |(left, right): (&Acl, &Acl)| {
        left == right
            || (masked(left) || masked(right))
                && left.perms == right.perms
                && left.id.scheme == right.id.scheme
                && user(left) == user(right)
    };
    left.len() == right.len() && left.iter().zip(right).all(same)
}

/// Zxids of which both sides have noted a digest, and whether these are equal.
fn compare_digests(left: &Side, right: &Side) -> BTreeMap<Zxid, bool> {
    let (left, right) = (left.digests(), right.digests());
    left.into_iter().filter_map(|(zxid, digest)| Some((zxid, *right.get(&zxid)? == digest))).collect()
}

/// Prints what was found; the exit status.
fn report(
    args: &Args,
    walked: &Walked,
    moving: usize,
    [begun, ended]: [(Zxid, Zxid); 2],
    digests: &BTreeMap<Zxid, bool>,
) -> u8 {
    for (path, (left, right)) in walked.doubtful.iter().take(args.print) {
        println!("{path}: {}", differences(path, left, right).join(", "));
    }
    if walked.doubtful.len() > args.print {
        println!("… and {} more", walked.doubtful.len() - args.print);
    }
    if begun == ended && begun.0 == begun.1 {
        println!("both at zxid {}", begun.0);
    } else {
        let ((left, right), (left_end, right_end)) = (begun, ended);
        println!("left from zxid {left} to {left_end}, right from {right} to {right_end}");
    }
    println!(
        "{} znodes with {} bytes are equal, {} differ",
        walked.equal,
        walked.bytes,
        walked.doubtful.len()
    );
    for (zxid, equal) in digests.iter().filter(|(_, equal)| !**equal) {
        println!("the digests of {zxid} differ: {equal}");
    }
    match (digests.last_key_value(), digests.values().all(|equal| *equal)) {
        (None, _) => {
            println!(
                "no digest of the same zxid is known of both (the word hash must be allowed on servers)"
            );
        }
        (Some((zxid, _)), true) => println!("{} digests are equal, the last at zxid {zxid}", digests.len()),
        (Some(_), false) => {}
    }
    if walked.hidden > 0 {
        println!("{} znodes are hidden by their ACLs, and what is below them: see --auth", walked.hidden);
    }
    if moving > 0 {
        println!(
            "{moving} of those that differ are written so often that they were never seen to stand still"
        );
    }
    if walked.given_up {
        println!("so many differ that the comparison has stopped");
    }
    let differ = digests.values().any(|equal| !equal) || walked.doubtful.len() > moving;
    if differ {
        exit::DIFFERENT
    } else if walked.hidden > 0 || moving > 0 {
        exit::NOT_COMPARED
    } else {
        exit::CLEAN
    }
}

#[cfg(test)]
mod tests;
