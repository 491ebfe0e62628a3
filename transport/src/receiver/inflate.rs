//! Bodies that come compressed, within the same bounds as others.
//!
//! A body is decompressed when all of it is there, so that the state of a decompressor, which is larger than most bodies, is
//! never held for a sender that stalls.

#[cfg(any(feature = "gzip", feature = "zstd"))]
use std::io::{ErrorKind, Read};

use spanwire_core::limiter::{Account, Buffer};

#[cfg(any(feature = "gzip", feature = "zstd"))]
use super::body::in_a_while;
use super::body::{Draft, Trouble};
use super::connection::{Connection, Hold};

/// What is decompressed at a time.
#[cfg(any(feature = "gzip", feature = "zstd"))]
const CHUNK: usize = 16 << 10;

/// After so many bytes others have their turn.
#[cfg(any(feature = "gzip", feature = "zstd"))]
const TURN: usize = 256 << 10;

/// What a decompressor of gzip allocates while it works, and a chunk.
#[cfg(feature = "gzip")]
const GZIP_STATE: usize = (64 << 10) + CHUNK;

/// What a decompressor of zstd allocates while it works beside its window: its tables, a block on either side, and a chunk.
#[cfg(feature = "zstd")]
const ZSTD_STATE: usize = (448 << 10) + CHUNK;

/// The largest window of zstd that is accepted: what RFC 8878, 3.1.1.1.2, asks of a decoder.
#[cfg(feature = "zstd")]
const MOST_WINDOW_LOG: u32 = 23;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    Identity,
    #[cfg(feature = "gzip")]
    Gzip,
    /// The format of zlib, RFC 1950, which HTTP and gRPC call `deflate`.
    #[cfg(feature = "gzip")]
    Zlib,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// Those that are built in, as `grpc-accept-encoding` and `accept-encoding` list them.
    pub(crate) const NAMES: &'static str = match (cfg!(feature = "gzip"), cfg!(feature = "zstd")) {
        (false, false) => "identity",
        (true, false) => "identity,deflate,gzip",
        (false, true) => "identity,zstd",
        (true, true) => "identity,deflate,gzip,zstd",
    };

    /// The coding of a name, in any case; `None` for one that is not known, or not built in.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Some(Self::Identity);
        }
        #[cfg(feature = "gzip")]
        if name.eq_ignore_ascii_case("gzip") {
            return Some(Self::Gzip);
        }
        // The Collector's clients have both names for it.
        #[cfg(feature = "gzip")]
        if name.eq_ignore_ascii_case("deflate") || name.eq_ignore_ascii_case("zlib") {
            return Some(Self::Zlib);
        }
        #[cfg(feature = "zstd")]
        if name.eq_ignore_ascii_case("zstd") {
            return Some(Self::Zstd);
        }
        None
    }

    /// What a whole body stands for. At most `most` bytes come out: who sends more than that in few bytes is refused when
    /// the next one would.
    pub(crate) async fn decode(
        self,
        body: (Buffer, Hold),
        account: &Account,
        connection: &Connection,
        most: usize,
    ) -> Result<(Buffer, Hold), Trouble> {
        #[cfg(feature = "gzip")]
        let no_room = |refused| Trouble::of(refused, most);
        match self {
            Self::Identity => {
                let _ = (account, connection, most);
                Ok(body)
            }
            #[cfg(feature = "gzip")]
            Self::Gzip => {
                let input = body.0.as_slice();
                // RFC 1952, 2.3.1: ISIZE, the length of the last member. It is right where there is one member.
                let hint = input.last_chunk().map(|last| u32::from_le_bytes(*last));
                let hint = hint
                    .and_then(|len| usize::try_from(len).ok())
                    .filter(|len| *len <= most);
                let state = || account.acquire(GZIP_STATE);
                let _state =
                    in_a_while(connection, GZIP_STATE, || state().map_err(no_room)).await?;
                let begin = || Draft::decompressed(account, connection, hint, most);
                let draft = in_a_while(connection, most, begin).await?;
                let decoder = flate2::bufread::MultiGzDecoder::new(input);
                Ok(inflate("gzip", decoder, draft).await?.finish())
            }
            #[cfg(feature = "gzip")]
            Self::Zlib => {
                let input = body.0.as_slice();
                let state = || account.acquire(GZIP_STATE);
                let _state =
                    in_a_while(connection, GZIP_STATE, || state().map_err(no_room)).await?;
                let begin = || Draft::decompressed(account, connection, None, most);
                let draft = in_a_while(connection, most, begin).await?;
                let mut decoder = flate2::bufread::ZlibDecoder::new(input);
                let draft = inflate("deflate", &mut decoder, draft).await?;
                if decoder.get_ref().is_empty() {
                    return Ok(draft.finish());
                }
                Err(Trouble::Garbled {
                    coding: "deflate",
                    why: "bytes follow its end".into(),
                })
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                let input = body.0.as_slice();
                let garbled = |why: String| Trouble::Garbled {
                    coding: "zstd",
                    why,
                };
                let frame = ZstdFrame::read(input)
                    .ok_or_else(|| garbled("it has no frame header".into()))?;
                if frame.window > 1 << MOST_WINDOW_LOG {
                    return Err(garbled(format!(
                        "its window of {} bytes is larger than {}",
                        frame.window,
                        1 << MOST_WINDOW_LOG
                    )));
                }
                // What the library allocates follows from the header.
                let window = usize::try_from(frame.window).unwrap_or(usize::MAX);
                let content = frame.content.and_then(|len| usize::try_from(len).ok());
                let log = frame.window.next_power_of_two().trailing_zeros();
                let log = log.clamp(10, MOST_WINDOW_LOG);
                let alone = zstd::zstd_safe::find_frame_compressed_size(input) == Ok(input.len());
                let window = match content {
                    Some(content) if alone => content.min(window),
                    _ if alone => window,
                    // One behind it may use all of the largest window that is let through.
                    _ => 1 << log,
                };
                let state = || match account.acquire(window.saturating_add(ZSTD_STATE)) {
                    Ok(state) => Ok(state),
                    Err(refused) if refused.is_retryable() => Err(Trouble::NoRoom(refused)),
                    Err(refused) => Err(garbled(refused.to_string())),
                };
                let _state = in_a_while(connection, window, state).await?;
                let begin = || Draft::decompressed(account, connection, content, most);
                let draft = in_a_while(connection, most, begin).await?;
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)
                    .map_err(|error| garbled(error.to_string()))?;
                decoder
                    .window_log_max(log)
                    .map_err(|error| garbled(error.to_string()))?;
                Ok(inflate("zstd", decoder, draft).await?.finish())
            }
        }
    }
}

