//! Compressed bytes, in pieces that are paid for.

use std::io::{self, Write};

use bytes::Bytes;
use spanwire_core::limiter::{Account, Buffer};

use super::Compression;

/// The most bytes of a piece.
const PIECE: usize = 64 << 10;

/// What a compressor of gzip allocates while it works: window, hash chains and pending bytes.
#[cfg(feature = "gzip")]
const GZIP_STATE: usize = 384 << 10;

/// What a compressor of zstd allocates at level 1: window, tables and a block on either side.
#[cfg(feature = "zstd")]
const ZSTD_STATE: usize = 3 << 19;

/// Compresses a request of `len` bytes. `None` when the reserve has no room for it, or it would not be smaller.
pub(crate) fn compress(
    compression: Compression,
    chunks: impl Iterator<Item = Bytes>,
    len: usize,
    reserve: &Account,
) -> Option<Vec<Bytes>> {
    let pieces = Pieces {
        reserve: reserve.clone(),
        full: Vec::new(),
        open: None,
        // A piece as large as what goes in is large enough.
        piece: len.clamp(1, PIECE),
        left: len,
    };
    match compression {
        Compression::None => None,
        #[cfg(feature = "gzip")]
        Compression::Gzip => {
            let _state = reserve.acquire(GZIP_STATE).ok()?;
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(pieces, level);
            write_all(&mut encoder, chunks).ok()?;
            Some(encoder.finish().ok()?.into_vec())
        }
        #[cfg(feature = "zstd")]
        Compression::Zstd => {
            let _state = reserve.acquire(ZSTD_STATE).ok()?;
            let mut encoder = zstd::stream::write::Encoder::new(pieces, 1).ok()?;
            write_all(&mut encoder, chunks).ok()?;
            Some(encoder.finish().ok()?.into_vec())
        }
    }
}

fn write_all(to: &mut impl Write, chunks: impl Iterator<Item = Bytes>) -> io::Result<()> {
    for chunk in chunks {
        to.write_all(&chunk)?;
    }
    Ok(())
}

/// Takes what a compressor writes. Refuses to become as long as what went in.
struct Pieces {
    reserve: Account,
    full: Vec<Bytes>,
    open: Option<Buffer>,
    piece: usize,
    /// How many bytes may still come.
    left: usize,
}

impl Pieces {
    fn into_vec(mut self) -> Vec<Bytes> {
        self.full.extend(self.open.take().map(Buffer::freeze));
        self.full
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= self.left {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let permit = self.reserve.acquire(self.piece).map_err(io::Error::other)?;
                permit.into_buffer()
            }
        };
        let taken = bytes.len().min(open.remaining());
        let fits = open.try_put(bytes.get(..taken).unwrap_or_default());
        debug_assert!(fits, "no more is put in than fits");
        self.left -= taken;
        if open.remaining() == 0 {
            self.full.push(open.freeze());
        } else {
            self.open = Some(open);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use spanwire_core::limiter::MemoryLimiter;

    use super::*;

    const KINDS: &[Compression] = &[
        #[cfg(feature = "gzip")]
        Compression::Gzip,
        #[cfg(feature = "zstd")]
        Compression::Zstd,
    ];

    fn expand(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::None => unreachable!("it is not among the kinds"),
            #[cfg(feature = "gzip")]
            Compression::Gzip => flate2::read::GzDecoder::new(bytes)
                .read_to_end(&mut out)
                .unwrap(),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::stream::read::Decoder::new(bytes)
                .unwrap()
                .read_to_end(&mut out)
                .unwrap(),
        };
        out
    }

    /// Lines as spans have them: much the same, and each another.
    fn text(len: usize) -> Vec<u8> {
        let mut text = String::new();
        let mut number = 1_u64;
        while text.len() < len {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text += &format!("kubelet.sync pod={number:016x} phase=running\n");
        }
        text.truncate(len);
        text.into_bytes()
    }

    #[test]
    fn what_went_in_comes_out_and_every_byte_is_paid_for() {
        let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
        for compression in KINDS {
            for len in [1000, 70_000, 1 << 20] {
                let text = text(len);
                let chunks = text.chunks(777).map(Bytes::copy_from_slice);
                let pieces = compress(*compression, chunks, len, &limiter.reserve()).unwrap();
                let total: usize = pieces.iter().map(Bytes::len).sum();
                assert!(total < len * 3 / 4, "{compression:?}: {len} became {total}");
                let in_use = limiter.usage().reserve.in_use;
                assert!(in_use >= total && in_use <= total + PIECE + 256 * pieces.len());
                assert_eq!(expand(*compression, &pieces.concat()), text);
                drop(pieces);
                assert_eq!(limiter.usage().in_use, 0);
            }
        }
        assert!(limiter.usage().reserve.high_water <= limiter.reserve().limit());
    }

    #[test]
    fn what_does_not_shrink_or_has_no_room_is_left_as_it_is() {
        let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
        let small = MemoryLimiter::builder(4 << 20)
            .reserve(100_000)
            .build()
            .unwrap();
        for compression in KINDS {
            let short = Bytes::from_static(b"abc");
            let once = std::iter::once(short);
            assert!(compress(*compression, once, 3, &limiter.reserve()).is_none());
            let long = Bytes::from(text(1 << 20));
            let once = std::iter::once(long.clone());
            assert!(compress(*compression, once, long.len(), &small.reserve()).is_none());
            assert_eq!(small.usage().in_use, 0);
        }
        assert_eq!(limiter.usage().in_use, 0);
    }
}
