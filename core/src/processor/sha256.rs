//! Values that can be told apart and not read.

use alloc::borrow::Cow;
use alloc::string::String;

use hmac_sha256::Hash;

use super::held::Held;
use crate::id::fmt_hex;
use crate::wire::view::Value;

/// The digest of a value, as lower-case hexadecimal text: of the bytes of a text, of one byte of a boolean, of the eight
/// bytes of a number, lowest first. A text without characters and whatever else there is become a text without
/// characters.
pub(super) fn digest(value: &Value<'_>) -> Held<'static> {
    let digest = match value {
        Value::Str(text) if !text.is_empty() => return Held::Text(text_digest(text)),
        Value::Bool(value) => Hash::hash(&[u8::from(*value)]),
        Value::Int(value) => Hash::hash(&value.to_le_bytes()),
        Value::Double(value) => Hash::hash(&value.to_le_bytes()),
        _ => return Held::Text(Cow::Borrowed("")),
    };
    Held::Text(written(&digest))
}

/// The digest of the bytes of a text, be there any or none.
pub(super) fn text_digest(text: &str) -> Cow<'static, str> {
    written(&Hash::hash(text.as_bytes()))
}

fn written(digest: &[u8; 32]) -> Cow<'static, str> {
    let mut text = String::with_capacity(64);
    // A string takes all that is written.
    let _ = fmt_hex(digest, &mut text);
    Cow::Owned(text)
}
