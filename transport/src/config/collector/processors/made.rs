//! Making what a section describes.

use crate::config::fault::InvalidConfig;
use crate::config::keys::Walk;

/// What `make` makes, unless it finds faults.
pub(super) fn made<T>(make: impl FnOnce(&mut Walk) -> T) -> Result<T, InvalidConfig> {
    let mut walk = Walk::default();
    let made = make(&mut walk);
    if walk.faults.is_empty() {
        Ok(made)
    } else {
        Err(InvalidConfig::new(walk.faults))
    }
}
