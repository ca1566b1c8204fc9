//! Scheme `digest`: `user:base64(sha1("user:password"))`.

use alloc::string::String;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The id that `user:password` becomes (Java: `DigestAuthenticationProvider.generateDigest`). No format is asked of
/// the credentials: without a colon all of them are the user.
pub fn hash_credentials(credentials: &str) -> String {
    let user = credentials.split(':').next().expect("split yields at least one part");
    let hash = Sha1::digest(credentials.as_bytes());
    let mut id = String::with_capacity(user.len() + 29);
    id.push_str(user);
    id.push(':');
    STANDARD.encode_string(hash, &mut id);
    id
}

/// True if an ACL may hold this id: exactly two parts around colons, where trailing empty parts do not count (Java's
/// `split`).
pub(super) fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_hash_as_the_shell_of_java_does() {
        // Java: `DigestAuthenticationProvider super:admin`, an example of ZooKeeper's own guide.
        assert_eq!(hash_credentials("super:admin"), "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=");
        assert_eq!(hash_credentials(""), ":2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
        assert_eq!(hash_credentials("abc"), "abc:qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    }

    #[test]
    fn an_acl_id_has_two_parts_as_java_splits_them() {
        for good in ["a:b", ":b", "a:b:", "a:b::"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", ":", "::", "abc", "abc:", "a:b:c", "a::b"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
