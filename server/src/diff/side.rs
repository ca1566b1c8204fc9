//! One of the two that are compared: a server that is asked, or a data directory that is read as a start would read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use zk_core::disk::recovery::{recover, recover_to};
use zk_core::disk::{Compression, DiskConfig};
use zk_core::error::OpError;
use zk_core::ids::Zxid;
use zk_core::text::Text;
use zk_core::tree::{NodeTypes, Tree, TreeConfig};
use zk_core::wire::client::{GetAclRequest, GetChildren2Request, GetDataRequest, SyncRequest};
use zk_core::wire::limits::JUTE_MAX_FIELD;
use zk_core::wire::records::{Acl, Stat};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;
use zk_net::disk::files::{Files, Paths};

use super::client::{Client, four_letter};

/// What one side has at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Missing,
    /// An ACL keeps us out.
    Hidden,
    Node(Box<Node>),
}

/// A znode as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) data: Option<bytes::Bytes>,
    pub(super) stat: Stat,
    pub(super) acl: Vec<Acl>,
    /// Sorted.
    pub(super) children: Vec<Text>,
}

pub(super) enum Side {
    Server(Box<Client>),
    Directory { path: PathBuf, tree: Box<Tree> },
}

impl Side {
    /// A data directory if there is one of that name, else a server.
    pub(super) fn open(what: &str, identities: &[String]) -> Result<Self> {
        let path = what.split(',').next().unwrap_or(what);
        if Path::new(path).is_dir() {
            let tree = Box::new(read(what, None)?);
            return Ok(Self::Directory { path: what.into(), tree });
        }
        if !what.contains(':') {
            bail!("{what} is no directory, and no HOST:PORT");
        }
        Ok(Self::Server(Box::new(Client::open(what, identities)?)))
    }

    /// What it has come to.
    pub(super) fn zxid(&self) -> Zxid {
        match self {
            Self::Server(client) => client.zxid,
            Self::Directory { tree, .. } => tree.last_zxid(),
        }
    }

    /// A directory that has come further than that goes back to it.
    pub(super) fn back_to(&mut self, to: Zxid) -> Result<()> {
        if let Self::Directory { path, tree } = self
            && tree.last_zxid() > to
        {
            let what = path.display().to_string();
            **tree = read(&what, Some(to)).with_context(|| format!("{what} as of {to}"))?;
        }
        Ok(())
    }

    /// A server catches up with all that its leader had committed.
    pub(super) fn sync(&mut self) -> Result<()> {
        if let Self::Server(client) = self {
            let answers = client.ask(&[Request::Sync(SyncRequest { path: Some("/".into()) })])?;
            if let Some(Err(code)) = answers.first() {
                bail!("{} does not sync: error {code}", client.server);
            }
        }
        Ok(())
    }

    /// What it has at each of these paths.
    pub(super) fn look(&mut self, paths: &[Text]) -> Result<Vec<Seen>> {
        match self {
            Self::Directory { tree, .. } => Ok(paths.iter().map(|path| in_tree(tree, path)).collect()),
            Self::Server(client) => at_server(client, paths),
        }
    }

    /// Digests that it has noted, by zxid.
    pub(super) fn digests(&self) -> BTreeMap<Zxid, u64> {
        match self {
            Self::Directory { tree, .. } => BTreeMap::from([(tree.last_zxid(), tree.digest())]),
            Self::Server(client) => noted(&client.server).unwrap_or_default(),
        }
    }
}

/// What the word `hash` says; nothing where it may not be asked.
fn noted(server: &str) -> Option<BTreeMap<Zxid, u64>> {
    let answer = four_letter(server, "hash", Duration::from_secs(5))?;
    let digest = |line: &str| {
        let (zxid, digest) = line.split_once(": ")?;
        Some((Zxid(i64::from_str_radix(zxid.trim_start_matches("0x"), 16).ok()?), digest.parse().ok()?))
    };
    Some(answer.lines().filter_map(digest).collect())
}

/// Reads `dataDir` or `dataDir,dataLogDir`; changes nothing there.
fn read(what: &str, to: Option<Zxid>) -> Result<Tree> {
    let (data, log) = what.split_once(',').unwrap_or((what, what));
    let below = |dir: &str| {
        let below = Path::new(dir).join("version-2");
        if below.is_dir() { below } else { dir.into() }
    };
    let paths = Paths { data: data.into(), snap: below(data), log: below(log) };
    let config = DiskConfig {
        prealloc: 0,
        force_sync: false,
        compression: Compression::None,
        trust_empty: true,
        digest: true,
        record_max: JUTE_MAX_FIELD,
        // There are TTL nodes only where the servers know them.
        tree: TreeConfig { hash_seed: 0, types: NodeTypes::Extended },
    };
    let files = &mut Files::new(paths);
    let recovered = match to {
        None => recover(files, &config),
        Some(to) => recover_to(files, &config, to),
    };
    Ok(recovered.with_context(|| what.to_owned())?.tree)
}

fn in_tree(tree: &Tree, path: &str) -> Seen {
    let Some(node) = tree.node(path) else { return Seen::Missing };
    let mut children: Vec<Text> = node.child_names().map(Text::from).collect();
    children.sort_unstable();
    Seen::Node(Box::new(Node {
        data: node.data().map(bytes::Bytes::copy_from_slice),
        stat: node.stat(),
        acl: node.acl().to_vec(),
        children,
    }))
}

fn at_server(client: &mut Client, paths: &[Text]) -> Result<Vec<Seen>> {
    let mut requests = Vec::with_capacity(3 * paths.len());
    for path in paths {
        let (path, watch) = (path.clone(), false);
        requests.push(Request::GetData(GetDataRequest { path: path.clone(), watch }));
        requests.push(Request::GetAcl(GetAclRequest { path: path.clone() }));
        requests.push(Request::GetChildren2(GetChildren2Request { path, watch }));
    }
    let mut answers = client.ask(&requests)?.into_iter();
    let mut seen = Vec::with_capacity(paths.len());
    for path in paths {
        let answers = (answers.next(), answers.next(), answers.next());
        let (Some(data), Some(acl), Some(children)) = answers else { bail!("an answer is missing") };
        seen.push(match (data, acl, children) {
            (Ok(Reply::GetData(data)), Ok(Reply::GetAcl(acl)), Ok(Reply::GetChildren2(list))) => {
                let mut children = list.children;
                children.sort_unstable();
                Seen::Node(Box::new(Node { data: data.data, stat: list.stat, acl: acl.acl, children }))
            }
            (data, acl, children) => {
                let code = [data.err(), acl.err(), children.err()].into_iter().flatten().next();
                match code.and_then(OpError::from_code) {
                    Some(OpError::NoNode) => Seen::Missing,
                    Some(OpError::NoAuth) => Seen::Hidden,
                    _ => bail!("{} answers error {code:?} about {path}", client.server),
                }
            }
        });
    }
    Ok(seen)
}
