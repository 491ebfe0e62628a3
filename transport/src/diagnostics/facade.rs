//! Messages to the `log` facade.

use super::{Diagnostic, Level};

pub(super) fn tell(said: &Diagnostic<'_>) {
    let level = match said.level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    };
    log::log!(target: "spanwire", level, "{said}");
}
