//! Compressed snapshots as streams, both ways: bytes go in, bytes come out, in pieces (disk format §5).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, BytesMut};
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

use super::{Compression, snappy};

/// A gzip member's first ten bytes, as Java's `GZIPOutputStream` writes them.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];

/// How hard the deflater looks for matches; without the flag of a zlib header.
const PROBES: u32 = 0x80;

/// Compresses a stream.
#[derive(Clone)]
pub(super) enum Compressor {
    /// Nothing to do.
    None,
    /// One gzip member.
    Gzip {
        /// The deflater.
        deflate: Box<CompressorOxide>,
        /// Of what went in.
        crc: crc32fast::Hasher,
        /// Bytes that went in, modulo 2^32.
        len: u32,
    },
    /// snappy-java's stream.
    Snappy {
        /// The block that is being gathered.
        block: Vec<u8>,
    },
}

impl Compressor {
    /// Begins a stream; its header goes out at once.
    pub(super) fn new(compression: Compression, out: &mut BytesMut) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => {
                out.put_slice(&GZIP_HEADER);
                let deflate = Box::new(CompressorOxide::new(PROBES));
                Self::Gzip { deflate, crc: crc32fast::Hasher::new(), len: 0 }
            }
            Compression::Snappy => {
                out.put_slice(&snappy::HEADER);
                Self::Snappy { block: Vec::with_capacity(snappy::BLOCK) }
            }
        }
    }

    /// Takes bytes.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut BytesMut) {
        match self {
            Self::None => out.put_slice(bytes),
            Self::Gzip { deflate, crc, len } => {
                crc.update(bytes);
                *len = len.wrapping_add(bytes.len() as u32);
                let (status, _) = compress_to_output(deflate, bytes, TDEFLFlush::None, |piece| {
                    out.put_slice(piece);
                    true
                });
                assert!(status == TDEFLStatus::Okay, "invariant: a deflater takes all input");
            }
            Self::Snappy { block } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (part, after) = rest.split_at(rest.len().min(snappy::BLOCK - block.len()));
                    block.extend_from_slice(part);
                    rest = after;
                    if block.len() == snappy::BLOCK {
                        snappy::put_block(block, out);
                        block.clear();
                    }
                }
            }
        }
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, out: &mut BytesMut) {
        match self {
            Self::None => {}
            Self::Gzip { deflate, crc, len } => {
                let (status, _) = compress_to_output(deflate, &[], TDEFLFlush::Finish, |piece| {
                    out.put_slice(piece);
                    true
                });
                assert!(status == TDEFLStatus::Done, "invariant: a deflater ends when told to");
                out.put_u32_le(crc.clone().finalize());
                out.put_u32_le(*len);
            }
            Self::Snappy { block } => {
                if !block.is_empty() {
                    snappy::put_block(block, out);
                    block.clear();
                }
            }
        }
    }
}

/// Uncompresses a stream. Holds at most one block of it.
pub(super) struct Decompressor {
    input: BytesMut,
    kind: Kind,
}

enum Kind {
    None,
    Gzip(Box<Gzip>),
    Snappy { header_seen: bool },
}

struct Gzip {
    state: Option<Box<InflateState>>,
    crc: crc32fast::Hasher,
    len: u32,
    done: bool,
}

impl Decompressor {
    pub(super) fn new(compression: Compression) -> Self {
        let kind = match compression {
            Compression::None => Kind::None,
            Compression::Gzip => {
                Kind::Gzip(Box::new(Gzip { state: None, crc: crc32fast::Hasher::new(), len: 0, done: false }))
            }
            Compression::Snappy => Kind::Snappy { header_seen: false },
        };
        Self { input: BytesMut::new(), kind }
    }

    /// Takes bytes of the file, appends what they say. The error is for people.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), String> {
        match &mut self.kind {
            Kind::None => out.put_slice(bytes),
            Kind::Gzip(gzip) => {
                self.input.put_slice(bytes);
                gzip.run(&mut self.input, out)?;
            }
            Kind::Snappy { header_seen } => {
                self.input.put_slice(bytes);
                unsnap(&mut self.input, header_seen, out)?;
            }
        }
        Ok(())
    }

    /// No more bytes come: is the stream whole?
    pub(super) fn finish(&self) -> Result<(), String> {
        let whole = match &self.kind {
            Kind::None => true,
            Kind::Gzip(gzip) => gzip.done,
            Kind::Snappy { header_seen } => *header_seen && self.input.is_empty(),
        };
        if whole { Ok(()) } else { Err(String::from("the compressed stream is cut off")) }
    }
}

impl Gzip {
    fn run(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), String> {
        if self.state.is_none() {
            let Some(header) = header_len(input)? else { return Ok(()) };
            input.advance(header);
            self.state = Some(InflateState::new_boxed(DataFormat::Raw));
        }
        let state = self.state.as_mut().expect("made above");
        let mut piece = vec![0; 64 * 1024];
        while !self.done {
            let result = inflate(state, input, &mut piece, MZFlush::None);
            input.advance(result.bytes_consumed);
            let written = &piece[..result.bytes_written];
            self.crc.update(written);
            self.len = self.len.wrapping_add(written.len() as u32);
            out.put_slice(written);
            match result.status {
                Ok(MZStatus::StreamEnd) => {
                    if input.len() < 8 {
                        // The trailer has not come yet: the inflater says so again when it has.
                        return Ok(());
                    }
                    let (crc, len) = (input.get_u32_le(), input.get_u32_le());
                    if crc != self.crc.clone().finalize() || len != self.len {
                        return Err(String::from(
                            "the gzip stream's CRC or length does not match its content",
                        ));
                    }
                    self.done = true;
                }
                Ok(_) if result.bytes_consumed == 0 && result.bytes_written == 0 => return Ok(()),
                Ok(_) => {}
                Err(miniz_oxide::MZError::Buf) => return Ok(()),
                Err(error) => return Err(alloc::format!("the gzip stream is damaged: {error:?}")),
            }
        }
        Ok(())
    }
}

