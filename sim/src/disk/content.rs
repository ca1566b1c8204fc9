//! Bytes of a file in pages that clones share until one of them writes.

use std::sync::Arc;

/// What a page cache moves at once.
pub(super) const PAGE: usize = 4096;
/// What a disk writes at once or not at all.
pub(super) const SECTOR: usize = 512;

/// One sector's bytes; behind the end of a file they are zeros.
pub(super) type Sector = Arc<[u8; SECTOR]>;

/// The bytes of a file. A page that was never written is a hole: zeros that take no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Behind the end there are only zeros in the last page.
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
    len: u64,
}

impl Content {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Writes there, and grows if need be.
    pub(super) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        self.grow(offset + bytes.len() as u64);
        let mut at = offset as usize;
        while !bytes.is_empty() {
            let within = at % PAGE;
            let (piece, rest) = bytes.split_at(bytes.len().min(PAGE - within));
            let page = self.pages[at / PAGE].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(page)[within..within + piece.len()].copy_from_slice(piece);
            at += piece.len();
            bytes = rest;
        }
    }

    /// At least this long, with zeros at the end.
    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
        self.pages.resize((self.len as usize).div_ceil(PAGE), None);
    }

    /// Exactly this long.
    pub(super) fn resize(&mut self, len: u64) {
        self.grow(len);
        self.len = len;
        self.pages.truncate((len as usize).div_ceil(PAGE));
        let within = len as usize % PAGE;
        if within > 0
            && let Some(Some(page)) = self.pages.last_mut()
        {
            Arc::make_mut(page)[within..].fill(0);
        }
    }

    /// Up to `len` bytes; fewer only at the end.
    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.len.min(offset.saturating_add(len as u64)) as usize;
        let mut at = offset as usize;
        let mut bytes = Vec::with_capacity(end.saturating_sub(at));
        while at < end {
            let within = at % PAGE;
            let upto = PAGE.min(within + end - at);
            match &self.pages[at / PAGE] {
                Some(page) => bytes.extend_from_slice(&page[within..upto]),
                None => bytes.resize(bytes.len() + upto - within, 0),
            }
            at += upto - within;
        }
        bytes
    }

    /// A sector's bytes.
    pub(super) fn copy_sector(&self, sector: u64, bytes: &mut [u8; SECTOR]) {
        let at = sector as usize * SECTOR;
        match self.pages.get(at / PAGE) {
            Some(Some(page)) => bytes.copy_from_slice(&page[at % PAGE..at % PAGE + SECTOR]),
            _ => bytes.fill(0),
        }
    }

    /// Sets a sector's bytes, of which those behind the end do not count.
    pub(super) fn set_sector(&mut self, sector: u64, bytes: &[u8; SECTOR]) {
        let at = sector * SECTOR as u64;
        let len = self.len.saturating_sub(at).min(SECTOR as u64) as usize;
        if len > 0 {
            self.write(at, &bytes[..len]);
        }
    }

    /// True if nothing was ever written to the page in which the sector is.
    pub(super) fn is_hole(&self, sector: u64) -> bool {
        self.pages.get(sector as usize * SECTOR / PAGE).is_none_or(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Grow(u64),
        Resize(u64),
        SetSector(u64, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let place = 0u64..20_000;
        prop_oneof![
            (place.clone(), proptest::collection::vec(1u8.., 1..6_000))
                .prop_map(|(at, b)| Step::Write(at, b)),
            place.clone().prop_map(Step::Grow),
            place.prop_map(Step::Resize),
            (0u64..40, 1u8..).prop_map(|(sector, byte)| Step::SetSector(sector, byte)),
        ]
    }

    proptest! {
        #[test]
        fn pages_hold_what_a_plain_vector_holds(
            steps in proptest::collection::vec(step(), 1..20),
            (offset, len) in (0u64..30_000, 0usize..10_000),
            sector in 0u64..50,
        ) {
            let (mut content, mut plain) = (Content::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        content.write(at, &bytes);
                        let end = at as usize + bytes.len();
                        plain.resize(plain.len().max(end), 0);
                        plain[at as usize..end].copy_from_slice(&bytes);
                    }
                    Step::Grow(len) => {
                        content.grow(len);
                        plain.resize(plain.len().max(len as usize), 0);
                    }
                    Step::Resize(len) => {
                        content.resize(len);
                        plain.resize(len as usize, 0);
                    }
                    Step::SetSector(sector, byte) => {
                        content.set_sector(sector, &[byte; SECTOR]);
                        let from = (sector as usize * SECTOR).min(plain.len());
                        let to = (from + SECTOR).min(plain.len());
                        plain[from..to].fill(byte);
                    }
                }
            }
            prop_assert_eq!(content.len(), plain.len() as u64);
            prop_assert_eq!(content.read(0, usize::MAX), plain.clone());
            let from = (offset as usize).min(plain.len());
            let expected = plain[from..(from + len).min(plain.len())].to_vec();
            prop_assert_eq!(content.read(offset, len), expected);
            let mut expected = plain.into_iter().skip(sector as usize * SECTOR).take(SECTOR).collect::<Vec<_>>();
            expected.resize(SECTOR, 0);
            let mut found = [9; SECTOR];
            content.copy_sector(sector, &mut found);
            prop_assert_eq!(&found[..], &expected[..]);
            if content.is_hole(sector) {
                prop_assert!(expected.iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn clones_share_pages_until_one_writes() {
        let mut one = Content::default();
        one.write(0, &[1; 3 * PAGE]);
        let mut two = one.clone();
        two.write(PAGE as u64, &[2]);
        assert_eq!((one.read(PAGE as u64, 1), two.read(PAGE as u64, 1)), (vec![1], vec![2]));
        let shared = one
            .pages
            .iter()
            .zip(&two.pages)
            .filter(|(a, b)| matches!((a, b), (Some(a), Some(b)) if Arc::ptr_eq(a, b)));
        assert_eq!(shared.count(), 2);
    }
}