#[cfg(any(feature = "gzip", feature = "zstd"))]
async fn inflate(
    coding: &'static str,
    mut decoder: impl Read,
    mut draft: Draft,
) -> Result<Draft, Trouble> {
    let mut chunk = vec![0; CHUNK];
    let mut turn = 0;
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return Ok(draft),
            Ok(read) => {
                draft.put(chunk.get(..read).unwrap_or_default())?;
                turn += read;
                if turn >= TURN {
                    turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Trouble::Garbled {
                    coding,
                    why: error.to_string(),
                });
            }
        }
    }
}

/// What the header of a frame says. RFC 8878, 3.1.1.1.
#[cfg(feature = "zstd")]
#[derive(Debug, PartialEq, Eq)]
struct ZstdFrame {
    window: u64,
    content: Option<u64>,
}

#[cfg(feature = "zstd")]
impl ZstdFrame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
        let (descriptor, rest) = rest.split_first()?;
        let single_segment = descriptor & 0x20 != 0;
        let (window, rest) = if single_segment {
            (None, rest)
        } else {
            let (byte, rest) = rest.split_first()?;
            let base = 1_u64 << (10 + (byte >> 3));
            (Some(base + base / 8 * u64::from(byte & 7)), rest)
        };
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let rest = rest.get(dictionary..)?;
        let content = match (descriptor >> 6, single_segment) {
            (0, false) => None,
            (0, true) => Some(u64::from(*rest.first()?)),
            (1, _) => Some(u64::from(u16::from_le_bytes(*rest.first_chunk()?)) + 256),
            (2, _) => Some(u64::from(u32::from_le_bytes(*rest.first_chunk()?))),
            _ => Some(u64::from_le_bytes(*rest.first_chunk()?)),
        };
        Some(Self {
            // A single segment is its own window.
            window: window.or(content)?,
            content,
        })
    }
}

/// The codings that a receiver takes.
#[cfg(feature = "receive-http")]
pub(super) struct Codings {
    /// `None`: all that are built in.
    only: Option<Vec<Coding>>,
    names: String,
}

#[cfg(feature = "receive-http")]
impl Default for Codings {
    fn default() -> Self {
        Self {
            only: None,
            names: Coding::NAMES.into(),
        }
    }
}

#[cfg(feature = "receive-http")]
impl Codings {
    /// Those of these names, or one that is not built in.
    pub(super) fn of(names: &[String]) -> Result<Self, String> {
        let coding = |name: &String| Coding::from_name(name).ok_or_else(|| name.clone());
        let shown = names.iter().map(|name| match name.trim() {
            "" => "identity",
            name => name,
        });
        Ok(Self {
            only: Some(names.iter().map(coding).collect::<Result<_, _>>()?),
            names: shown.collect::<Vec<_>>().join(","),
        })
    }

    pub(super) fn take(&self, coding: Coding) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&coding))
    }

    /// As `accept-encoding` lists them.
    pub(super) fn names(&self) -> &str {
        &self.names
    }
}

#[cfg(test)]
mod tests;
