//! Which attributes of an event or link are kept.

use crate::attribute::KeyValue;
use crate::wire::encode::{self, Coder, Inconsistent, Put, Texts};

/// Attributes from two lists, of which the first wins, up to a number.
#[derive(Clone, Copy)]
pub(super) struct Chosen<'s, 'a> {
    pub(super) first: &'s [KeyValue<'a>],
    pub(super) then: &'s [KeyValue<'a>],
    pub(super) most: usize,
}

impl<'s, 'a> Chosen<'s, 'a> {
    #[inline]
    fn iter(self) -> impl Iterator<Item = &'s KeyValue<'a>> {
        let Self { first, then, most } = self;
        let shadowed =
            move |attribute: &&KeyValue<'a>| first.iter().any(|other| other.key == attribute.key);
        encode::unique(then)
            .filter(move |attribute| !shadowed(attribute))
            .chain(encode::unique(first))
            .take(most)
    }

    pub(super) fn is_displayed(self) -> bool {
        self.iter()
            .any(|attribute| encode::is_displayed(&attribute.value))
    }

    /// How many are left out, and the bytes of those that are kept.
    #[inline]
    pub(super) fn measure<T: Texts<'a>>(self, number: u32, coder: Coder<'_, T>) -> (u32, usize) {
        if self.first.is_empty() && self.then.is_empty() {
            return (0, 0);
        }
        let bytes = self
            .iter()
            .map(|attribute| encode::len_field_len(number, coder.key_value_len(attribute)))
            .sum();
        let all = Self {
            most: usize::MAX,
            ..self
        }
        .iter()
        .count();
        let keyless = [self.first, self.then]
            .into_iter()
            .flatten()
            .filter(|attribute| attribute.key.is_empty());
        let dropped = all.saturating_sub(self.most) + keyless.count();
        (u32::try_from(dropped).unwrap_or(u32::MAX), bytes)
    }

    #[inline]
    pub(super) fn write<T: Texts<'a>>(
        self,
        out: &mut impl Put,
        number: u32,
        coder: Coder<'_, T>,
    ) -> Result<(), Inconsistent> {
        self.iter().try_for_each(|attribute| {
            encode::write_len_prefix(out, number, coder.key_value_len(attribute));
            coder.write_key_value(out, attribute)
        })
    }
}
