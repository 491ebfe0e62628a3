//! What the system says: to end. There is no signal that asks for the file to be read again.

use std::sync::mpsc::{self, Receiver};

/// What is asked for.
pub(crate) enum Signal {
    End,
    #[allow(dead_code, reason = "this system has no signal for it")]
    Reload,
}

/// Signals as they come.
pub(crate) struct Signals(Receiver<()>);

impl Signals {
    /// From now on they are heard, and no longer end the program by themselves.
    pub(crate) fn new() -> Result<Self, ctrlc::Error> {
        let (sender, end) = mpsc::channel();
        ctrlc::set_handler(move || {
            // Nobody listens any more: the program is ending.
            let _ = sender.send(());
        })?;
        Ok(Self(end))
    }
}

impl Iterator for Signals {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        self.0.recv().ok().map(|()| Signal::End)
    }
}
