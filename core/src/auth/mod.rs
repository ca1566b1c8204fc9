//! Who is asking, and what an ACL lets them do (semantics §7).

use alloc::vec::Vec;

use crate::wire::records::Id;

/// The identities of a connection; each request carries those attached when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuthInfo {
    /// In the order they were attached, no duplicates.
    pub ids: Vec<Id>,
}
