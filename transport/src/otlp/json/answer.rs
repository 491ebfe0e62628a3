//! What a server answers, as JSON text.

use core::fmt::{self, Write};

use super::write::string;

/// Writes an `ExportTraceServiceResponse`: `{}` for a success without a word, else its `partialSuccess`.
///
/// OTLP specification, "Full Success" and "Partial Success".
///
/// ```
/// use spanwire_transport::otlp::json::write_response;
///
/// let mut text = String::new();
/// write_response(&mut text, 3, "quota")?;
/// assert_eq!(text, r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"quota"}}"#);
/// # Ok::<(), std::fmt::Error>(())
/// ```
///
/// # Errors
/// Those of `out`.
pub fn write_response(out: &mut impl Write, rejected_spans: i64, message: &str) -> fmt::Result {
    if rejected_spans == 0 && message.is_empty() {
        return out.write_str("{}");
    }
    out.write_str(r#"{"partialSuccess":{"#)?;
    if rejected_spans != 0 {
        write!(out, r#""rejectedSpans":"{rejected_spans}""#)?;
    }
    if !message.is_empty() {
        let comma = if rejected_spans == 0 { "" } else { "," };
        write!(out, r#"{comma}"errorMessage":"#)?;
        string(out, message)?;
    }
    out.write_str("}}")
}

/// Writes a `google.rpc.Status` without details: the body of an answer that is a failure.
///
/// OTLP specification, "Failures" of OTLP/HTTP.
///
/// ```
/// use spanwire_transport::otlp::json::write_status;
///
/// let mut text = String::new();
/// write_status(&mut text, 3, "traceId is not hexadecimal")?;
/// assert_eq!(text, r#"{"code":3,"message":"traceId is not hexadecimal"}"#);
/// # Ok::<(), std::fmt::Error>(())
/// ```
///
/// # Errors
/// Those of `out`.
pub fn write_status(out: &mut impl Write, code: i32, message: &str) -> fmt::Result {
    write!(out, r#"{{"code":{code},"message":"#)?;
    string(out, message)?;
    out.write_char('}')
}
