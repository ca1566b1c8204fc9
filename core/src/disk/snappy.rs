//! Snappy as Java's snapshots use it: snappy-java's stream of raw blocks (disk format §5).
//!
//! ```text
//! stream = 82 "SNAPPY" 00 | i32 1 | i32 1 | (i32 length | raw block)*
//! block  = varint uncompressed length, then literals and copies
//! ```
//! Blocks are of at most 32 KiB of input, so every offset fits two bytes.

use alloc::vec;
use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};

/// The first bytes of a stream; versions follow.
pub(super) const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Magic and the two versions.
pub(super) const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Input of one block, bytes.
pub(super) const BLOCK: usize = 32 * 1024;
/// The largest block that is accepted, uncompressed. snappy-java's writers go up to half of it.
const BLOCK_MAX: usize = 1 << 20;
/// No block of `BLOCK_MAX` bytes compresses to more than this.
pub(super) const COMPRESSED_MAX: usize = 32 + BLOCK_MAX + BLOCK_MAX / 6;

const HASH_BITS: u32 = 13;
/// Shorter matches cost more than they save.
const MATCH_MIN: usize = 4;

/// Appends a block of the stream, its length first.
pub(super) fn put_block(input: &[u8], out: &mut BytesMut) {
    debug_assert!(input.len() <= BLOCK);
    let at = out.len();
    out.put_i32(0);
    put_varint(input.len(), out);
    compress(input, out);
    let len = i32::try_from(out.len() - at - 4).expect("a block is small");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// Greedy matching over a table of the last position of each hash of four bytes.
fn compress(input: &[u8], out: &mut BytesMut) {
    let mut table = vec![0u16; 1 << HASH_BITS];
    let (mut at, mut literal) = (1, 0);
    while at + MATCH_MIN <= input.len() {
        let four = |i: usize| u32::from_le_bytes([input[i], input[i + 1], input[i + 2], input[i + 3]]);
        let here = four(at);
        let slot = (here.wrapping_mul(0x1e35_a7bd) >> (32 - HASH_BITS)) as usize;
        let candidate = usize::from(table[slot]);
        table[slot] = at as u16;
        if candidate >= at || four(candidate) != here {
            at += 1;
            continue;
        }
        put_literal(&input[literal..at], out);
        let same = |n: &usize| input.get(at + n) == input.get(candidate + n);
        let len = MATCH_MIN + (MATCH_MIN..input.len() - at).take_while(same).count();
        put_copies(at - candidate, len, out);
        at += len;
        literal = at;
    }
    put_literal(&input[literal..], out);
}

fn put_varint(mut n: usize, out: &mut BytesMut) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

fn put_literal(bytes: &[u8], out: &mut BytesMut) {
    let Some(last) = bytes.len().checked_sub(1) else { return };
    match last {
        0..60 => out.put_u8((last as u8) << 2),
        60..256 => out.put_slice(&[60 << 2, last as u8]),
        _ => {
            out.put_u8(61 << 2);
            out.put_u16_le(last as u16);
        }
    }
    out.put_slice(bytes);
}

/// Copies with two-byte offsets hold up to 64 bytes each.
fn put_copies(offset: usize, mut len: usize, out: &mut BytesMut) {
    while len > 0 {
        let part = len.min(64);
        out.put_u8(((part as u8 - 1) << 2) | 2);
        out.put_u16_le(offset as u16);
        len -= part;
    }
}

/// Uncompresses a raw block. `None`: it is not one.
pub(super) fn decompress(block: &[u8]) -> Option<Vec<u8>> {
    let (len, mut rest) = varint(block)?;
    if len > BLOCK_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    while let Some((&tag, after)) = rest.split_first() {
        rest = after;
        if tag & 3 == 0 {
            let n = usize::from(tag >> 2);
            let extra = n.saturating_sub(59);
            let n = if extra == 0 { n } else { little_endian(&mut rest, extra)? };
            let (literal, after) = rest.split_at_checked(n.checked_add(1)?)?;
            rest = after;
            out.extend_from_slice(literal);
        } else {
            let (n, offset) = match tag & 3 {
                1 => {
                    let low = little_endian(&mut rest, 1)?;
                    (usize::from(tag >> 2 & 7) + 4, usize::from(tag >> 5) << 8 | low)
                }
                2 => (usize::from(tag >> 2) + 1, little_endian(&mut rest, 2)?),
                _ => (usize::from(tag >> 2) + 1, little_endian(&mut rest, 4)?),
            };
            let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
            // Source and target may overlap: that is how runs are written.
            for i in from..from + n {
                out.push(out[i]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut n = 0;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        n |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((n, &bytes[i + 1..]));
        }
    }
    None
}

fn little_endian(bytes: &mut &[u8], n: usize) -> Option<usize> {
    let (number, rest) = bytes.split_at_checked(n)?;
    *bytes = rest;
    Some(number.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}
