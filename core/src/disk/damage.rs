//! Torn or rotten? What may be made of a place in the log where no sound record is.
//!
//! The judge sees the bytes from the place to the last one in the file that is not zero. What a crash leaves there is
//! described in [`super::txnlog`]; everything else is rot. The rules, in order:
//!
//! 1. More than a batch cannot be what one crash tore.
//! 2. A *hole*, a sector of nothing but zeros with something behind it, is one that never reached the disk. The batch it
//!    belongs to was promised to nobody; records behind it in the same batch may be whole. But a record that reaches to the
//!    next whole one and is wrong by a single byte, or in its length alone, was damaged: its zeros are its own data.
//!    (Without a next one a single byte is no proof: among ten thousand torn records one looks like that.)
//! 3. Without a hole, a whole record behind the place means that the place was written once, and promised.
//! 4. Without either, a write may have been cut short: then the record's end is missing. It is not missing if all of it is
//!    there up to its last byte and only its length is wrong.

use super::txnlog::{BATCH_MAX, OVERHEAD, SECTOR, adler};

/// Bytes of checksum and length.
const HEAD: usize = 12;
/// A record's last byte.
const END: u8 = b'B';
/// The shortest txn: its header.
const TXN_MIN: usize = 32;

/// True if a crash explains it. `offset` is where the place is in its file, `claimed` the length of the whole record that
/// its head claims (`None` if there is no length), `rest` what is there up to the last byte that is not zero.
pub(super) fn is_torn(offset: u64, claimed: Option<usize>, rest: &[u8]) -> bool {
    if rest.len() as u64 >= BATCH_MAX {
        return false;
    }
    let next = (1..rest.len()).find(|at| is_sound(rest, *at));
    if has_hole(offset, rest) {
        let damaged = |at: usize| {
            let record = &rest[..at];
            is_whole_but_for_its_length(record) || is_one_byte_off(record)
        };
        return !next.is_some_and(damaged) && !is_whole_but_for_its_length(rest);
    }
    if next.is_some() {
        return false;
    }
    match claimed {
        None => rest.len() <= HEAD,
        Some(len) => rest.len() < len && !is_whole_but_for_its_length(rest),
    }
}

/// True if a sector of zeros lies between bytes of the batch. Of the first sector only the part from `offset` on counts, and
/// less than five bytes of it prove nothing: the first four of a record are always zero.
fn has_hole(offset: u64, rest: &[u8]) -> bool {
    let first = (SECTOR - offset % SECTOR) as usize;
    let zeros = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    let Some((head, sectors)) = rest.split_at_checked(first) else { return false };
    head.len() > 4 && zeros(head) || sectors.chunks_exact(SECTOR as usize).any(zeros)
}

/// True if a whole record begins at `at`.
fn is_sound(rest: &[u8], at: usize) -> bool {
    let Some(head) = rest.get(at..at + HEAD) else { return false };
    if head[..4] != [0; 4] {
        return false;
    }
    let number =
        |from: usize| u32::from_be_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    let (checksum, len) = (number(4), number(8) as usize);
    let Some(txn) = rest.get(at + HEAD..).and_then(|rest| rest.get(..len)) else { return false };
    len >= TXN_MIN && rest.get(at + HEAD + len) == Some(&END) && adler(txn) == checksum
}

/// True if one byte of the record is wrong and all others are right: of the txn (Adler-32 tells which and by how much), of
/// the checksum, or the last. A zero does not count: it may be what a lost sector left.
fn is_one_byte_off(record: &[u8]) -> bool {
    const MODULUS: i64 = 65_521;
    let Some(txn) = record.len().checked_sub(1).and_then(|end| record.get(HEAD..end)) else { return false };
    let checksum = u32::from_be_bytes([record[4], record[5], record[6], record[7]]);
    let found = adler(txn);
    let stored = &record[..8];
    let right = u64::from(found).to_be_bytes();
    let wrong = || stored.iter().zip(right).filter(|(stored, right)| *stored != right);
    if wrong().count() == 1 && wrong().all(|(stored, _)| *stored != 0) {
        return true;
    }
    if checksum == found && stored[..4] == [0; 4] {
        return record.last().is_some_and(|end| *end != 0);
    }
    let part = |sum: u32| (i64::from(sum & 0xffff), i64::from(sum >> 16));
    let ((a, b), (found_a, found_b)) = (part(checksum), part(found));
    let by = (a - found_a).rem_euclid(MODULUS);
    let by = if by > MODULUS / 2 { by - MODULUS } else { by };
    let weighted = (b - found_b).rem_euclid(MODULUS);
    // The byte at `i` counts `len - i` times in the second sum.
    by != 0
        && by.abs() < 256
        && txn.iter().enumerate().any(|(i, byte)| {
            let times = (txn.len() - i) as i64;
            (by * times).rem_euclid(MODULUS) == weighted
                && *byte != 0
                && (0..256).contains(&(i64::from(*byte) + by))
        })
}

