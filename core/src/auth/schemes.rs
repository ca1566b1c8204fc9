//! Which schemes there are, and what the auth packet makes of credentials (client protocol §11).

use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

use super::{digest, ip};
use crate::text::Text;
use crate::wire::records::Id;

/// A scheme with a provider: its ids can be validated and matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Provider {
    Digest,
    Ip,
}

impl Provider {
    pub(super) fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "digest" => Some(Self::Digest),
            "ip" => Some(Self::Ip),
            _ => None,
        }
    }

    /// May an ACL hold this id?
    pub(super) fn is_valid(self, id: &str) -> bool {
        match self {
            Self::Digest => digest::is_valid(id),
            Self::Ip => ip::is_valid(id),
        }
    }

    /// Does the caller's identity satisfy the entry's id?
    pub(super) fn matches(self, caller: &str, entry: &str) -> bool {
        match self {
            Self::Digest => caller == entry,
            Self::Ip => ip::matches(caller, entry),
        }
    }

    /// True if an `auth` entry stands for identities of this scheme: an address proves nothing.
    pub(super) const fn is_authenticated(self) -> bool {
        matches!(self, Self::Digest)
    }
}

/// An auth packet that ends its connection (client protocol §11).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthRefused {
    /// No provider for this scheme.
    #[error("no provider for scheme {0:?}")]
    Scheme(String),
    /// Credentials are required and null was sent.
    #[error("scheme digest without credentials")]
    Credentials,
}

/// The identities that an auth packet adds to its connection.
///
/// `super_digest` is `zookeeper.DigestAuthenticationProvider.superDigest`: credentials that hash to it make a super
/// user, whom no ACL stops.
pub fn authenticate(
    scheme: Option<&str>,
    credentials: Option<&[u8]>,
    super_digest: Option<&str>,
) -> Result<Vec<Id>, AuthRefused> {
    let scheme = scheme.unwrap_or_default();
    match Provider::of(scheme) {
        // The connection has had its address since it was accepted.
        Some(Provider::Ip) => Ok(Vec::new()),
        Some(Provider::Digest) => {
            let credentials = credentials.ok_or(AuthRefused::Credentials)?;
            let id = digest::hash_credentials(&String::from_utf8_lossy(credentials));
            let mut ids = Vec::new();
            if super_digest == Some(id.as_str()) {
                ids.push(Id { scheme: Text::from_static("super"), id: Text::EMPTY });
            }
            ids.push(Id { scheme: Text::from_static("digest"), id: Text::from(id) });
            Ok(ids)
        }
        None => Err(AuthRefused::Scheme(scheme.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn id(scheme: &str, id: &str) -> Id {
        Id { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn digest_credentials_add_their_hash() {
        let ids = authenticate(Some("digest"), Some(b"super:admin"), None);
        assert_eq!(ids, Ok(vec![id("digest", "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=")]));
    }

    #[test]
    fn the_super_digest_makes_a_super_user_first() {
        let hash = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=";
        let ids = authenticate(Some("digest"), Some(b"super:admin"), Some(hash));
        assert_eq!(ids, Ok(vec![id("super", ""), id("digest", hash)]));
        let ids = authenticate(Some("digest"), Some(b"super:wrong"), Some(hash)).unwrap();
        assert!(ids.iter().all(|id| id.scheme != *"super"));
    }

    #[test]
    fn schemes_without_provider_and_null_credentials_are_refused() {
        for scheme in ["world", "auth", "super", "sasl", "x509", "nonesuch"] {
            assert_eq!(
                authenticate(Some(scheme), Some(b"a:b"), None),
                Err(AuthRefused::Scheme(scheme.into()))
            );
        }
        assert_eq!(authenticate(None, Some(b"a:b"), None), Err(AuthRefused::Scheme("".into())));
        assert_eq!(authenticate(Some("digest"), None, None), Err(AuthRefused::Credentials));
        assert_eq!(authenticate(Some("ip"), None, None), Ok(vec![]));
    }
}
