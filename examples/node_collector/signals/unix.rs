//! What the system says: to end, or to read the file again.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What is asked for.
pub(crate) enum Signal {
    End,
    Reload,
}

/// Signals as they come.
pub(crate) struct Signals(signal_hook::iterator::Signals);

impl Signals {
    /// From now on they are heard, and no longer end the program by themselves.
    pub(crate) fn new() -> io::Result<Self> {
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).map(Self)
    }
}

impl Iterator for Signals {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        self.0.forever().next().map(|signal| match signal {
            SIGHUP => Signal::Reload,
            _ => Signal::End,
        })
    }
}
