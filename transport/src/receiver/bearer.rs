//! Who may send: tokens that clients show.

use core::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use subtle::{Choice, ConstantTimeEq};

use crate::headers::Stamp;

/// The most bytes of a file of tokens.
const MOST_BYTES: u64 = 64 << 10;

/// The tokens that clients may show in `authorization: Bearer TOKEN` (RFC 6750, 2.1); who shows none of them is refused.
///
/// Several may be given, so that one can take the place of another while both are in use. A file holds one a line, and is
/// read again whenever it has changed; while it can't be read nobody is let in, and clients are told to try again.
///
/// How long a comparison takes tells nothing of a token but its length.
///
/// ```
/// use spanwire_transport::receiver::BearerTokens;
///
/// let tokens = BearerTokens::new().token("s3cret")?.file("/var/run/secrets/tokens");
/// assert!(!format!("{tokens:?}").contains("s3cret"));
/// assert_eq!(
///     BearerTokens::new().token("two words").unwrap_err().to_string(),
///     "a bearer token is empty, or has characters that no token may have"
/// );
/// # Ok::<(), spanwire_transport::receiver::InvalidToken>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "settings do nothing by themselves"]
pub struct BearerTokens {
    tokens: Vec<Arc<str>>,
    file: Option<PathBuf>,
}

impl BearerTokens {
    /// No token: nobody is let in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets in who shows this one, too. White space at its ends is no part of it.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] when it is none: visible ASCII characters, one at least.
    pub fn token(mut self, token: &str) -> Result<Self, InvalidToken> {
        self.tokens.push(checked(token).ok_or(InvalidToken)?.into());
        Ok(self)
    }

    /// Lets in who shows one of those in a file, too, as it is now.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }
}

impl fmt::Debug for BearerTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerTokens")
            .field("tokens", &format_args!("<{} hidden>", self.tokens.len()))
            .field("file", &self.file)
            .finish()
    }
}

/// A text that is no bearer token. Does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bearer token is empty, or has characters that no token may have")
    }
}

impl core::error::Error for InvalidToken {}

fn checked(token: &str) -> Option<&str> {
    let token = token.trim();
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    (visible && !token.is_empty()).then_some(token)
}

/// What became of what a client showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Granted,
    /// It shows nothing, or nothing that is known.
    Denied,
    /// The file of tokens can't be read.
    Unknown,
}

/// [`BearerTokens`] as they are now. Belongs to one receiver.
pub(crate) struct Gate {
    tokens: BearerTokens,
    known: Mutex<Option<(Stamp, Arc<[String]>)>>,
}

impl Gate {
    pub(crate) fn new(tokens: BearerTokens) -> Self {
        Self {
            tokens,
            known: Mutex::new(None),
        }
    }

    /// Looks at what stands in `authorization`.
    pub(crate) fn check(&self, authorization: Option<&[u8]>) -> Pass {
        let file = match &self.tokens.file {
            None => Some(Arc::default()),
            Some(path) => self.read(path),
        };
        let Some(shown) = authorization.and_then(token) else {
            return Pass::Denied;
        };
        // All of them are looked at, whichever it is.
        let mut known = Choice::from(0);
        for token in &self.tokens.tokens {
            known |= token.as_bytes().ct_eq(shown);
        }
        for token in file.iter().flat_map(|tokens| tokens.iter()) {
            known |= token.as_bytes().ct_eq(shown);
        }
        match (bool::from(known), file) {
            (true, _) => Pass::Granted,
            (false, Some(_)) => Pass::Denied,
            (false, None) => Pass::Unknown,
        }
    }

    /// The tokens in the file, read again where it has changed.
    fn read(&self, path: &Path) -> Option<Arc<[String]>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Older than the text, so that a write in between is seen next time.
        let stamp = Stamp::of(path).ok()?;
        if let Some((of, tokens)) = &*known
            && *of == stamp
        {
            return Some(tokens.clone());
        }
        *known = None;
        let mut text = String::new();
        let file = fs::File::open(path).ok()?;
        file.take(MOST_BYTES + 1).read_to_string(&mut text).ok()?;
        if text.len() as u64 > MOST_BYTES {
            return None;
        }
        let tokens: Arc<[String]> = text.lines().filter_map(checked).map(String::from).collect();
        // A writer that truncates first has not written yet.
        if tokens.is_empty() {
            return None;
        }
        *known = Some((stamp, tokens.clone()));
        Some(tokens)
    }
}

/// The token in the value of `authorization`. The scheme may be in any case: RFC 9110, 11.1.
fn token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shows_a_known_token_is_let_in() {
        let gate = Gate::new(
            BearerTokens::new()
                .token("one")
                .unwrap()
                .token("two\n")
                .unwrap(),
        );
        for (shown, pass) in [
            (Some("Bearer one"), Pass::Granted),
            (Some("bearer  two "), Pass::Granted),
            (Some("BEARER two"), Pass::Granted),
            (Some("Bearer on"), Pass::Denied),
            (Some("Bearer onee"), Pass::Denied),
            (Some("Bearer "), Pass::Denied),
            (Some("Bearer"), Pass::Denied),
            (Some("Basic one"), Pass::Denied),
            (Some("one"), Pass::Denied),
            (Some("Bearer One"), Pass::Denied),
            (None, Pass::Denied),
        ] {
            assert_eq!(gate.check(shown.map(str::as_bytes)), pass, "{shown:?}");
        }
        let nobody = Gate::new(BearerTokens::new());
        assert_eq!(nobody.check(Some(b"Bearer one")), Pass::Denied);
    }

    #[test]
    fn a_file_of_tokens_is_read_again_and_lets_nobody_in_while_it_cant_be() {
        let path = std::env::temp_dir().join(format!("spanwire-tokens-{}", std::process::id()));
        let gate = Gate::new(BearerTokens::new().token("fixed").unwrap().file(&path));
        let pass = |token: &str| gate.check(Some(format!("Bearer {token}").as_bytes()));
        let _ = fs::remove_file(&path);
        assert_eq!((pass("a"), pass("fixed")), (Pass::Unknown, Pass::Granted));
        fs::write(&path, "a\n\n bb\r\n").unwrap();
        assert_eq!(
            (pass("a"), pass("bb"), pass("c")),
            (Pass::Granted, Pass::Granted, Pass::Denied)
        );
        fs::write(&path, "ccc\n").unwrap();
        assert_eq!((pass("a"), pass("ccc")), (Pass::Denied, Pass::Granted));
        fs::write(&path, "").unwrap();
        assert_eq!((pass("ccc"), pass("fixed")), (Pass::Unknown, Pass::Granted));
        fs::write(&path, "x".repeat(70_000)).unwrap();
        assert_eq!(pass("ccc"), Pass::Unknown);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn tokens_are_hidden() {
        let tokens = BearerTokens::new()
            .token("s3cret")
            .unwrap()
            .file("/run/tokens");
        let shown = format!("{tokens:?} {tokens:#?}");
        assert!(
            !shown.contains("s3cret") && shown.contains("/run/tokens"),
            "{shown}"
        );
        for bad in ["", " ", "a b", "a\nb", "s3cretü"] {
            let error = BearerTokens::new().token(bad).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("s3cret"));
        }
    }
}
