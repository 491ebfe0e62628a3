//! Bytes granted, and the memory they pay for.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::{Account, OVERHEAD, Refused};
use crate::wire::encode::Put;

/// Bytes granted by a share of the budget; given back on drop.
///
/// A permit is taken before the memory is allocated and put inside the memory's owner, so that what is charged is
/// what is there. It charges [`OVERHEAD`] beside the bytes it grants.
///
/// ```
/// use spanwire_core::limiter::{Door, MemoryLimiter};
///
/// let limiter = MemoryLimiter::builder(1 << 20).reserve(0).neighbours(1 << 20).build()?;
/// let mut permit = limiter.door(Door::Neighbours).acquire(0)?;
/// // A body of unknown length: 64 KiB at a time, each step granted before it is read.
/// permit.grow(64 << 10)?;
/// permit.grow(64 << 10)?;
/// assert_eq!(permit.bytes(), 128 << 10);
/// permit.shrink_to(100_000);
/// assert_eq!(limiter.usage().neighbours.in_use, 100_256);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "a permit that is dropped grants nothing"]
pub struct Permit {
    account: Account,
    bytes: usize,
}

impl Permit {
    /// The account has been charged `bytes` and the overhead.
    pub(super) fn new(account: Account, bytes: usize) -> Self {
        Self { account, bytes }
    }

    /// The bytes granted, overhead not included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The share that granted them.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Grants `more` bytes to what is in already, up to the hard limit of the share.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the share has less left; the permit stays as it is.
    pub fn grow(&mut self, more: usize) -> Result<(), Refused> {
        self.account.charge_more(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back all but `bytes`; does nothing when fewer are granted.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.account.give_back(less);
    }

    /// Adds the bytes of `other`, which must be of the same share of the same budget, and gives back its overhead.
    ///
    /// # Errors
    ///
    /// `other` itself, when it is of another share.
    pub fn merge(&mut self, mut other: Self) -> Result<(), Self> {
        if !self.account.is_same(&other.account) {
            return Err(other);
        }
        self.bytes += other.bytes;
        other.bytes = 0;
        Ok(())
    }

    /// Puts the permit inside the owner of `memory`: its bytes are given back when the last clone and slice of the
    /// returned [`Bytes`] is gone. A permit for more than the capacity of `memory` is shrunk to it.
    ///
    /// # Errors
    ///
    /// [`Uncovered`] gives both back when the memory is larger than the permit and the share cannot grant the rest.
    pub fn attach(mut self, memory: Vec<u8>) -> Result<Bytes, Uncovered> {
        let capacity = memory.capacity();
        if capacity > self.bytes
            && let Err(refused) = self.grow(capacity - self.bytes)
        {
            return Err(Uncovered {
                permit: self,
                memory,
                refused,
            });
        }
        self.shrink_to(capacity);
        Ok(Bytes::from_owner(Owned {
            memory,
            _permit: self,
        }))
    }

    /// An empty buffer of exactly the bytes granted.
    #[must_use]
    pub fn into_buffer(self) -> Buffer {
        Buffer {
            memory: Vec::with_capacity(self.bytes),
            permit: self,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.account.give_back(self.bytes.saturating_add(OVERHEAD));
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("share", &self.account.share())
            .field("bytes", &self.bytes)
            .finish()
    }
}

/// A buffer that is paid for. It holds what its permit grants, and more only after [`grow`](Self::grow).
///
/// ```
/// use spanwire_core::limiter::MemoryLimiter;
///
/// let limiter = MemoryLimiter::builder(32 << 20).build()?;
/// let mut buffer = limiter.reserve().acquire(8)?.into_buffer();
/// assert!(buffer.try_put(b"12345"));
/// assert!(!buffer.try_put(b"6789"), "nine bytes do not fit eight");
/// buffer.grow(1)?;
/// assert!(buffer.try_put(b"6789"));
/// assert_eq!(&buffer.freeze()[..], b"123456789");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    permit: Permit,
}

impl Buffer {
    /// Appends `bytes` whole, or nothing of them and returns `false` when they do not fit.
    #[must_use = "the bytes may not have fitted"]
    pub fn try_put(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.remaining();
        if fits {
            self.memory.extend_from_slice(bytes);
        }
        fits
    }

    /// Makes room for `more` bytes beyond those that fit already.
    ///
    /// A buffer that is moved to grow is there twice for a moment: both are charged, and the old one is given back.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the share has not so much left; the buffer stays as it is.
    pub fn grow(&mut self, more: usize) -> Result<(), Refused> {
        let capacity = self.permit.bytes().saturating_add(more);
        self.resize(capacity)
    }

    /// Gives back what is granted and not filled. Does nothing where the share has no room for the moment in which
    /// the memory may be there twice.
    pub fn shrink_to_fit(&mut self) {
        if self.remaining() > 0 {
            let _stays = self.resize(self.memory.len());
        }
    }

    /// Moves to memory of this capacity, which holds what is in the buffer.
    fn resize(&mut self, capacity: usize) -> Result<(), Refused> {
        self.permit.grow(capacity)?;
        let mut memory = Vec::with_capacity(capacity);
        memory.extend_from_slice(&self.memory);
        self.memory = memory;
        self.permit.shrink_to(capacity);
        Ok(())
    }

    /// The share that granted it.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.permit.account()
    }

    /// The bytes still free.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.permit.bytes().saturating_sub(self.memory.len())
    }

    /// What has been put in.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.memory
    }

    /// What has been put in, shareable. The permit lives on inside, for the whole capacity.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(Owned {
            memory: self.memory,
            _permit: self.permit,
        })
    }

    /// As [`freeze`](Self::freeze), charged `more` bytes for what will list the memory.
    #[cfg(feature = "std")]
    pub(crate) fn freeze_with(mut self, more: usize) -> Result<Bytes, Refused> {
        self.permit.grow(more)?;
        Ok(self.freeze())
    }
}

/// For what was measured beforehand: bytes that do not fit are not written.
impl Put for Buffer {
    fn put(&mut self, bytes: &[u8]) {
        let _fits = self.try_put(bytes);
    }
}

/// Memory and the permit that pays for it. Fields drop in order: the memory is freed before its bytes are given back.
struct Owned {
    memory: Vec<u8>,
    _permit: Permit,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

/// Memory that its permit does not cover, and that its share cannot cover either.
#[derive(Debug)]
pub struct Uncovered {
    /// The permit, as it was.
    pub permit: Permit,
    /// The memory, untouched.
    pub memory: Vec<u8>,
    /// Why the rest was not granted.
    pub refused: Refused,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (capacity, bytes) = (self.memory.capacity(), self.permit.bytes());
        write!(f, "memory of {capacity} bytes has a permit for {bytes}")
    }
}

impl core::error::Error for Uncovered {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.refused)
    }
}
