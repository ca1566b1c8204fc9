//! The end of a chapter: both trees compared node by node, then cleared for the next one.

use anyhow::Result;
use bytes::Bytes;
use zk_core::text::Text;
use zk_core::wire::client::{
    AuthPacket, DeleteRequest, GetAclRequest, GetChildren2Request, GetDataRequest, SetAclRequest,
    SetDataRequest,
};
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use super::Difference;
use super::pair::{Pair, SUPER, SUPER_CREDENTIALS};
use super::seen::{Body, Seen};
use super::step::{Act, Ask, Step};
use super::tally::Tally;

/// Nodes that stay.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

/// Walks both trees, parents before children, and then removes all nodes that a chapter has made.
pub(super) fn compare_and_clear(pair: &mut Pair, tally: &mut Tally) -> Result<Option<Difference>> {
    let auth = Bytes::from_static(SUPER_CREDENTIALS.as_bytes());
    let auth = AuthPacket { kind: 0, scheme: Some(Text::from_static("digest")), auth: Some(auth) };
    let taken = ask(pair, vec![Request::Auth(auth)], tally)?;
    if taken.0.is_some() {
        return Ok(taken.0);
    }
    let mut paths = vec![Text::from_static("/")];
    let mut at = 0;
    while let Some(path) = paths.get(at).cloned() {
        let watch = false;
        let reads = vec![
            Request::GetData(GetDataRequest { path: path.clone(), watch }),
            Request::GetAcl(GetAclRequest { path: path.clone() }),
            Request::GetChildren2(GetChildren2Request { path: path.clone(), watch }),
        ];
        let (difference, seen) = ask(pair, reads, tally)?;
        if difference.is_some() {
            return Ok(difference);
        }
        let parent = path.trim_end_matches('/');
        paths.extend(children(&seen).map(|child| Text::from(format!("{parent}/{}", child.as_str()))));
        at += 1;
    }
    tally.nodes += paths.len() as u64;
    let mut requests = Vec::new();
    for path in paths.iter().rev().filter(|path| !RESERVED.contains(&path.as_str())) {
        requests.push(Request::Delete(DeleteRequest { path: path.clone(), version: -1 }));
    }
    for path in RESERVED.map(Text::from_static) {
        let perms = if path == "/zookeeper/config" { perms::READ } else { perms::ALL };
        let acl = vec![Acl::world(perms)];
        requests.push(Request::SetAcl(SetAclRequest { path: path.clone(), acl, version: -1 }));
        requests.push(Request::SetData(SetDataRequest { path, data: Some(Bytes::new()), version: -1 }));
    }
    Ok(ask(pair, requests, tally)?.0)
}

/// One turn of the session that may do everything.
fn ask(
    pair: &mut Pair,
    requests: Vec<Request>,
    tally: &mut Tally,
) -> Result<(Option<Difference>, Vec<Seen>)> {
    let act = Act::Ask(requests.into_iter().map(Ask::Whole).collect());
    let taken = pair.take(&Step { session: SUPER, act }, tally)?;
    Ok((taken.difference, taken.seen))
}

fn children(seen: &[Seen]) -> impl Iterator<Item = &Text> {
    seen.iter().flat_map(|seen| match seen {
        Seen::Reply { body: Body::Of(Reply::GetChildren2(reply)), .. } => &reply.children[..],
        _ => &[],
    })
}
