//! Jute: big-endian fields in declaration order, no tags, no padding (client protocol §2).

use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};

use super::limits::JUTE_MAX_FIELD;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::time::WallMs;

/// A value of the jute type system.
pub trait Jute: Sized {
    /// The shortest encoding, in bytes. A vector that claims more elements than the input could hold at this length
    /// is refused before anything is allocated for it.
    const MIN_LEN: usize;

    /// Appends the encoding.
    fn encode(&self, out: &mut BytesMut);
    /// Reads one value, leaving the reader behind it.
    fn decode(r: &mut Reader) -> Result<Self, DecodeError>;

    /// The encoding on its own.
    fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.encode(&mut out);
        out.freeze()
    }

    /// Reads one value from `bytes`; trailing bytes are ignored, as Java ignores them.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(bytes))
    }
}

/// A cursor over shared bytes; buffers and strings that it yields are slices, not copies.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
    field_max: usize,
}

impl Reader {
    /// Reads `bytes` from the start, with the default field limit.
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0, field_max: JUTE_MAX_FIELD }
    }

    /// The same with another limit for strings and buffers, in bytes.
    pub const fn with_field_max(bytes: Bytes, field_max: usize) -> Self {
        Self { bytes, at: 0, field_max }
    }

    /// Offset of the next byte.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Everything not yet read, as a slice of the input.
    pub fn rest(&self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    /// An error at the current offset.
    pub const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { offset: self.at, kind }
    }

    /// The next `n` bytes as a slice of the input.
    pub fn take(&mut self, n: usize) -> Result<Bytes, DecodeError> {
        if self.left() < n {
            return Err(self.error(DecodeErrorKind::Short { needed: n, left: self.left() }));
        }
        let s = self.bytes.slice(self.at..self.at + n);
        self.at += n;
        Ok(s)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(a) = self.bytes[self.at..].first_chunk::<N>() else {
            return Err(self.error(DecodeErrorKind::Short { needed: N, left: self.left() }));
        };
        self.at += N;
        Ok(*a)
    }

    /// An `int`.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A `long`.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A `byte`.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[b]| b)
    }

    /// A `buffer`: `None` for null (-1).
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let at = self.at;
        let n = self.i32()?;
        if n == -1 {
            return Ok(None);
        }
        let Some(len) = usize::try_from(n).ok().filter(|len| *len <= self.field_max) else {
            let kind = DecodeErrorKind::Length { found: n.into(), limit: self.field_max };
            return Err(DecodeError { offset: at, kind });
        };
        self.take(len).map(Some)
    }

    /// A `vector` count: `None` for null (-1); any other negative count reads as empty, as in Java.
    pub fn count(&mut self) -> Result<Option<usize>, DecodeError> {
        let n = self.i32()?;
        Ok(if n == -1 { None } else { Some(usize::try_from(n).unwrap_or(0)) })
    }

    /// A `vector` count, refused if that many elements of at least `min_len` bytes cannot follow.
    pub fn count_of(&mut self, min_len: usize) -> Result<Option<usize>, DecodeError> {
        let offset = self.at;
        let Some(n) = self.count()? else { return Ok(None) };
        let limit = self.left() / min_len;
        if n > limit {
            let found = i64::try_from(n).expect("it was read from 32 bits");
            return Err(DecodeError { offset, kind: DecodeErrorKind::Length { found, limit } });
        }
        Ok(Some(n))
    }
}

macro_rules! jute_number {
    ($($t:ty, $read:ident, $put:ident, |$v:ident| $get:expr, |$w:ident| $make:expr;)*) => {$(
        impl Jute for $t {
            const MIN_LEN: usize = size_of::<$t>();
            fn encode(&self, out: &mut BytesMut) { let $v = self; out.$put($get); }
            fn decode(r: &mut Reader) -> Result<Self, DecodeError> { let $w = r.$read()?; Ok($make) }
        }
    )*};
}

jute_number! {
    u8, u8, put_u8, |v| *v, |w| w;
    bool, u8, put_u8, |v| u8::from(*v), |w| w != 0;
    i32, i32, put_i32, |v| *v, |w| w;
    i64, i64, put_i64, |v| *v, |w| w;
    Zxid, i64, put_i64, |v| v.0, |w| Self(w);
    SessionId, i64, put_i64, |v| v.0, |w| Self(w);
    WallMs, i64, put_i64, |v| v.0, |w| Self(w);
}

/// A length or count as jute writes it. Nothing we encode can exceed it: every length came through a limit.
pub(crate) fn put_len(out: &mut BytesMut, len: usize) {
    out.put_i32(i32::try_from(len).expect("no field reaches 2 GiB: limits are checked at the door"));
}

/// A `buffer`; null and empty are different values and both survive.
impl Jute for Option<Bytes> {
    const MIN_LEN: usize = 4;

    fn encode(&self, out: &mut BytesMut) {
        match self {
            None => out.put_i32(-1),
            Some(b) => {
                put_len(out, b.len());
                out.put_slice(b);
            }
        }
    }
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        r.buffer()
    }
}

impl Jute for Option<Text> {
    const MIN_LEN: usize = 4;

    fn encode(&self, out: &mut BytesMut) {
        match self {
            None => out.put_i32(-1),
            Some(s) => s.encode(out),
        }
    }
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(r.buffer()?.map(Text::from_bytes_lossy))
    }
}

impl Jute for Text {
    const MIN_LEN: usize = 4;

    fn encode(&self, out: &mut BytesMut) {
        put_len(out, self.as_bytes().len());
        out.put_slice(self.as_bytes());
    }
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let at = r.offset();
        let null = DecodeError { offset: at, kind: DecodeErrorKind::Null("a string") };
        r.buffer()?.map(Self::from_bytes_lossy).ok_or(null)
    }
}

/// A `vector` that may be null.
impl<T: Jute> Jute for Option<Vec<T>> {
    const MIN_LEN: usize = 4;

    fn encode(&self, out: &mut BytesMut) {
        match self {
            None => out.put_i32(-1),
            Some(v) => v.encode(out),
        }
    }
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let Some(n) = r.count_of(T::MIN_LEN)? else { return Ok(None) };
        let mut v = Vec::with_capacity(n);
        for _ in 0..n {
            v.push(T::decode(r)?);
        }
        Ok(Some(v))
    }
}

/// A `vector` in which null means empty.
impl<T: Jute> Jute for Vec<T> {
    const MIN_LEN: usize = 4;

    fn encode(&self, out: &mut BytesMut) {
        put_len(out, self.len());
        for item in self {
            item.encode(out);
        }
    }
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Option::<Self>::decode(r)?.unwrap_or_default())
    }
}

/// Declares a record: a struct and its codec, fields in wire order.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $t:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $t),* }
        impl $crate::wire::jute::Jute for $name {
            const MIN_LEN: usize = 0 $(+ <$t as $crate::wire::jute::Jute>::MIN_LEN)*;
            fn encode(&self, out: &mut bytes::BytesMut) { $($crate::wire::jute::Jute::encode(&self.$field, out);)* }
            fn decode(r: &mut $crate::wire::jute::Reader) -> Result<Self, $crate::error::DecodeError> {
                Ok(Self { $($field: $crate::wire::jute::Jute::decode(r)?),* })
            }
        }
    };
}
pub(crate) use record;
