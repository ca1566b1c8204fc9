//! The limits of the wire, each with its Java name.

/// `jute.maxbuffer`: the largest frame a client may send, in bytes (0xfffff).
pub const JUTE_MAXBUFFER: usize = 0xf_ffff;

/// `jute.maxbuffer` + `zookeeper.jute.maxbuffer.extrasize`: the largest string, buffer or logged txn, in bytes.
pub const JUTE_MAX_FIELD: usize = 2 * JUTE_MAXBUFFER;
