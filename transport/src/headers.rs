//! What is sent along with every request: tokens, tenants, routing.
//!
//! A value is given as text, read from an environment variable, or read from a file that is looked at before each
//! request, so that a rotated token needs no restart. Names are shown; values never are.

use core::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The most bytes of a value that is read from a file.
const MOST_BYTES: u64 = 64 << 10;

/// Names that OTLP, gRPC or HTTP set by themselves.
const RESERVED: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// A list of headers, in order. A name that is set again is replaced.
///
/// ```
/// use spanwire_transport::headers::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("X-Tenant", "blue")?;
/// headers.set("authorization", "Bearer s3cr3t")?;
/// assert_eq!(format!("{headers:?}"), r#"{"x-tenant": <hidden>, "authorization": <hidden>}"#);
/// # Ok::<(), spanwire_transport::headers::InvalidHeader>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    entries: Vec<(String, Source)>,
}

#[derive(Clone)]
enum Source {
    Text(Arc<str>),
    File { path: PathBuf, prefix: Arc<str> },
}

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, in lower case, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &**name)
    }

    /// Sets a header to a value.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the name or the value can't stand in a header, or the name is not for a user to set.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidHeader> {
        let name = checked_name(name)?;
        let value =
            checked_value(value).ok_or_else(|| InvalidHeader::Value { name: name.clone() })?;
        self.put(name, Source::Text(value.into()));
        Ok(())
    }

    /// Sets a header to the value of an environment variable, as it is now.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), and when the variable is not there.
    pub fn set_from_env(&mut self, name: &str, variable: &str) -> Result<(), InvalidHeader> {
        let name = checked_name(name)?;
        let Some(value) = std::env::var_os(variable) else {
            return Err(InvalidHeader::NoVariable {
                name,
                variable: variable.into(),
            });
        };
        let value = value
            .into_string()
            .ok()
            .as_deref()
            .and_then(checked_value)
            .map(Arc::from);
        let value = value.ok_or_else(|| InvalidHeader::Value { name: name.clone() })?;
        self.put(name, Source::Text(value));
        Ok(())
    }

    /// Sets a header to what stands in a file, with `prefix` (`"Bearer "`, or nothing) before it. The file is read again
    /// whenever it has changed. White space at its ends, such as the newline of a mounted secret, is no part of the value.
    ///
    /// The file need not be there yet: until it is, exports fail and are tried again.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] when the name or the prefix can't stand in a header, or the name is not for a user to set.
    pub fn set_from_file(
        &mut self,
        name: &str,
        prefix: &str,
        path: impl Into<PathBuf>,
    ) -> Result<(), InvalidHeader> {
        let name = checked_name(name)?;
        if !prefix.is_empty() && checked_value(prefix.trim_end()).is_none() {
            return Err(InvalidHeader::Value { name });
        }
        let source = Source::File {
            path: path.into(),
            prefix: prefix.trim_start().into(),
        };
        self.put(name, source);
        Ok(())
    }

    /// Sets every header of `others` as well; where both have a name, theirs wins.
    pub fn merge(&mut self, others: &Self) {
        for (name, source) in &others.entries {
            self.put(name.clone(), source.clone());
        }
    }

    fn put(&mut self, name: String, source: Source) {
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = source,
            None => self.entries.push((name, source)),
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, source) in &self.entries {
            match source {
                Source::Text(_) => map.entry(name, &format_args!("<hidden>")),
                Source::File { path, .. } => {
                    map.entry(name, &format_args!("<hidden, from {}>", path.display()))
                }
            };
        }
        map.finish()
    }
}

/// A name in lower case, if it may stand in a header (RFC 9110, 5.6.2) and is not set by the exporter itself.
fn checked_name(name: &str) -> Result<String, InvalidHeader> {
    let name = name.trim().to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(InvalidHeader::Name { name });
    }
    // gRPC keeps `grpc-` for itself, and takes base64 under names that end in `-bin`.
    if RESERVED.contains(&&*name) || name.starts_with("grpc-") {
        return Err(InvalidHeader::Reserved { name });
    }
    Ok(name)
}

