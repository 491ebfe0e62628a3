use core::fmt;
use core::hash::{Hash, Hasher};

use super::chars;
use super::text::{Draft, Text, least};

mod list;
mod value;

pub use list::{BaggageIter, BaggageMember, BaggageRef};
use list::{Members, is_key, is_metadata};
pub use value::{BaggageChars, BaggageValue};

/// Names and values that travel with a request, for anyone on its way to read.
///
/// A value is immutable; [`insert`](Self::insert) and [`remove`](Self::remove) make changed copies. It is kept as header
/// text, so that a clone is cheap and injecting it copies nothing: up to 30 bytes in place, up to 8192 behind a
/// reference count. Without the `alloc` feature 30 bytes are all there is. W3C Baggage; OpenTelemetry baggage API.
///
/// Names are RFC 7230 tokens, since no header can carry others; values are any text.
///
/// ```
/// use spanwire_core::context::Baggage;
///
/// let baggage = Baggage::EMPTY.insert("user", "Amélie")?;
/// assert_eq!(baggage.as_str(), "user=Am%C3%A9lie");
/// assert!(baggage.get("user").unwrap() == "Amélie");
/// assert!(baggage.remove("user").is_empty());
/// # Ok::<(), spanwire_core::context::InvalidBaggage>(())
/// ```
#[derive(Clone)]
pub struct Baggage(Text);

impl Baggage {
    /// Baggage without members.
    pub const EMPTY: Self = Self(Text::EMPTY);

    /// The most members: what every propagator has to carry.
    pub const MAX_MEMBERS: usize = list::MAX_MEMBERS;

    /// The most bytes as header text: 8192, or 30 without the `alloc` feature.
    pub const MAX_LEN: usize = least(list::MAX_LEN, Text::ROOM);

    /// Reads the value of one `baggage` header.
    ///
    /// Malformed members are skipped; of members with one name the last stays; members past the limits are left out
    /// whole. Allocates only for more than 30 bytes.
    #[must_use]
    pub fn parse<T: AsRef<[u8]> + ?Sized>(text: &T) -> Self {
        Self::collect(|each| each(text.as_ref()))
    }

