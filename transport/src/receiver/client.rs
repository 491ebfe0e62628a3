//! Who sends, as far as processors ask for it.

use std::net::IpAddr;

use http::HeaderMap;
use spanwire_core::batch::ClientInfo;
use spanwire_core::limiter::Account;

use super::body::Trouble;

/// What processors call the address of a sender.
const ADDRESS: &str = "client.address";

/// What they put before the names of headers.
const METADATA: &str = "metadata.";

/// What HTTP/2 has in the place of `host`.
const AUTHORITY: &str = ":authority";

/// What is kept of the head of a request: nothing, until something is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    address: bool,
    /// What headers are called by processors, in small letters.
    headers: Vec<String>,
}

/// What a request says of its sender.
pub(super) struct Head<'a> {
    pub(super) headers: &'a HeaderMap,
    /// What HTTP/2 says in the place of `host`.
    pub(super) authority: Option<&'a str>,
    pub(super) peer: Option<IpAddr>,
}

impl Kept {
    pub(super) fn keep_address(&mut self) {
        self.address = true;
    }

    pub(super) fn keep_headers<N: AsRef<str>>(&mut self, names: impl IntoIterator<Item = N>) {
        for name in names {
            let name = format!("{METADATA}{}", name.as_ref().to_ascii_lowercase());
            if !self.headers.contains(&name) {
                self.headers.push(name);
            }
        }
    }

    /// What of it is there. Values are joined by `;` where a header has several, as the Collector's are; one that is no UTF-8
    /// could not be an attribute, and is passed over. The bytes of a head are bounded, so what is kept is; it is charged to
    /// `account`.
    pub(super) fn of(
        &self,
        head: &Head<'_>,
        account: impl FnOnce() -> Option<Account>,
    ) -> Result<Option<ClientInfo>, Trouble> {
        if !self.address && self.headers.is_empty() {
            return Ok(None);
        }
        // Without one the pipeline is shut down, and refuses what comes.
        let Some(account) = account() else {
            return Ok(None);
        };
        let mut entries = Vec::new();
        if let Some(peer) = head.peer.filter(|_| self.address) {
            entries.push((ADDRESS, peer.to_string()));
        }
        for entry in &self.headers {
            let name = entry.strip_prefix(METADATA).unwrap_or(entry);
            let values = head.headers.get_all(name).iter();
            let values: Vec<_> = values
                .filter_map(|value| str::from_utf8(value.as_bytes()).ok())
                .collect();
            if !values.is_empty() {
                entries.push((entry, values.join(";")));
            } else if let Some(authority) = head.authority
                && [AUTHORITY, "host"].contains(&name)
            {
                entries.push((entry, authority.into()));
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        ClientInfo::new(&entries, &account)
            .map(Some)
            .map_err(Trouble::NoRoom)
    }
}

#[cfg(test)]
mod tests {
    use spanwire_core::limiter::{Door, MemoryLimiter};

    use super::*;

    #[test]
    fn only_what_is_asked_for_is_kept_and_paid_for() {
        let limiter = MemoryLimiter::builder(1 << 20).reserve(0);
        let limiter = limiter.neighbours(1 << 20).build().unwrap();
        let account = limiter.door(Door::Neighbours);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-tenant", &b"blue"[..]),
            ("x-tenant", b"red"),
            ("authorization", b"Bearer hunter2"),
            ("x-latin", b"\xe9"),
            ("x-city", "Zürich".as_bytes()),
        ] {
            headers.append(name, value.try_into().unwrap());
        }
        let head = Head {
            headers: &headers,
            authority: Some("node:4317"),
            peer: Some([127, 0, 0, 2].into()),
        };
        let of = |kept: &Kept| kept.of(&head, || Some(account.clone())).unwrap();
        assert!(of(&Kept::default()).is_none());

        let mut kept = Kept::default();
        kept.keep_headers([
            "X-Tenant",
            "x-latin",
            "x-city",
            "absent",
            "Host",
            ":authority",
        ]);
        let client = of(&kept).unwrap();
        assert_eq!(client.get("metadata.x-tenant"), Some("blue;red"));
        assert_eq!(client.get("metadata.x-city"), Some("Zürich"));
        assert_eq!(client.get("metadata.host"), Some("node:4317"));
        assert_eq!(client.get("metadata.:authority"), Some("node:4317"));
        assert_eq!(client.names().count(), 4, "{client:?}");
        assert!(!format!("{client:?}").contains("blue"));
        assert!(limiter.usage().neighbours.in_use > 256 + "blue;red".len());
        drop(client);
        assert_eq!(limiter.usage().neighbours.in_use, 0);

        kept.keep_address();
        assert_eq!(of(&kept).unwrap().get(ADDRESS), Some("127.0.0.2"));
        assert!(kept.of(&head, || None).unwrap().is_none());

        let _taken = account.acquire(account.available()).unwrap();
        assert!(matches!(
            kept.of(&head, || Some(account.clone())),
            Err(Trouble::NoRoom(_))
        ));
    }
}
