//! What an ACL allows, and what becomes of one that a client sends (semantics §7.2, §7.3).

use alloc::string::String;
use alloc::vec::Vec;

use super::AuthInfo;
use super::schemes::Provider;
use crate::error::OpError;
use crate::text::Text;
use crate::wire::records::{Acl, Id, perms};

/// Holders of an identity of this scheme are never refused.
const SUPER: &str = "super";

/// True if the list grants any of `perm`'s bits to the caller. `skip_acl` is `zookeeper.skipACL=yes`.
pub fn allowed(acl: &[Acl], perm: i32, auth: &AuthInfo, skip_acl: bool) -> bool {
    if skip_acl || acl.is_empty() || auth.ids.iter().any(|id| id.scheme == *SUPER) {
        return true;
    }
    acl.iter().any(|entry| entry.perms & perm != 0 && matches_any(&entry.id, auth))
}

fn matches_any(entry: &Id, auth: &AuthInfo) -> bool {
    if is_anyone(entry) {
        return true;
    }
    let Some(provider) = Provider::of(&entry.scheme) else { return false };
    auth.ids.iter().any(|caller| caller.scheme == entry.scheme && provider.matches(&caller.id, &entry.id))
}

fn is_anyone(id: &Id) -> bool {
    id.scheme == *"world" && id.id == *"anyone"
}

/// Makes the list of a create or setACL storable: drops duplicates, resolves `auth`, refuses what no provider takes.
///
/// # Errors
/// [`OpError::InvalidAcl`] for an empty list, an `auth` entry of a caller without a proven identity, a scheme without
/// provider, or an id that its provider refuses.
pub fn fix_up(acl: Vec<Acl>, auth: &AuthInfo) -> Result<Vec<Acl>, OpError> {
    if acl.is_empty() {
        return Err(OpError::InvalidAcl);
    }
    // Nearly all lists are this one; it costs no allocation.
    if let [only] = acl.as_slice()
        && is_anyone(&only.id)
    {
        return Ok(acl);
    }
    let mut fixed = Vec::with_capacity(acl.len());
    for (at, entry) in acl.iter().enumerate() {
        if acl[..at].contains(entry) {
            continue;
        }
        match &*entry.id.scheme {
            "world" if is_anyone(&entry.id) => fixed.push(entry.clone()),
            "auth" => expand_auth(entry.perms, auth, &mut fixed)?,
            scheme if Provider::of(scheme).is_some_and(|p| p.is_valid(&entry.id.id)) => {
                fixed.push(entry.clone())
            }
            _ => return Err(OpError::InvalidAcl),
        }
    }
    Ok(fixed)
}

/// An `auth` entry stands for every proven identity of the caller. What comes out is not looked at for duplicates
/// again (Java: `PrepRequestProcessor.fixupACL`).
fn expand_auth(perms: i32, auth: &AuthInfo, fixed: &mut Vec<Acl>) -> Result<(), OpError> {
    let before = fixed.len();
    let proven =
        auth.ids.iter().filter(|id| Provider::of(&id.scheme).is_some_and(Provider::is_authenticated));
    fixed.extend(proven.map(|id| Acl { perms, id: id.clone() }));
    if fixed.len() == before { Err(OpError::InvalidAcl) } else { Ok(()) }
}

/// The list as getACL shows it to this caller: without ADMIN, hashes of scheme `digest` become `x`.
pub fn mask(acl: &[Acl], auth: &AuthInfo, skip_acl: bool) -> Vec<Acl> {
    if allowed(acl, perms::ADMIN, auth, skip_acl) {
        return acl.to_vec();
    }
    acl.iter().map(|entry| Acl { perms: entry.perms, id: mask_id(&entry.id) }).collect()
}

