//! Who is asking, and what an ACL lets them do (semantics §7).
//!
//! Schemes with a provider are `ip` and `digest`, which a stock Java server has too. `world` and `auth` are words of
//! the ACL language, `super` is an identity that no ACL may name; everything else is refused.

use alloc::vec::Vec;

use crate::wire::records::Id;

mod check;
mod digest;
mod ip;
mod schemes;

pub use check::{allowed, fix_up, mask};
pub use digest::hash_credentials;
pub use schemes::{AuthRefused, authenticate};

/// The identities of a connection; each request carries those attached when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuthInfo {
    /// In the order they were attached, no duplicates.
    pub ids: Vec<Id>,
}

impl AuthInfo {
    /// Attaches an identity; one that is there already stays where it is.
    pub fn add(&mut self, id: Id) {
        if !self.ids.contains(&id) {
            self.ids.push(id);
        }
    }
}
