//! The digest of a tree, Java's version 2 (disk format §10): the sum over its nodes modulo 2^64 of a CRC-32 each.

use crc32fast::Hasher;

use crate::wire::records::StatPersisted;

/// The version number that goes with these digests.
pub const VERSION: i32 = 2;

/// True if a node at this path counts: everything but what is below `/zookeeper`, which differs from server to server.
pub fn counts(path: &str) -> bool {
    !path.starts_with("/zookeeper/")
}

/// CRC-32 of a node's path and data: the part of its digest that most changes leave alone. `/` and `""` are the same.
pub fn prefix(path: &str, data: Option<&[u8]>) -> u32 {
    let mut h = Hasher::new();
    h.update(if path == "/" { b"" } else { path.as_bytes() });
    h.update(data.unwrap_or_default());
    h.finalize()
}

/// A node's digest from [`prefix`] and its stat as stored.
pub fn from_prefix(prefix: u32, stat: &StatPersisted) -> u32 {
    let mut bytes = [0; 60];
    let mut at = 0;
    let mut put = |field: &[u8]| {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    // Not the order of the snapshot: pzxid comes before ctime, the owner last.
    put(&stat.czxid.0.to_be_bytes());
    put(&stat.mzxid.0.to_be_bytes());
    put(&stat.pzxid.0.to_be_bytes());
    put(&stat.ctime.0.to_be_bytes());
    put(&stat.mtime.0.to_be_bytes());
    put(&stat.version.to_be_bytes());
    put(&stat.cversion.to_be_bytes());
    put(&stat.aversion.to_be_bytes());
    put(&stat.ephemeral_owner.to_be_bytes());
    let mut h = Hasher::new_with_initial(prefix);
    h.update(&bytes);
    h.finalize()
}

/// A node's digest. Add it to the tree's only if the path [`counts`].
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u32 {
    from_prefix(prefix(path, data), stat)
}