/// True if the record ends where its bytes end, and checks out with that length instead of the one it has.
fn is_whole_but_for_its_length(rest: &[u8]) -> bool {
    let Some(before) = rest.strip_suffix(&[END]) else { return false };
    let Some(txn) = before.get(HEAD..) else { return false };
    let checksum = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]);
    rest.len() as u64 >= OVERHEAD + TXN_MIN as u64 && adler(txn) == checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::txnlog::put_record;
    use bytes::BytesMut;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn records(txns: &[Vec<u8>]) -> Vec<u8> {
        let mut out = BytesMut::new();
        txns.iter().for_each(|txn| put_record(txn, &mut out));
        out.to_vec()
    }

    /// As the reader finds it: trailing zeros are not there.
    fn judge(offset: u64, mut rest: Vec<u8>) -> Option<bool> {
        while rest.last() == Some(&0) {
            rest.pop();
        }
        if rest.is_empty() || is_sound(&rest, 0) {
            return None;
        }
        let len = rest.get(8..12).map_or(0, |b| i32::from_be_bytes(b.try_into().unwrap()));
        let claimed = usize::try_from(len).ok().filter(|len| *len > 0).map(|len| len + OVERHEAD as usize);
        Some(is_torn(offset, claimed, &rest))
    }

    fn txns() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let txn = prop_oneof![
            proptest::collection::vec(any::<u8>(), 32..400),
            proptest::collection::vec(any::<u8>(), 400..2_500),
            // Data of zeros, with a header that is none.
            (32usize..3_000).prop_map(|n| [vec![7; 40], vec![0; n]].concat()),
        ];
        proptest::collection::vec(txn, 2..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_write_that_was_cut_is_torn(txns in txns(), offset in 16u64..2_000, cut in any::<prop::sample::Index>()) {
            let mut rest = records(&txns);
            rest.truncate(1 + cut.index(rest.len() - 1));
            let torn = judge(offset, rest);
            prop_assert!(torn.is_none_or(|torn| torn), "{torn:?}");
        }

        #[test]
        fn a_batch_with_lost_sectors_is_torn(txns in txns(), offset in 16u64..2_000, lost in any::<u64>()) {
            let mut rest = records(&txns);
            for (i, byte) in rest.iter_mut().enumerate() {
                let sector = (offset + i as u64) / SECTOR - offset / SECTOR;
                if lost >> (sector % 64) & 1 == 1 {
                    *byte = 0;
                }
            }
            // One in some ten thousand looks like a damaged byte: then the server refuses, which is safe.
            if let Some(false) = judge(offset, rest.clone()) {
                let len = i32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize + OVERHEAD as usize;
                let next = (1..rest.len()).find(|at| is_sound(&rest, *at)).unwrap_or(len);
                prop_assert!(is_one_byte_off(&rest[..next]) || is_whole_but_for_its_length(&rest[..next]));
            }
        }

        #[test]
        fn a_flipped_bit_in_what_was_durable_is_rot(
            txns in txns(),
            offset in 16u64..2_000,
            at in any::<prop::sample::Index>(),
            bit in 0u32..8,
        ) {
            let mut rest = records(&txns);
            let first = 13 + txns[0].len();
            let at = at.index(first);
            rest[at] ^= 1 << bit;
            // A byte that became zero among zeros is what a lost sector leaves.
            let judged = judge(offset, rest.clone());
            prop_assert!(judged == Some(false) || rest[at] == 0 && has_hole(offset, &rest), "byte {at} of {first}");
        }
    }
}
