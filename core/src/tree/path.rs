//! What a path may look like (semantics §3).

use crate::error::OpError;

/// Nodes that exist in every tree and cannot be deleted (semantics §1).
pub const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// Checks a path as Java does for setData, setACL, check, and create (semantics §3).
///
/// Java looks at UTF-16 units and refuses surrogates; so characters beyond U+FFFF are refused here.
pub fn check_path(path: &str) -> Result<(), OpError> {
    if path == "/" {
        return Ok(());
    }
    let Some(components) = path.strip_prefix('/') else { return Err(OpError::BadArguments) };
    let refused = |c: &str| matches!(c, "" | "." | "..") || c.chars().any(is_refused);
    if components.split('/').any(refused) { Err(OpError::BadArguments) } else { Ok(()) }
}

const fn is_refused(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

/// Parent and name, cut at the last slash, after the lighter check of delete and create: `None` without a slash or
/// with a NUL. The parent of `/a` is `""`, the root's other name.
pub fn split(path: &str) -> Option<(&str, &str)> {
    if path.contains('\0') { None } else { path.rsplit_once('/') }
}

/// The length that Java's size estimate takes for a path: UTF-16 units.
pub(super) fn utf16_len(path: &str) -> u64 {
    if path.is_ascii() { path.len() as u64 } else { path.encode_utf16().count() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_refused_and_accepted_as_java_does() {
        let good =
            ["/", "/a", "/a/b", "/...", "/.a", "/a.", "/..a", "/a b", "/\u{a0}", "/\u{2028}", "/\u{d7ff}"];
        let good = good.into_iter().chain(["/\u{f900}", "/\u{ffef}", "/zookeeper/config", "/~"]);
        good.for_each(|p| assert_eq!(check_path(p), Ok(()), "{p:?}"));
        let bad =
            ["", "a", "a/b", "/a/", "//", "//a", "/a//b", "/.", "/..", "/a/./b", "/a/..", "/a\0", "/a\u{1}"];
        let bad = bad.into_iter().chain(["/\u{1f}", "/\u{7f}", "/\u{9f}", "/\u{e000}", "/\u{f8ff}"]);
        let bad = bad.chain(["/\u{fff0}", "/\u{fffd}", "/\u{ffff}", "/\u{10000}", "/\u{1f600}"]);
        bad.for_each(|p| assert_eq!(check_path(p), Err(OpError::BadArguments), "{p:?}"));
    }

    #[test]
    fn a_path_splits_at_its_last_slash() {
        assert_eq!(split("/a"), Some(("", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a/"), Some(("/a", "")));
        assert_eq!(split("a"), None);
        assert_eq!(split("/a\0/b"), None);
    }
}
