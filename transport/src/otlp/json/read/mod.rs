//! JSON text as OTLP protobuf: one walk, no tree in between.
//!
//! The reader is strict where the mapping is: an id is hexadecimal and has its length, a number is in its range, a field
//! occurs once, and of the members of a value one is set. It is lenient where proto3's JSON mapping asks for that:
//! numbers may be strings, and whole numbers may be written `1e3` or `1.0`; `null` is a field that is not set; base64 may
//! be of either alphabet, with padding or without. As the Collector does, it takes what OTLP has nobody write: fields by
//! their names in protobuf, such as `trace_id`, and values of enums by theirs, such as `SPAN_KIND_SERVER`. Were such
//! fields passed over as unknown, their spans would be lost, and nobody told. Unknown fields are ignored.
//!
//! OTLP specification, "JSON Protobuf Encoding"; proto3 language guide, "JSON Mapping".

use core::fmt;

// The messages, and what their fields are called.
mod schema;

// Text that stands for numbers and bytes.
mod scalar;

// The walk.
mod walk;

use self::schema::Message;
use self::walk::Walk;

/// Reads an `ExportTraceServiceRequest`, or a `TracesData`, and appends its protobuf encoding to `out`.
///
/// What is appended is never longer than the text, and passes
/// [`validate`](spanwire_core::wire::validate::validate) with its usual depth. Lengths in it are minimal. If `out` has
/// room for as many bytes as the text has, nothing is allocated for it: a caller that accounts for memory takes twice
/// the text's length and is done.
///
/// ```
/// use spanwire_core::wire::view::Request;
/// use spanwire_transport::otlp::json::read::read_request;
///
/// let mut bytes = Vec::new();
/// read_request(br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET","kind":3}]}]}]}"#, &mut bytes)?;
/// let request = Request::new(&bytes);
/// let scope = request.resource_spans().next().and_then(|spans| spans.scope_spans().next());
/// assert_eq!(scope.and_then(|spans| spans.spans().next()).map(|span| span.name()), Some("GET"));
///
/// let error = read_request(br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"CLIENT"}]}]}]}"#, &mut bytes);
/// let text = error.unwrap_err().to_string();
/// assert!(text.starts_with("resourceSpans[0].scopeSpans[0].spans[0].kind: "), "{text}");
/// # Ok::<(), spanwire_transport::otlp::json::read::InvalidJson>(())
/// ```
///
/// # Errors
/// The first fault in the text, and where it is. `out` is as it was then.
pub fn read_request(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidJson> {
    read(text, &schema::REQUEST, out)
}

/// Reads an `ExportTraceServiceResponse`: what a server answers to an export.
///
/// ```
/// use spanwire_transport::otlp::json::read::read_response;
///
/// let mut bytes = Vec::new();
/// read_response(br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}"#, &mut bytes)?;
/// assert_eq!(bytes, b"\x0a\x05\x08\x03\x12\x01x");
/// # Ok::<(), spanwire_transport::otlp::json::read::InvalidJson>(())
/// ```
///
/// # Errors
/// The first fault in the text, and where it is. `out` is as it was then.
pub fn read_response(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidJson> {
    read(text, &schema::RESPONSE, out)
}

/// Reads the code and the message of a `google.rpc.Status`, the body of an answer that is a failure. Details are passed
/// over.
///
/// ```
/// use spanwire_transport::otlp::json::read::read_status;
///
/// let mut bytes = Vec::new();
/// read_status(br#"{"code":3,"message":"bad","details":[]}"#, &mut bytes)?;
/// assert_eq!(bytes, b"\x08\x03\x12\x03bad");
/// # Ok::<(), spanwire_transport::otlp::json::read::InvalidJson>(())
/// ```
///
/// # Errors
/// The first fault in the text, and where it is. `out` is as it was then.
pub fn read_status(text: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidJson> {
    read(text, &schema::RPC_STATUS, out)
}

fn read(text: &[u8], message: &'static Message, out: &mut Vec<u8>) -> Result<(), InvalidJson> {
    let start = out.len();
    let mut walk = Walk::new(out);
    let mut json = serde_json::Deserializer::from_slice(text);
    // The walk counts messages itself, and what is ignored is passed over without recursion.
    json.disable_recursion_limit();
    let done = walk.root(message, &mut json).and_then(|()| json.end());
    match done {
        Ok(()) => Ok(()),
        Err(error) => {
            let invalid = walk.invalid(&error);
            out.truncate(start);
            Err(invalid)
        }
    }
}

/// Why text is not OTLP/JSON, and where.
///
/// It names the field and repeats nothing of its value, which may be a secret of whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidJson {
    fault: Fault,
    path: String,
    line: usize,
    column: usize,
}

impl InvalidJson {
    /// What is wrong.
    #[must_use]
    pub const fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The field, as in `resourceSpans[0].resource.attributes[3].value.intValue`; empty for the text as a whole. At
    /// most 32 names are told; `..` stands for those below.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The line where reading stopped, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The byte in the line where reading stopped, from 1; 0 before the first.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for InvalidJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(
            f,
            "{} at line {} column {}",
            self.fault, self.line, self.column
        )
    }
}

impl core::error::Error for InvalidJson {}

/// What is wrong with text that should be OTLP/JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The text is not JSON: in the words of the parser.
    Syntax(String),
    /// The value is of another JSON type than the field.
    Type {
        /// What the field takes.
        expected: &'static str,
    },
    /// The number is not whole, or not in the range of the field.
    Range {
        /// What the field takes.
        expected: &'static str,
    },
    /// An id is not hexadecimal.
    Hex,
    /// An id is hexadecimal and has neither its length nor none.
    IdLength {
        /// The hexadecimal digits the id has.
        digits: usize,
        /// The hexadecimal digits of such an id.
        expected: usize,
    },
    /// Bytes are not base64.
    Base64,
    /// A field occurs twice in one object.
    Duplicate,
    /// A value has two members.
    Oneof,
    /// A list holds `null`.
    Null,
    /// More messages are nested than widespread decoders take.
    Depth,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => f.write_str(message),
            Self::Type { expected } | Self::Range { expected } => write!(f, "expected {expected}"),
            Self::Hex => f.write_str("id is not hexadecimal"),
            Self::IdLength { digits, expected } => {
                write!(f, "id has {digits} hexadecimal digits, expected {expected}")
            }
            Self::Base64 => f.write_str("bytes are not base64"),
            Self::Duplicate => f.write_str("field occurs twice"),
            Self::Oneof => f.write_str("value has two members"),
            Self::Null => f.write_str("null in a list"),
            Self::Depth => f.write_str("messages are nested too deeply"),
        }
    }
}

#[cfg(test)]
mod tests;
