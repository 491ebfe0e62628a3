//! Smaller requests, within the budget.
//!
//! What comes out is written into pieces of the working reserve, taken one by one as they are needed, and so is the
//! compressor's own state while it works. Where the reserve has no room, or nothing is gained, the request is sent as it is.

use core::fmt;
use core::str::FromStr;

/// How a request is compressed.
///
/// ```
/// use spanwire_transport::compression::Compression;
///
/// assert_eq!("none".parse(), Ok(Compression::None));
/// assert_eq!(
///     "br".parse::<Compression>().unwrap_err().to_string(),
///     "compression 'br' is not known, or not built in"
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None,
    /// gzip, RFC 1952, at its fastest level. Every OTLP server takes it.
    #[cfg(feature = "gzip")]
    Gzip,
    /// Zstandard, RFC 8878, at level 1. Not every server takes it.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Compression {
    /// The name, as `grpc-encoding` and `content-encoding` have it; `None` without compression.
    #[must_use]
    pub const fn encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            #[cfg(feature = "gzip")]
            Self::Gzip => Some("gzip"),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some("zstd"),
        }
    }
}

/// Reads `none`, `gzip` and `zstd`, in any case.
impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            #[cfg(feature = "gzip")]
            "gzip" => Ok(Self::Gzip),
            #[cfg(feature = "zstd")]
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnknownCompression {
                name: text.chars().take(40).collect(),
            }),
        }
    }
}

/// A compression that nobody knows, or whose feature is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCompression {
    name: String,
}

impl fmt::Display for UnknownCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_debug();
        write!(f, "compression '{name}' is not known, or not built in")
    }
}

impl core::error::Error for UnknownCompression {}

#[cfg(any(feature = "gzip", feature = "zstd"))]
mod pieces;

#[cfg(any(feature = "gzip", feature = "zstd"))]
pub(crate) use pieces::compress;