/// A value without white space at its ends, if it may stand in a header: visible ASCII, space and tab.
fn checked_value(value: &str) -> Option<&str> {
    let value = value.trim();
    value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        .then_some(value)
}

/// Why a header can't be set. Never shows a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// The name is empty, or has a character that no name may have.
    Name {
        /// The name.
        name: String,
    },
    /// The exporter, or the protocol, sets this one.
    Reserved {
        /// The name.
        name: String,
    },
    /// The value has a character that no value may have: a line break, another control character, or one outside of ASCII.
    Value {
        /// The name.
        name: String,
    },
    /// The environment variable is not there.
    NoVariable {
        /// The name.
        name: String,
        /// The variable.
        variable: String,
    },
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(f, "header name '{}' is not valid", name.escape_debug()),
            Self::Reserved { name } => write!(f, "header '{name}' is set by the exporter itself"),
            Self::Value { name } => write!(
                f,
                "header '{name}' has a value with characters other than visible ASCII and spaces"
            ),
            Self::NoVariable { name, variable } => write!(
                f,
                "header '{name}' needs environment variable {variable}, which is not set"
            ),
        }
    }
}

impl core::error::Error for InvalidHeader {}

/// The values of [`Headers`] as they are now. Belongs to one exporter in one process.
pub(crate) struct CurrentHeaders {
    entries: Vec<(String, Current)>,
}

enum Current {
    Text(Arc<str>),
    File(Mutex<WatchedFile>),
}

struct WatchedFile {
    path: PathBuf,
    prefix: Arc<str>,
    /// What the file looked like when it was read, and what stood in it.
    known: Option<(Stamp, Arc<str>)>,
}

impl CurrentHeaders {
    pub(crate) fn new(headers: &Headers) -> Self {
        let entries = headers.entries.iter().map(|(name, source)| {
            let current = match source {
                Source::Text(text) => Current::Text(text.clone()),
                Source::File { path, prefix } => Current::File(Mutex::new(WatchedFile {
                    path: path.clone(),
                    prefix: prefix.clone(),
                    known: None,
                })),
            };
            (name.clone(), current)
        });
        Self {
            entries: entries.collect(),
        }
    }

    /// Names and values, read again where a file has changed.
    pub(crate) fn read(&self) -> impl Iterator<Item = Result<(&str, Arc<str>), UnreadableHeader>> {
        self.entries.iter().map(|(name, current)| {
            let value = match current {
                Current::Text(text) => Ok(text.clone()),
                Current::File(file) => file
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .read()
                    .map_err(|why| UnreadableHeader {
                        name: name.clone(),
                        why,
                    }),
            };
            value.map(|value| (&**name, value))
        })
    }
}

impl WatchedFile {
    fn read(&mut self) -> Result<Arc<str>, String> {
        let unreadable = |error: io::Error| format!("{}: {error}", self.path.display());
        let stamp = Stamp::of(&self.path).map_err(unreadable)?;
        if let Some((known, value)) = &self.known
            && *known == stamp
        {
            return Ok(value.clone());
        }
        let mut text = String::new();
        fs::File::open(&self.path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
            .map_err(unreadable)?;
        let what = |what| format!("{} {what}", self.path.display());
        if text.len() as u64 > MOST_BYTES {
            return Err(what("is longer than 64 KiB"));
        }
        let value = checked_value(&text)
            .ok_or_else(|| what("has characters other than visible ASCII and spaces"))?;
        // A writer that truncates first has not written yet.
        if value.is_empty() {
            return Err(what("is empty"));
        }
        let value: Arc<str> = format!("{}{value}", self.prefix).into();
        // The stamp is older than the text, so a write in between is seen next time.
        self.known = Some((stamp, value.clone()));
        Ok(value)
    }
}

/// A header whose value can't be had now. Shows the file, never what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadableHeader {
    name: String,
    why: String,
}

impl fmt::Display for UnreadableHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header '{}' can't be read: {}", self.name, self.why)
    }
}

/// What a file looks like from outside. Another stamp means another file, or another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    changed: Option<SystemTime>,
    len: u64,
    /// A file that was put in the place of another has another number, where there are such.
    number: u64,
}

