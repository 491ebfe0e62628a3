//! The bytes of a connection, between the socket and HTTP: heads that come too slowly, and an end that loses no answer.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::dial::Connection as Stream;
use crate::otlp::MAX_REQUEST;

/// How long it is read on after an answer that came before the request was whole. A socket that is closed with unread bytes
/// in it is reset, and a reset takes the answer with it. RFC 9112, 9.6.
const LINGER: Duration = Duration::from_secs(2);

/// The most bytes that are read on, and let go of.
const MOST_LINGER: usize = MAX_REQUEST;

/// What the requests of a connection and its bytes know of each other.
#[derive(Default)]
pub(super) struct Talk {
    /// A request is being answered.
    answering: AtomicBool,
    /// Something was answered of which not everything had been read.
    unread: AtomicBool,
}

impl Talk {
    /// A head has come. Until the guard is dropped, what is read is a body.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.answering.store(true, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// The rest of a request is not read.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }
}

/// A request is being answered.
pub(super) struct Answering(Arc<Talk>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

/// A stream as HTTP sees it.
pub(super) struct Wire {
    stream: Stream,
    talk: Arc<Talk>,
    /// How long a head may take from its first byte; `None`: as long as it likes.
    head_timeout: Option<Duration>,
    /// When the head that has begun has to be whole.
    head_by: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes read since the end of the answers, once that was sent.
    lingering: Option<usize>,
}

impl Wire {
    pub(super) fn new(stream: Stream, talk: Arc<Talk>, head_timeout: Option<Duration>) -> Self {
        Self {
            stream,
            talk,
            head_timeout,
            head_by: None,
            timer: None,
            lingering: None,
        }
    }

    /// Ready at `at`.
    fn wait(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.talk.answering.load(Ordering::Relaxed) {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        match polled {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                if self.head_by.is_none() {
                    self.head_by = self
                        .head_timeout
                        .and_then(|timeout| Instant::now().checked_add(timeout));
                }
                polled
            }
            Poll::Pending => match self.head_by {
                None => Poll::Pending,
                Some(at) => self
                    .wait(at, context)
                    .map(|()| Err(io::ErrorKind::TimedOut.into())),
            },
            polled => polled,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Whatever is answered: its head was whole.
        self.head_by = None;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.talk.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.lingering = Some(0);
            self.timer = Some(Box::pin(sleep_until(Instant::now() + LINGER)));
        }
        let mut chunk = [0; 4096];
        loop {
            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut chunk);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            let more = buffer.filled().len();
            let so_far = self.lingering.get_or_insert(0);
            *so_far = so_far.saturating_add(more);
            if read.is_err() || more == 0 || *so_far > MOST_LINGER {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.head_by = None;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
