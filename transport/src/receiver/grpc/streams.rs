//! The requests of one connection, handled in the task of the connection.
//!
//! A connection reads a little, hands out what it has read, and reads on when every request has taken its part: what is read
//! and not taken is bounded by [`READ_AHEAD_BYTES`](crate::receiver::connection::READ_AHEAD_BYTES), however large the
//! flow-control windows are.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use crate::receiver::connection::Connection;

/// How often a connection reads on before others have their turn.
const TURNS: usize = 16;

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the futures of requests from the connection that reads them.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

/// Between a connection, its requests, and who wakes them.
struct Shared {
    begun: Mutex<Vec<Request>>,
    /// Who is to be polled, by place.
    ready: Mutex<Vec<usize>>,
    /// The task of the connection.
    task: Mutex<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            begun: Mutex::default(),
            ready: Mutex::default(),
            task: Mutex::new(Waker::noop().clone()),
        }))
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        lock(&self.0.begun).push(Box::pin(future));
    }
}

/// Wakes one request.
struct Bell {
    place: usize,
    rung: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            lock(&self.shared.ready).push(self.place);
            lock(&self.shared.task).wake_by_ref();
        }
    }
}

/// Where a request is handled; used again for the next.
struct Place {
    request: Option<Request>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Place {
    fn new(number: usize, shared: &Arc<Shared>) -> Self {
        let bell = Arc::new(Bell {
            place: number,
            rung: AtomicBool::new(false),
            shared: shared.clone(),
        });
        Self {
            request: None,
            waker: bell.clone().into(),
            bell,
        }
    }
}

/// A connection and its requests.
pub(super) struct Multiplexed<P> {
    protocol: Pin<Box<P>>,
    connection: Connection,
    shared: Arc<Shared>,
    places: Vec<Place>,
    free: Vec<usize>,
    /// Those to be polled, while they are.
    turn: Vec<usize>,
}

impl<P: Future> Multiplexed<P> {
    /// `protocol` gives its requests to `streams`.
    pub(super) fn new(protocol: P, streams: Streams, connection: Connection) -> Self {
        Self {
            protocol: Box::pin(protocol),
            connection,
            shared: streams.0,
            places: Vec::new(),
            free: Vec::new(),
            turn: Vec::new(),
        }
    }

    pub(super) fn protocol(&mut self) -> Pin<&mut P> {
        self.protocol.as_mut()
    }

    /// Gives places to requests that have begun.
    fn seat(&mut self) {
        for request in lock(&self.shared.begun).drain(..) {
            let number = self.free.pop().unwrap_or_else(|| {
                let number = self.places.len();
                self.places.push(Place::new(number, &self.shared));
                number
            });
            if let Some(place) = self.places.get_mut(number) {
                place.request = Some(request);
                if !place.bell.rung.swap(true, Ordering::AcqRel) {
                    self.turn.push(number);
                }
            }
        }
    }

    /// Polls the requests that have begun or were woken.
    fn handle(&mut self) {
        self.seat();
        self.turn.append(&mut lock(&self.shared.ready));
        for number in self.turn.drain(..) {
            let Some(place) = self.places.get_mut(number) else {
                continue;
            };
            place.bell.rung.store(false, Ordering::Release);
            let Some(request) = &mut place.request else {
                continue;
            };
            let mut context = Context::from_waker(&place.waker);
            if request.as_mut().poll(&mut context).is_ready() {
                place.request = None;
                self.free.push(number);
            }
        }
    }
}

impl<P: Future> Future for Multiplexed<P> {
    type Output = P::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<P::Output> {
        let this = &mut *self;
        {
            let mut task = lock(&this.shared.task);
            if !task.will_wake(context.waker()) {
                task.clone_from(context.waker());
            }
        }
        for _ in 0..TURNS {
            let polled = this.protocol.as_mut().poll(context);
            this.handle();
            if polled.is_ready() {
                return polled;
            }
            // Otherwise it has read all there is, or is woken by the request that has to take its part first.
            if !this.connection.reads_on() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
