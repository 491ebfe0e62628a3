//! Another configuration, in place.

use core::fmt;
use core::time::Duration;

use super::{Collector, Node, NodeAccount, Running, StartError};
use crate::diagnostics::{Chain, Level};

/// How a reload went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reload {
    /// Both configurations are the same: nothing happened.
    Unchanged,
    /// The new one runs. The account of the old one.
    Restarted(NodeAccount),
}

/// Why the new configuration does not run.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReloadError {
    /// What could not start.
    pub why: StartError,
    /// Why the old one could not start again; `None`: it runs.
    pub gone: Option<Box<StartError>>,
    /// The account of the old one up to then, if it was ended at all.
    pub account: Option<NodeAccount>,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gone {
            None => f.write_str("the old configuration runs on"),
            Some(gone) => {
                let gone = Chain(&**gone);
                write!(f, "the old configuration does not start again ({gone})")
            }
        }
    }
}

impl core::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.why)
    }
}

pub(super) fn reload(
    node: &mut Node,
    next: Collector,
    within: Duration,
) -> Result<Reload, ReloadError> {
    if next.is_same(&node.collector) {
        return Ok(Reload::Unchanged);
    }
    let refused = |why, gone, account| ReloadError { why, gone, account };
    let plan = |collector: &Collector| {
        let planned = collector.plan().map_err(StartError::Config);
        planned.map(|(plan, _)| plan)
    };
    let planned = plan(&next).map_err(|why| refused(why, None, None))?;
    let account = node.running.shutdown(within);
    // Its sockets are free before the next one asks for them; probes and scrapers are answered all the while.
    let sockets = node.running.close();
    match Running::start(&next, planned, Some(sockets)) {
        Ok(running) => {
            next.tell_warnings();
            next.say(
                Level::Info,
                format_args!("goes on with the new configuration"),
            );
            node.running = running;
            node.collector = next;
            Ok(Reload::Restarted(account))
        }
        Err(why) => {
            let again = plan(&node.collector).and_then(|planned| {
                #[cfg(feature = "file")]
                planned.go_on();
                let fresh = Default::default();
                Running::start(&node.collector, planned, Some(fresh))
            });
            let gone = match again {
                Ok(running) => {
                    node.running = running;
                    None
                }
                Err(gone) => Some(Box::new(gone)),
            };
            Err(refused(why, gone, Some(account)))
        }
    }
}
