//! Text to words.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::InvalidOttl;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Text(String),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    /// Starts with a small letter: part of a path, or `and`, `or`, `not`, `true`, `false`, `nil`.
    Name(String),
    /// Starts with a capital: a function or an enum.
    Capital(String),
    Sign(&'static str),
    End,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bytes(_) => f.write_str("bytes"),
            Self::Name(name) | Self::Capital(name) => write!(f, "`{name}`"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Longer signs before those they start with.
const SIGNS: [&str; 18] = [
    "==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "{", "}",
];

/// The words, each with the column in which it starts; the last is [`Word::End`].
pub(super) fn words(text: &str) -> Result<Vec<(usize, Word)>, InvalidOttl> {
    let mut words: Vec<(usize, Word)> = Vec::new();
    let (mut rest, mut column) = (text, 1);
    loop {
        let trimmed = rest.trim_start();
        column += rest[..rest.len() - trimmed.len()].chars().count();
        rest = trimmed;
        let Some(first) = rest.chars().next() else {
            words.push((column, Word::End));
            return Ok(words);
        };
        let invalid = |message: String| InvalidOttl { column, message };
        // A sign belongs to a number unless there is something to compute with before it.
        let is_after_value = match words.last() {
            Some((_, Word::Name(name))) => !["and", "or", "not"].contains(&name.as_str()),
            Some((_, Word::Sign(sign))) => [")", "]"].contains(sign),
            Some(_) => true,
            None => false,
        };
        let signed = rest.strip_prefix(['-', '+']).filter(|_| !is_after_value);
        let digits = signed.unwrap_or(rest);
        let fraction = digits.strip_prefix('.').unwrap_or(digits);
        let (word, len) = if let Some(quoted) = rest.strip_prefix('"') {
            let (text, len) = unquoted(quoted).map_err(invalid)?;
            (Word::Text(text), len + 1)
        } else if let Some(hex) = rest.strip_prefix("0x") {
            let len = hex.find(|c: char| !c.is_ascii_hexdigit());
            let hex = &hex[..len.unwrap_or(hex.len())];
            let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
            let expected = || invalid("expected two hexadecimal digits for each byte".into());
            (Word::Bytes(bytes.ok_or_else(expected)?), hex.len() + 2)
        } else if fraction.starts_with(|c: char| c.is_ascii_digit()) {
            let len = number_len(digits) + usize::from(signed.is_some());
            (number(&rest[..len]).map_err(invalid)?, len)
        } else if first.is_ascii_alphabetic() {
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &rest[..len.unwrap_or(rest.len())];
            let word = if first.is_ascii_uppercase() {
                Word::Capital(name.into())
            } else {
                Word::Name(name.into())
            };
            (word, name.len())
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (Word::Sign(sign), sign.len())
        } else {
            return Err(invalid(format!("expected no {first:?}")));
        };
        words.push((column, word));
        column += rest[..len].chars().count();
        rest = &rest[len..];
    }
}

/// The text up to the closing quote, and the bytes until after it.
fn unquoted(text: &str) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                Some((_, c)) => {
                    return Err(format!(
                        "expected \\\\, \\\", \\n, \\r or \\t in a text, found \\{c}"
                    ));
                }
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("expected a closing \" after this".into())
}

/// The bytes of digits, a fraction and an exponent.
fn number_len(text: &str) -> usize {
    let digits = |from: usize| {
        let rest = &text[from..];
        from + rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len())
    };
    let mut len = digits(0);
    if text[len..].starts_with('.') {
        len = digits(len + 1);
    }
    if let Some(exponent) = text[len..].strip_prefix(['e', 'E']) {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if unsigned.starts_with(|c: char| c.is_ascii_digit()) {
            len = digits(text.len() - unsigned.len());
        }
    }
    len
}

fn number(text: &str) -> Result<Word, String> {
    if text.contains(['.', 'e', 'E']) {
        let number = text.parse().map(Word::Float);
        return number.map_err(|_| "expected a float".into());
    }
    let number = text.parse().map(Word::Int);
    number.map_err(|_| "expected an integer of 64 bits".into())
}
