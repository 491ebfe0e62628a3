//! Connections that wait for the next export.

use std::sync::{Mutex, MutexGuard, PoisonError};

use core::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::RequestBody;

/// How long a connection is kept without a request: servers and what stands between hang up on older ones.
const IDLE: Duration = Duration::from_secs(90);

/// A connection that is made, and where.
pub(super) struct Line {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) moves: usize,
}

/// The connections of one exporter that nobody uses now.
pub(super) struct Pool {
    idle: Mutex<Vec<(Line, Instant)>>,
    most: usize,
}

impl Pool {
    /// Keeps so many at most.
    pub(super) fn new(most: usize) -> Self {
        Self {
            idle: Mutex::default(),
            most,
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Line, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, of those made in this place that are still good.
    pub(super) fn take(&self, moves: usize) -> Option<Line> {
        let mut idle = self.idle();
        idle.retain(|(line, since)| {
            line.moves == moves && !line.sender.is_closed() && since.elapsed() < IDLE
        });
        let at = idle.iter().rposition(|(line, _)| line.sender.is_ready())?;
        Some(idle.remove(at).0)
    }

    pub(super) fn put(&self, line: Line) {
        let mut idle = self.idle();
        if line.sender.is_closed() {
            return;
        }
        if idle.len() >= self.most {
            idle.remove(0);
        }
        idle.push((line, Instant::now()));
    }
}
