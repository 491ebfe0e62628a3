//! Length-prefixed messages of gRPC over HTTP/2.

use core::fmt;

/// The bytes before a message: a flag and a length. gRPC over HTTP/2, "Length-Prefixed-Message".
pub const FRAME_PREFIX: usize = 5;

/// What stands before a message of `len` bytes; `None` when so many have no place in a message, which ends at 4 GiB.
///
/// ```
/// use spanwire_transport::otlp::frame_prefix;
///
/// assert_eq!(frame_prefix(258, false), Some([0, 0, 0, 1, 2]));
/// ```
#[must_use]
pub fn frame_prefix(len: usize, compressed: bool) -> Option<[u8; FRAME_PREFIX]> {
    let [a, b, c, d] = u32::try_from(len).ok()?.to_be_bytes();
    Some([u8::from(compressed), a, b, c, d])
}

/// The message of a unary answer, of which `bytes` is the whole body.
///
/// # Errors
///
/// [`FrameError`] when there is no whole message in it, more than one, or a compressed one, which nobody asked for.
pub fn read_frame(bytes: &[u8]) -> Result<&[u8], FrameError> {
    let Some(([flag, length @ ..], message)) = bytes.split_first_chunk::<FRAME_PREFIX>() else {
        return Err(if bytes.is_empty() {
            FrameError::Missing
        } else {
            FrameError::Truncated
        });
    };
    if *flag != 0 {
        return Err(FrameError::Compressed);
    }
    let len = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| FrameError::Truncated)?;
    match message.len().cmp(&len) {
        core::cmp::Ordering::Less => Err(FrameError::Truncated),
        core::cmp::Ordering::Equal => Ok(message),
        core::cmp::Ordering::Greater => Err(FrameError::TrailingBytes),
    }
}

/// What is wrong with the body of a unary answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// It is empty.
    Missing,
    /// It ends inside the message.
    Truncated,
    /// Something follows the message.
    TrailingBytes,
    /// The message is compressed.
    Compressed,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the answer has no message",
            Self::Truncated => "the answer ends inside its message",
            Self::TrailingBytes => "the answer has more than one message",
            Self::Compressed => "the answer is compressed, which was not asked for",
        })
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_framed_and_read_back() {
        for len in [0, 1, 255, 256, 65_536] {
            let message = vec![7; len];
            let mut body = frame_prefix(len, false).unwrap().to_vec();
            body.extend_from_slice(&message);
            assert_eq!(read_frame(&body), Ok(&message[..]));
            body.push(0);
            assert_eq!(read_frame(&body), Err(FrameError::TrailingBytes));
        }
        assert_eq!(frame_prefix(5, true), Some([1, 0, 0, 0, 5]));
    }

    #[test]
    fn bad_frames_are_named() {
        for (bytes, error) in [
            (&[][..], FrameError::Missing),
            (&[0, 0, 0], FrameError::Truncated),
            (&[0, 0, 0, 0, 1], FrameError::Truncated),
            (&[0, 0xff, 0xff, 0xff, 0xff, 1], FrameError::Truncated),
            (&[1, 0, 0, 0, 0], FrameError::Compressed),
        ] {
            assert_eq!(read_frame(bytes), Err(error), "{bytes:?}");
        }
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn four_gibibytes_have_no_frame() {
        assert_eq!(frame_prefix(1 << 32, false), None);
    }
}