fn mask_id(id: &Id) -> Id {
    match (&*id.scheme, id.id.split_once(':')) {
        ("digest", Some((user, _))) => {
            let masked = String::from_iter([user, ":x"]);
            Id { scheme: id.scheme.clone(), id: Text::from(masked) }
        }
        _ => id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, id: Id { scheme: scheme.into(), id: id.into() } }
    }

    fn caller(ids: &[(&str, &str)]) -> AuthInfo {
        let ids = ids.iter().map(|(s, i)| Id { scheme: (*s).into(), id: (*i).into() }).collect();
        AuthInfo { ids }
    }

    #[test]
    fn permission_needs_a_matching_entry_with_the_bit() {
        let anne = caller(&[("ip", "10.0.0.1"), ("digest", "anne:h")]);
        let list = [
            acl(1, "digest", "anne:h"),
            acl(2, "digest", "bob:h"),
            acl(4, "ip", "10.0.0.0/8"),
            acl(8, "x509", "n"),
        ];
        assert!(allowed(&list, perms::READ, &anne, false));
        assert!(!allowed(&list, perms::WRITE, &anne, false));
        assert!(allowed(&list, perms::CREATE, &anne, false));
        assert!(!allowed(&list, perms::DELETE, &anne, false), "x509 has no provider");
        assert!(allowed(&list, perms::READ | perms::ADMIN, &anne, false), "any of the bits is enough");
        assert!(!allowed(&[acl(0, "world", "anyone")], perms::READ, &anne, false));
        assert!(allowed(&[acl(1, "world", "anyone")], perms::READ, &AuthInfo::default(), false));
    }

    #[test]
    fn nothing_stops_super_skip_acl_or_an_empty_list() {
        let list = [acl(31, "digest", "bob:h")];
        assert!(!allowed(&list, perms::READ, &caller(&[]), false));
        assert!(allowed(&list, perms::READ, &caller(&[("super", "")]), false));
        assert!(allowed(&list, perms::READ, &caller(&[]), true));
        assert!(allowed(&[], perms::READ, &caller(&[]), false));
    }

    #[test]
    fn duplicates_are_dropped_before_auth_is_expanded() {
        let anne = caller(&[("ip", "10.0.0.1"), ("digest", "anne:h"), ("super", ""), ("digest", "bob:h")]);
        let sent = vec![
            acl(31, "auth", ""),
            acl(1, "world", "anyone"),
            acl(31, "auth", ""),
            acl(1, "world", "anyone"),
            acl(31, "digest", "anne:h"),
        ];
        let expected = vec![
            acl(31, "digest", "anne:h"),
            acl(31, "digest", "bob:h"),
            acl(1, "world", "anyone"),
            acl(31, "digest", "anne:h"),
        ];
        assert_eq!(fix_up(sent, &anne), Ok(expected));
    }

    #[test]
    fn unknown_permission_bits_are_kept() {
        let odd = vec![acl(0x7fff_ffe0, "ip", "::1/64"), acl(-1, "world", "anyone")];
        assert_eq!(fix_up(odd.clone(), &caller(&[])), Ok(odd));
    }

    #[test]
    fn lists_that_no_provider_takes_are_refused() {
        let anne = caller(&[("ip", "10.0.0.1"), ("super", "")]);
        let refused = [
            ("world", "bob"),
            ("world", ""),
            ("auth", "x"),
            ("digest", "abc"),
            ("ip", "1.2.3"),
            ("super", ""),
        ];
        for (scheme, id) in refused.into_iter().chain([("sasl", "u"), ("x509", "CN=a"), ("", "")]) {
            assert_eq!(fix_up(vec![acl(31, scheme, id)], &anne), Err(OpError::InvalidAcl), "{scheme}:{id}");
        }
        assert_eq!(fix_up(vec![], &anne), Err(OpError::InvalidAcl));
    }

    #[test]
    fn hashes_are_shown_only_to_those_who_may_administer() {
        let list = [acl(1, "digest", "anne:h"), acl(16, "digest", "bob:h"), acl(1, "ip", "::1")];
        let masked = vec![acl(1, "digest", "anne:x"), acl(16, "digest", "bob:x"), acl(1, "ip", "::1")];
        assert_eq!(mask(&list, &caller(&[("digest", "anne:h")]), false), masked);
        assert_eq!(mask(&list, &caller(&[("digest", "bob:h")]), false), list.to_vec());
    }
}
