//! What a receiver knows about the sender of a request.

use alloc::sync::Arc;
use core::fmt;

use super::payload_of;
use crate::attribute::{KeyValue, Value};
use crate::limiter::{Account, Buffer, Refused};
use crate::wire::encode::{self, ValueLimit};
use crate::wire::raw::Fields;
use crate::wire::view;

/// The field that an entry is: `attributes` of a message that holds nothing else.
const ENTRY: u32 = 1;

/// What a receiver knows about the sender of a request, as texts with names: for processors that put it among the attributes,
/// see [`Actions::insert_from_client`](crate::processor::Actions::insert_from_client).
///
/// It goes with every segment of the request, to the exporter, and is no part of what is sent. Its memory is charged to the
/// account it was made with, for as long as a clone is alive. Clones share it.
///
/// The receivers of `spanwire-transport` call the sender's address `client.address` and a header `metadata.` and its name in
/// small letters, and know only of what they are told to keep. Values may be secret: `Debug` shows the names alone.
///
/// ```
/// use spanwire_core::batch::ClientInfo;
/// use spanwire_core::limiter::{Door, MemoryLimiter};
///
/// let limiter = MemoryLimiter::builder(32 << 20).neighbours(8 << 20).build()?;
/// let account = limiter.door(Door::Neighbours);
/// let client = ClientInfo::new(&[("metadata.x-tenant", "blue")], &account)?;
/// assert_eq!(client.get("metadata.x-tenant"), Some("blue"));
/// assert_eq!(client.get("metadata.authorization"), None);
/// assert_eq!(format!("{client:?}"), r#"ClientInfo({"metadata.x-tenant"})"#);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ClientInfo(Arc<Buffer>);

impl ClientInfo {
    /// Texts with their names. Of a name that repeats, the first text counts.
    ///
    /// # Errors
    ///
    /// [`Refused`] when `account` has no room for them.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(
        entries: &[(N, V)],
        account: &Account,
    ) -> Result<Self, Refused> {
        let entries = entries.iter().map(|(key, value)| KeyValue {
            key: key.as_ref(),
            value: Value::Str(value.as_ref()),
        });
        let message_len = |entry: &KeyValue<'_>| encode::key_value_len(entry, ValueLimit::NONE);
        let len = entries
            .clone()
            .map(|entry| encode::len_field_len(ENTRY, message_len(&entry)))
            .sum();
        let mut out = account.acquire(len)?.into_buffer();
        for entry in entries {
            encode::write_len_prefix(&mut out, ENTRY, message_len(&entry));
            // Only a `Display` value contradicts itself, and this is none.
            let _ = encode::write_key_value(&mut out, &entry, ValueLimit::NONE);
        }
        Ok(Self(Arc::new(out)))
    }

    /// The text with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        view::KeyValue::new(self.entry(name)?).value().as_str()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|entry| view::KeyValue::new(entry).key())
    }

    /// The `KeyValue` message with this name.
    pub(crate) fn entry(&self, name: &str) -> Option<&[u8]> {
        self.entries()
            .find(|entry| view::KeyValue::new(entry).key() == name)
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        Fields::new(self.0.as_slice()).filter_map(|field| payload_of(&field, ENTRY))
    }
}

impl fmt::Debug for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Names<'a>(&'a ClientInfo);
        impl fmt::Debug for Names<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_set().entries(self.0.names()).finish()
            }
        }
        f.debug_tuple("ClientInfo").field(&Names(self)).finish()
    }
}
