//! The limits of the wire, each with its Java name.

/// `jute.maxbuffer`: the largest frame a client may send, in bytes (0xfffff).
pub const JUTE_MAXBUFFER: usize = 0xf_ffff;

/// `jute.maxbuffer` + `zookeeper.jute.maxbuffer.extrasize`: the largest string, buffer or logged txn, in bytes.
pub const JUTE_MAX_FIELD: usize = 2 * JUTE_MAXBUFFER;

/// `QuorumCnxManager.PACKETMAXSIZE`: the longest message on the election port, in bytes, prefix not counted.
pub const ELECTION_MESSAGE_MAX: usize = 512 * 1024;

/// The longest list of addresses in an election handshake, in bytes.
pub const HANDSHAKE_ADDRESSES_MAX: usize = 2048;

/// The longest SASL token between servers, in bytes. Kerberos tickets stay far below.
pub const SASL_TOKEN_MAX: usize = 64 * 1024;
