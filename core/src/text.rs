//! [`Text`]: a UTF-8 string that shares the buffer it was decoded from.

use alloc::string::String;
use bytes::Bytes;
use bytestring::ByteString;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

/// An immutable UTF-8 string over shared bytes: cloning and slicing cost a reference count, not a copy.
///
/// Paths, schemes and ids travel as `Text` from the receive buffer to the log without being copied. UTF-8 is checked
/// once, at the door: a path is looked at several times per request, and checking again costs 10 ns each time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text(ByteString);

impl Text {
    /// The empty string.
    pub const EMPTY: Self = Self(ByteString::new());

    /// A string known at compile time.
    pub const fn from_static(s: &'static str) -> Self {
        Self(ByteString::from_static(s))
    }

    /// Takes bytes that may not be UTF-8; malformed sequences become U+FFFD, as Java's reader does.
    pub fn from_bytes_lossy(bytes: Bytes) -> Self {
        Self(
            ByteString::try_from(bytes.clone())
                .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()),
        )
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

/// As the bytes hash, so that a map of `Text` can be searched with bytes.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl core::borrow::Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Text {
    fn from(s: &str) -> Self {
        Self(ByteString::from(s))
    }
}

impl From<String> for Text {
    fn from(s: String) -> Self {
        Self(ByteString::from(s))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::BuildHasher;
    use foldhash::fast::FixedState;

    #[test]
    fn malformed_bytes_become_replacement_characters() {
        assert_eq!(Text::from_bytes_lossy(Bytes::from_static(b"/a\xff/b\xc3")), "/a\u{fffd}/b\u{fffd}");
    }

    #[test]
    fn valid_bytes_are_shared_and_not_copied() {
        let bytes = Bytes::from_static("/a/é".as_bytes());
        let text = Text::from_bytes_lossy(bytes.clone());
        assert_eq!(text, "/a/é");
        assert_eq!(text.as_bytes().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn a_text_hashes_as_its_bytes_do() {
        let state = FixedState::default();
        assert_eq!(state.hash_one(Text::from("/a/é")), state.hash_one("/a/é".as_bytes()));
    }
}
