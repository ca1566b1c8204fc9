//! The two ports between servers, from bytes to values and back: where `wire`, `config` and `disk` meet the machines, which
//! know none of them. Both drivers read and write through here; connections, and when to read, are theirs.

pub mod election_link;
pub mod quorum_link;