/// Bytes of a gzip member's header; `None` until all of it is there.
fn header_len(input: &[u8]) -> Result<Option<usize>, String> {
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const EXTRA: u8 = 4;
    const CRC: u8 = 2;
    let Some(fixed) = input.first_chunk::<10>() else { return Ok(None) };
    if fixed[..3] != GZIP_HEADER[..3] || fixed[3] & 0xe0 != 0 {
        return Err(String::from("no gzip header at its beginning"));
    }
    let flags = fixed[3];
    let mut at = 10;
    if flags & EXTRA != 0 {
        let Some(len) = input.get(at..at + 2) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let Some(end) = input.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0)) else {
                return Ok(None);
            };
            at += end + 1;
        }
    }
    if flags & CRC != 0 {
        at += 2;
    }
    Ok((input.len() >= at).then_some(at))
}

fn unsnap(input: &mut BytesMut, header_seen: &mut bool, out: &mut BytesMut) -> Result<(), String> {
    if !*header_seen {
        let Some(header) = input.first_chunk::<16>() else { return Ok(()) };
        if header[..8] != snappy::MAGIC {
            return Err(String::from("no snappy header at its beginning"));
        }
        input.advance(16);
        *header_seen = true;
    }
    while let Some(len) = input.first_chunk().copied().map(i32::from_be_bytes) {
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= snappy::COMPRESSED_MAX) else {
            return Err(alloc::format!("a snappy block's length is {len}"));
        };
        if input.len() < 4 + len {
            return Ok(());
        }
        input.advance(4);
        let block = input.split_to(len);
        let Some(bytes) = snappy::decompress(&block) else {
            return Err(String::from("a snappy block is damaged"));
        };
        out.put_slice(&bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read, Write};

    fn compressed(compression: Compression, pieces: &[Vec<u8>]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut compressor = Compressor::new(compression, &mut out);
        pieces.iter().for_each(|piece| compressor.push(piece, &mut out));
        compressor.finish(&mut out);
        out
    }

    fn uncompressed(compression: Compression, bytes: &[u8], piece: usize) -> Result<BytesMut, String> {
        let mut out = BytesMut::new();
        let mut decompressor = Decompressor::new(compression);
        for piece in bytes.chunks(piece) {
            decompressor.push(piece, &mut out)?;
        }
        decompressor.finish().map(|()| out)
    }

    /// Runs, repeats and noise: what matters to a compressor.
    fn content() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let run = (any::<u8>(), 0usize..70_000).prop_map(|(b, n)| vec![b; n]);
        let noise = proptest::collection::vec(any::<u8>(), 0..2_000);
        let repeat =
            (proptest::collection::vec(any::<u8>(), 1..40), 0usize..1_000).prop_map(|(v, n)| v.repeat(n));
        proptest::collection::vec(prop_oneof![run, noise, repeat], 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_was_compressed_comes_back(pieces in content(), piece in 1usize..5_000) {
            let whole = pieces.concat();
            for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
                let file = compressed(compression, &pieces);
                prop_assert_eq!(&uncompressed(compression, &file, piece).unwrap()[..], &whole[..]);
            }
        }

        #[test]
        fn other_implementations_agree(pieces in content()) {
            let whole = pieces.concat();
            let mut read = Vec::new();
            let gzip = compressed(Compression::Gzip, &pieces);
            flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut read).unwrap();
            prop_assert_eq!(&read, &whole);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&whole).unwrap();
            let theirs = encoder.finish().unwrap();
            prop_assert_eq!(&uncompressed(Compression::Gzip, &theirs, 999).unwrap()[..], &whole[..]);
            for block in whole.chunks(snappy::BLOCK) {
                let theirs = snap::raw::Encoder::new().compress_vec(block).unwrap();
                prop_assert_eq!(&snappy::decompress(&theirs).unwrap()[..], block);
                let mut ours = BytesMut::new();
                snappy::put_block(block, &mut ours);
                prop_assert_eq!(&snap::raw::Decoder::new().decompress_vec(&ours[4..]).unwrap()[..], block);
            }
        }

        #[test]
        fn no_bytes_upset_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..60) {
            for compression in [Compression::Gzip, Compression::Snappy] {
                let _ = uncompressed(compression, &bytes, 7);
                let mut file = compressed(compression, &[bytes.clone(), bytes.clone()]);
                let _ = snappy::decompress(&bytes);
                if let Some(byte) = file.get_mut(cut) {
                    *byte ^= 0x55;
                }
                let _ = uncompressed(compression, &file, 50);
                let cut = cut.min(file.len() - 1);
                prop_assert!(compression == Compression::Snappy || uncompressed(compression, &file[..cut], 50).is_err());
            }
        }
    }

    #[test]
    fn what_repeats_gets_smaller() {
        let input = b"/zookeeper/quota/".repeat(4_000);
        for compression in [Compression::Gzip, Compression::Snappy] {
            let file = compressed(compression, core::slice::from_ref(&input));
            assert!(file.len() * 8 < input.len(), "{compression:?}: {}", file.len());
        }
    }
}
