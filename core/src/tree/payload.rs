//! A node's name and data in one allocation: the only file of this crate that may use `unsafe`.
//!
//! ```text
//! | refs u32 | name_len u32 | data_len u32 (MAX = null) | name bytes (UTF-8) | data bytes |
//! ```
//!
//! 12 bytes of header, so that a 15-byte name with 100 bytes of data fills a 128-byte size class. `Arc<(Box<str>,
//! Option<Box<[u8]>>)>` would take three allocations and twice the memory.

#![allow(unsafe_code)]

use alloc::alloc::{alloc, dealloc, handle_alloc_error};
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};

/// What precedes the bytes.
#[repr(C)]
struct Header {
    refs: AtomicU32,
    name_len: u32,
    data_len: u32,
}

const HEADER: usize = size_of::<Header>();
const NULL: u32 = u32::MAX;

/// A shared, immutable (name, data) pair; cloning counts a reference.
pub(super) struct Payload(NonNull<Header>);

// SAFETY: the bytes are only written while one reference exists (`new`, `replace_data`), and the count is atomic.
unsafe impl Send for Payload {}
// SAFETY: as above; `&Payload` only reads.
unsafe impl Sync for Payload {}

impl Payload {
    /// Copies both into a new allocation. Null and empty data differ.
    pub(super) fn new(name: &str, data: Option<&[u8]>) -> Self {
        let name_len = u32::try_from(name.len()).expect("a name fits a frame, far below 4 GiB");
        let data_len = data.map_or(NULL, |d| {
            let len = u32::try_from(d.len()).expect("data fits a frame, far below 4 GiB");
            assert!(len != NULL, "data fits a frame, far below 4 GiB");
            len
        });
        let layout = layout(name_len, data_len);
        // SAFETY: the layout has at least the header's size, so it is not zero.
        let raw = unsafe { alloc(layout) };
        let Some(header) = NonNull::new(raw.cast::<Header>()) else { handle_alloc_error(layout) };
        // SAFETY: `raw` is valid for HEADER + name + data bytes, aligned for Header, and nobody else has it.
        unsafe {
            header.write(Header { refs: AtomicU32::new(1), name_len, data_len });
            let name_at = raw.add(HEADER);
            name_at.copy_from_nonoverlapping(name.as_ptr(), name.len());
            if let Some(d) = data {
                name_at.add(name.len()).copy_from_nonoverlapping(d.as_ptr(), d.len());
            }
        }
        Self(header)
    }

    fn header(&self) -> &Header {
        // SAFETY: `new` wrote a header there, and it lives as long as any reference.
        unsafe { self.0.as_ref() }
    }

    /// References to this allocation.
    #[cfg(test)]
    pub(super) fn refs(&self) -> u32 {
        self.header().refs.load(Ordering::Acquire)
    }

    /// The node's own name (the last component of its path).
    pub(super) fn name(&self) -> &str {
        let len = self.header().name_len as usize;
        // SAFETY: `new` copied `len` bytes of a `str` behind the header; nothing writes them afterwards.
        unsafe {
            let bytes = core::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(HEADER), len);
            core::str::from_utf8_unchecked(bytes)
        }
    }

    /// The data; null and empty differ.
    pub(super) fn data(&self) -> Option<&[u8]> {
        let &Header { name_len, data_len, .. } = self.header();
        if data_len == NULL {
            return None;
        }
        // SAFETY: `new` copied `data_len` bytes behind the name; `replace_data` writes them only under `&mut self`
        // with a single reference, so never while this borrow lives.
        let bytes = unsafe {
            let at = self.0.as_ptr().cast::<u8>().add(HEADER + name_len as usize);
            core::slice::from_raw_parts(at, data_len as usize)
        };
        Some(bytes)
    }

    /// Gives this reference other data under the same name; other references keep what they had.
    pub(super) fn replace_data(&mut self, data: Option<&[u8]>) {
        if let Some(new) = data
            && self.data().is_some_and(|old| old.len() == new.len())
            && self.header().refs.load(Ordering::Acquire) == 1
        {
            // SAFETY: `&mut self` is the only reference, so no slice of these bytes is out; the length is the same.
            // `new` cannot overlap: it would have to borrow from this payload.
            unsafe {
                let at = self.0.as_ptr().cast::<u8>().add(HEADER + self.header().name_len as usize);
                at.copy_from_nonoverlapping(new.as_ptr(), new.len());
            }
            return;
        }
        *self = Self::new(self.name(), data);
    }
}

fn layout(name_len: u32, data_len: u32) -> Layout {
    let data_len = if data_len == NULL { 0 } else { data_len as usize };
    let size = HEADER + name_len as usize + data_len;
    Layout::from_size_align(size, align_of::<Header>()).expect("far below the address space")
}

impl Clone for Payload {
    fn clone(&self) -> Self {
        // Relaxed as in `Arc`: a new reference is made from an existing one.
        let before = self.header().refs.fetch_add(1, Ordering::Relaxed);
        assert!(
            before < u32::MAX / 2,
            "invariant: a payload has fewer references than views × nodes could give"
        );
        Self(self.0)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if self.header().refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Whatever other references did happens before the memory goes.
        fence(Ordering::Acquire);
        let layout = layout(self.header().name_len, self.header().data_len);
        // SAFETY: this was the last reference, and the layout is the one `new` allocated with: lengths never change.
        unsafe { dealloc(self.0.as_ptr().cast::<u8>(), layout) }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({:?}, {:?} bytes)", self.name(), self.data().map(<[u8]>::len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::vec::Vec;

    #[test]
    fn a_payload_is_twelve_bytes_and_its_content() {
        assert_eq!(HEADER, 12);
        assert_eq!(layout(15, 100).size(), 127);
        assert_eq!(size_of::<Option<Payload>>(), 8);
    }

    #[test]
    fn null_and_empty_data_stay_different() {
        assert_eq!(Payload::new("n", None).data(), None);
        assert_eq!(Payload::new("n", Some(b"")).data(), Some(&b""[..]));
    }

    #[test]
    fn replacing_data_leaves_other_references_as_they_were() {
        let mut a = Payload::new("näme", Some(b"one"));
        let b = a.clone();
        a.replace_data(Some(b"two"));
        assert_eq!((a.data(), b.data()), (Some(&b"two"[..]), Some(&b"one"[..])));
        drop(b);
        let at = a.0;
        a.replace_data(Some(b"six"));
        assert_eq!(a.0, at, "same length and a single reference: written in place");
        a.replace_data(None);
        assert_eq!((a.name(), a.data()), ("näme", None));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the core has no threads, but its drivers share trees between theirs
    fn the_count_follows_clones_and_drops_across_threads() {
        let p = Payload::new("shared", Some(&[7; 300]));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let p = p.clone();
                thread::spawn(move || {
                    (0..100).for_each(|_| assert_eq!(p.clone().data().map(<[u8]>::len), Some(300)))
                })
            })
            .collect();
        workers.into_iter().for_each(|w| w.join().expect("no worker panics"));
        assert_eq!(p.refs(), 1);
    }
}
