//! Context as header text.
