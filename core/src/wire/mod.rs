//! Bytes ↔ records, and nothing else: no state, no time, no meaning of a path.
//!
//! Every record is declared once, in the order of its fields on the wire; encoder and decoder follow from the
//! declaration. Decoders never panic. They refuse a count that their input cannot hold before they reserve anything for
//! it, and hold at most 32 bytes for each byte of input.

pub mod client;
pub mod election;
pub mod framing;
pub mod jute;
pub mod limits;
pub mod multi;
pub mod operations;
pub mod quorum;
pub mod quorum_auth;
pub mod quorum_stream;
pub mod records;
pub mod reply;
pub mod request;
pub mod txn;