    /// Reads the values of several `baggage` headers as one list.
    pub(crate) fn collect<'c>(headers: impl FnOnce(&mut dyn FnMut(&'c [u8]))) -> Self {
        let mut members = Members::new();
        headers(&mut |text| members.add_list(text));
        let mut draft = Draft::new(least(members.text_len(), Self::MAX_LEN));
        let mut room = Self::MAX_LEN;
        let mut comma: &[u8] = b"";
        for member in members.iter() {
            let len = member.encoded_len() + comma.len();
            if len <= room {
                room -= len;
                draft.push(comma);
                push(&mut draft, member);
                comma = b",";
            }
        }
        Self(draft.finish())
    }

    /// Whether there is no member.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header text.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same baggage, borrowed.
    #[must_use]
    pub fn view(&self) -> BaggageRef<'_> {
        BaggageRef::new(self.0.as_bytes())
    }

    /// The members in order.
    #[must_use]
    pub fn iter(&self) -> BaggageIter<'_> {
        self.view().iter()
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<BaggageValue<'_>> {
        self.member(key).map(|member| member.value)
    }

    /// The member of this name, with its metadata.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<BaggageMember<'_>> {
        self.iter().find(|member| member.key == key)
    }

    /// The baggage with this value, in the place of the former one of that name or at the end.
    ///
    /// # Errors
    /// The name is no token, there would be 65 members, or the text would be longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn insert(&self, key: &str, value: &str) -> Result<Self, InvalidBaggage> {
        self.insert_with_metadata(key, value, "")
    }

    /// The baggage with this value and metadata, in the place of the former one of that name or at the end.
    ///
    /// Metadata are properties as they stand in a header: `key` or `key=value`, joined by `;`. They are opaque.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert), and if the metadata has characters that can't stand in a header member.
    pub fn insert_with_metadata(
        &self,
        key: &str,
        value: &str,
        metadata: &str,
    ) -> Result<Self, InvalidBaggage> {
        self.insert_chars(key, value.chars(), metadata)
    }

    /// The same for a value that comes as characters.
    pub(crate) fn insert_chars(
        &self,
        key: &str,
        value: impl Iterator<Item = char> + Clone,
        metadata: &str,
    ) -> Result<Self, InvalidBaggage> {
        if !is_key(key.as_bytes()) {
            return Err(InvalidBaggage::Key);
        }
        let metadata = chars::trim(metadata.as_bytes());
        if !is_metadata(metadata) {
            return Err(InvalidBaggage::Metadata);
        }
        let mut len = key.len() + 1 + metadata.len() + usize::from(!metadata.is_empty());
        value::encode(value.clone(), &mut |part| len += part.len());
        let mut count = 1;
        for other in self.iter().filter(|other| other.key != key) {
            len += 1 + other.encoded_len();
            count += 1;
        }
        if count > Self::MAX_MEMBERS {
            return Err(InvalidBaggage::TooManyMembers);
        }
        if len > Self::MAX_LEN {
            return Err(InvalidBaggage::TooLong);
        }

        let mut draft = Draft::new(len);
        let put_new = |draft: &mut Draft| {
            draft.push(key.as_bytes());
            draft.push(b"=");
            value::encode(value.clone(), &mut |part| {
                draft.push(part);
            });
            if !metadata.is_empty() {
                draft.push(b";");
                draft.push(metadata);
            }
        };
        let mut placed = false;
        for (at, other) in self.iter().enumerate() {
            if at > 0 {
                draft.push(b",");
            }
            if other.key == key {
                put_new(&mut draft);
                placed = true;
            } else {
                push(&mut draft, &other);
            }
        }
        if !placed {
            if !self.is_empty() {
                draft.push(b",");
            }
            put_new(&mut draft);
        }
        Ok(Self(draft.finish()))
    }

    /// The baggage without the member of this name.
    #[must_use]
    pub fn remove(&self, key: &str) -> Self {
        if self.member(key).is_none() {
            return self.clone();
        }
        let mut draft = Draft::new(self.as_str().len());
        let others = self.iter().filter(|other| other.key != key);
        for (at, other) in others.enumerate() {
            if at > 0 {
                draft.push(b",");
            }
            push(&mut draft, &other);
        }
        Self(draft.finish())
    }
}

fn push(draft: &mut Draft, member: &BaggageMember<'_>) {
    draft.push(member.key.as_bytes());
    draft.push(b"=");
    draft.push(member.value.as_encoded().as_bytes());
    if !member.metadata.is_empty() {
        draft.push(b";");
        draft.push(member.metadata.as_bytes());
    }
}

impl Default for Baggage {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Baggage {
    /// Compares the header text.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for Baggage {}

impl Hash for Baggage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl<'a> IntoIterator for &'a Baggage {
    type Item = BaggageMember<'a>;
    type IntoIter = BaggageIter<'a>;

    fn into_iter(self) -> BaggageIter<'a> {
        self.iter()
    }
}

/// A member that can't be added to baggage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBaggage {
    /// The name is empty or no RFC 7230 token.
    Key,
    /// The metadata has a character that can't stand in a header member.
    Metadata,
    /// There would be more than [`Baggage::MAX_MEMBERS`].
    TooManyMembers,
    /// The text would be longer than [`Baggage::MAX_LEN`].
    TooLong,
}

impl fmt::Display for InvalidBaggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "baggage name is no token",
            Self::Metadata => "malformed baggage metadata",
            Self::TooManyMembers => "too many baggage members",
            Self::TooLong => "baggage too long",
        })
    }
}

impl core::error::Error for InvalidBaggage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_bytes_need_no_allocator() {
        let baggage = Baggage::parse("user=alice , tier=gold;p");
        assert_eq!(baggage.as_str(), "user=alice,tier=gold;p");
        assert!(baggage.insert("user", "bo").unwrap().get("user").unwrap() == "bo");
        assert_eq!(baggage.remove("tier").as_str(), "user=alice");
    }
}
