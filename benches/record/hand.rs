//! One value that passes from thread to thread. Unlike a channel it never allocates.

use std::sync::{Condvar, Mutex, PoisonError};

pub struct Hand<T> {
    value: Mutex<Option<T>>,
    changed: Condvar,
}

impl<T> Hand<T> {
    pub const fn new() -> Self {
        Self {
            value: Mutex::new(None),
            changed: Condvar::new(),
        }
    }

    /// Leaves a value. The one before must have been taken.
    pub fn give(&self, value: T) {
        let mut place = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(value);
        self.changed.notify_one();
    }

    /// Waits for a value.
    pub fn take(&self) -> T {
        let mut place = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = place.take() {
                return value;
            }
            place = self
                .changed
                .wait(place)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
