use core::fmt;
use core::hash::{Hash, Hasher};

use super::chars;
use super::member::Seen;
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
    pub(crate) fn collect<'c>(headers: impl Fn(&mut dyn FnMut(&'c [u8]))) -> Self {
        let mut seen = Seen::<{ list::MAX_MEMBERS }>::new();
        let mut list = Writer::new(256);
        let mut unique = true;
        list::walk(&headers, &mut |member| {
            unique &= !seen.add(member.key.as_bytes());
            if unique {
                list.push(&member);
            }
        });
        if unique {
            return list.finish();
        }
        // A name may have come before: only now the members are laid side by side.
        let mut members = Members::new();
        list::walk(&headers, &mut |member| members.add(member));
        let mut list = Writer::new(256);
        members.iter().for_each(|member| list.push(&member));
        list.finish()
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

        let mut list = Writer::new(len);
        let mut placed = false;
        for other in self {
            if other.key == key {
                list.push_new(key, value.clone(), metadata);
                placed = true;
            } else {
                list.push(&other);
            }
        }
        if !placed {
            list.push_new(key, value, metadata);
        }
        Ok(list.finish())
    }

    /// The baggage without the member of this name.
    #[must_use]
    pub fn remove(&self, key: &str) -> Self {
        if self.member(key).is_none() {
            return self.clone();
        }
        let mut list = Writer::new(self.as_str().len());
        let others = self.iter().filter(|other| other.key != key);
        others.for_each(|other| list.push(&other));
        list.finish()
    }
}

/// Baggage being put together.
struct Writer {
    draft: Draft,
    len: usize,
}

impl Writer {
    const fn new(expected: usize) -> Self {
        Self {
            draft: Draft::new(expected),
            len: 0,
        }
    }

    /// Appends a member, or nothing if there is no room for it.
    fn push(&mut self, member: &BaggageMember<'_>) {
        let len = self.len + usize::from(self.len > 0) + member.encoded_len();
        if len > Baggage::MAX_LEN {
            return;
        }
        self.put_key(member.key);
        self.put(member.value.as_encoded().as_bytes());
        self.put_metadata(member.metadata.as_bytes());
    }

    /// Appends a member whose value is not encoded yet. The caller sees to the room.
    fn push_new(&mut self, key: &str, value: impl Iterator<Item = char>, metadata: &[u8]) {
        self.put_key(key);
        value::encode(value, &mut |part| self.put(part));
        self.put_metadata(metadata);
    }

    fn put_key(&mut self, key: &str) {
        if self.len > 0 {
            self.put(b",");
        }
        self.put(key.as_bytes());
        self.put(b"=");
    }

    fn put_metadata(&mut self, metadata: &[u8]) {
        if !metadata.is_empty() {
            self.put(b";");
            self.put(metadata);
        }
    }

    fn put(&mut self, part: &[u8]) {
        if self.draft.push(part) {
            self.len += part.len();
        }
    }

    fn finish(self) -> Baggage {
        Baggage(self.draft.finish())
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