impl Stamp {
    /// The stamp of the file that a path leads to; through links, as mounted secrets are.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self {
            changed: metadata.modified().ok(),
            len: metadata.len(),
            number: number(&metadata),
        })
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this test's own, gone when it is dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("spanwire-headers-{}-{name}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn read(current: &CurrentHeaders) -> Result<Vec<(String, String)>, String> {
        current
            .read()
            .map(|entry| {
                entry
                    .map(|(name, value)| (name.into(), value.to_string()))
                    .map_err(|error| error.to_string())
            })
            .collect()
    }

    #[test]
    fn names_and_values_are_checked() {
        let mut headers = Headers::new();
        for (name, value, error) in [
            ("", "x", "header name '' is not valid"),
            ("a b", "x", "header name 'a b' is not valid"),
            ("a\nb", "x", "header name 'a\\nb' is not valid"),
            ("ä", "x", "header name 'ä' is not valid"),
            (
                "Content-Type",
                "x",
                "header 'content-type' is set by the exporter itself",
            ),
            (
                "grpc-timeout",
                "x",
                "header 'grpc-timeout' is set by the exporter itself",
            ),
            (
                "a",
                "s3cret\r\nb: c",
                "header 'a' has a value with characters other than visible ASCII and spaces",
            ),
            (
                "a",
                "s3cretü",
                "header 'a' has a value with characters other than visible ASCII and spaces",
            ),
        ] {
            assert_eq!(headers.set(name, value).unwrap_err().to_string(), error);
        }
        assert!(headers.is_empty());
        headers.set(" X-A ", " 1 2\n").unwrap();
        headers.set("b", "").unwrap();
        headers.set("x-a", "3").unwrap();
        assert_eq!(headers.names().collect::<Vec<_>>(), ["x-a", "b"]);
        let current = CurrentHeaders::new(&headers);
        assert_eq!(
            read(&current).unwrap(),
            [("x-a".into(), "3".into()), ("b".into(), String::new())]
        );
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error = Headers::new()
            .set_from_env("authorization", "SPANWIRE_TEST_NO_SUCH_VARIABLE")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "header 'authorization' needs environment variable SPANWIRE_TEST_NO_SUCH_VARIABLE, which is not set"
        );
        let mut headers = Headers::new();
        // Cargo sets this one for its tests.
        headers.set_from_env("x-package", "CARGO_PKG_NAME").unwrap();
        let current = CurrentHeaders::new(&headers);
        assert_eq!(read(&current).unwrap()[0].1, "spanwire-transport");
    }

    #[test]
    fn a_rotated_file_is_read_again() {
        let file = Scratch::new("rotated");
        let mut headers = Headers::new();
        headers
            .set_from_file("authorization", "Bearer ", &file.0)
            .unwrap();
        let current = CurrentHeaders::new(&headers);
        let missing = read(&current).unwrap_err();
        assert!(
            missing.contains("'authorization'") && missing.contains("rotated"),
            "{missing}"
        );

        fs::write(&file.0, "s3cret-1\n").unwrap();
        assert_eq!(read(&current).unwrap()[0].1, "Bearer s3cret-1");
        assert_eq!(read(&current).unwrap()[0].1, "Bearer s3cret-1");
        // Another file of the same length in its place, as a mounted secret is swapped.
        let next = Scratch::new("next");
        fs::write(&next.0, "s3cret-2\r\n").unwrap();
        fs::rename(&next.0, &file.0).unwrap();
        assert_eq!(read(&current).unwrap()[0].1, "Bearer s3cret-2");

        for (content, why) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("s3cret\nb", "has characters other than"),
            ("s3cret\u{1}", "has characters other than"),
            (&*"s3cret".repeat(20_000), "is longer than 64 KiB"),
        ] {
            fs::write(&file.0, content).unwrap();
            let error = read(&current).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        fs::write(&file.0, "s3cret-3").unwrap();
        assert_eq!(read(&current).unwrap()[0].1, "Bearer s3cret-3");
    }

    #[test]
    fn values_are_hidden() {
        let mut headers = Headers::new();
        headers.set("a", "s3cret").unwrap();
        headers.set_from_file("b", "s3cret ", "/run/token").unwrap();
        let shown = format!("{headers:?} {headers:#?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("/run/token"), "{shown}");
    }
}
