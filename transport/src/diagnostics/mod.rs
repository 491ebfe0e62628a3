//! What is said to people, and how often.
//!
//! A [`Diagnostics`] hands messages to one callback. It never waits, never panics and never loops:
//!
//! - equal messages are told once a minute, with the number of those kept back;
//! - of all messages together at most thirty are told in a minute;
//! - what is said while a message is being delivered, by whomever, is dropped and counted, so that a callback whose own
//!   work says something does not call itself;
//! - a callback that panics costs its message.
//!
//! While the callback runs, its thread records no spans. OpenTelemetry library guidelines, "Self-diagnostics".

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use spanwire_core::current;

// An error and what it comes from.
mod chain;

// How often the same may be said.
mod limit;

// Spans that are lost, and exports that fail.
mod losses;

// The `log` facade, if there is one.
#[cfg(feature = "log")]
#[path = "facade.rs"]
mod facade;
#[cfg(not(feature = "log"))]
#[path = "no_facade.rs"]
mod facade;

pub use self::chain::Chain;
use self::limit::{Limit, Verdict};
pub use self::losses::Losses;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Spans are lost, or will be.
    Error,
    /// Something is not as it was meant, and goes on.
    Warn,
    /// Worth knowing once.
    Info,
    /// For those who look into a fault.
    Debug,
}

impl Level {
    /// The level in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message to people. It carries no secret.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Diagnostic<'a> {
    /// How much it matters.
    pub level: Level,
    /// Which part of the program says it, such as `exporter/file`.
    pub component: &'a str,
    /// What is said: one sentence without a full stop.
    pub message: &'a str,
    /// How many equal messages were kept back since the last one that was told.
    pub suppressed: u64,
}

impl fmt::Display for Diagnostic<'_> {
    /// `component: message`, and in brackets how many equal messages were kept back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.component, self.message)?;
        match self.suppressed {
            0 => Ok(()),
            count => write!(f, " ({count} more like this since it was last said)"),
        }
    }
}

/// Where messages to people go. Clones share the callback and the limits.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use spanwire_transport::diagnostics::{Diagnostics, Level};
///
/// let heard = Arc::new(Mutex::new(Vec::new()));
/// let list = heard.clone();
/// let diagnostics = Diagnostics::new(move |said| list.lock().unwrap().push(said.to_string()));
///
/// for _ in 0..1000 {
///     diagnostics.say(Level::Warn, "exporter/file", format_args!("the disk is full"));
/// }
/// assert_eq!(*heard.lock().unwrap(), ["exporter/file: the disk is full"]);
/// assert_eq!(diagnostics.suppressed(), 999);
/// ```
#[derive(Clone)]
pub struct Diagnostics {
    inner: Arc<Inner>,
    /// What is said at most; `None`: nothing.
    most: Option<Level>,
}

struct Inner {
    callback: Box<dyn Fn(&Diagnostic<'_>) + Send + Sync>,
    limit: Mutex<Limit>,
    /// A message is with the callback.
    delivering: AtomicBool,
    suppressed: AtomicU64,
    dropped: AtomicU64,
}

impl Diagnostics {
    /// Hands messages to `callback`, on whichever thread says them. It should return soon.
    #[must_use]
    pub fn new(callback: impl Fn(&Diagnostic<'_>) + Send + Sync + 'static) -> Self {
        Self {
            inner: Arc::new(Inner {
                callback: Box::new(callback),
                limit: Mutex::new(Limit::new()),
                delivering: AtomicBool::new(false),
                suppressed: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            }),
            most: Some(Level::Debug),
        }
    }

    /// Tells nobody anything.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Writes lines to standard error: for command lines.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(|said| {
            use std::io::Write;
            // Where nobody listens, nobody can be told.
            let _ = writeln!(std::io::stderr().lock(), "{}: {said}", said.level);
        })
    }

    /// The same, which says nothing that matters less than this; with `None`, nothing at all.
    ///
    /// ```
    /// use spanwire_transport::diagnostics::{Diagnostics, Level};
    ///
    /// let diagnostics = Diagnostics::new(|said| assert_eq!(said.level, Level::Error));
    /// let errors = diagnostics.up_to(Some(Level::Error));
    /// errors.say(Level::Warn, "exporter/file", format_args!("the disk is nearly full"));
    /// errors.say(Level::Error, "exporter/file", format_args!("the disk is full"));
    /// assert_eq!(errors.dropped(), 0);
    /// ```
    #[must_use]
    pub fn up_to(&self, most: Option<Level>) -> Self {
        Self {
            inner: self.inner.clone(),
            most: self.most.min(most),
        }
    }

    /// Says something, unless it has been said often enough. `component` names the part of the program, such as
    /// `exporter/file`. The message must not carry a secret.
    pub fn say(&self, level: Level, component: &str, message: fmt::Arguments<'_>) {
        self.say_times(1, level, component, message);
    }

    /// Says something that happened so many times: once, and the others count as kept back.
    pub(crate) fn say_times(
        &self,
        times: u64,
        level: Level,
        component: &str,
        message: fmt::Arguments<'_>,
    ) {
        if times == 0 || Some(level) > self.most {
            return;
        }
        let inner = &*self.inner;
        // Acquire: pairs with the release of `Delivery`; what one delivery did happened before the next.
        let taken =
            inner
                .delivering
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            inner.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let _delivery = Delivery(&inner.delivering);
        // The message is the caller's code, as the callback is the host's: neither may cost a batch.
        let told = catch_unwind(AssertUnwindSafe(|| {
            let message = message.to_string();
            let verdict = inner
                .limit
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .admit((level, component, &message), times, Instant::now());
            let told = u64::from(verdict != Verdict::Keep);
            inner.suppressed.fetch_add(times - told, Ordering::Relaxed);
            match verdict {
                Verdict::Tell { suppressed } => {
                    let _quiet = current::suppress();
                    (inner.callback)(&Diagnostic {
                        level,
                        component,
                        message: &message,
                        suppressed,
                    });
                }
                Verdict::Keep => {}
            }
        }));
        if told.is_err() {
            inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Messages kept back because the same, or enough, had been said.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.inner.suppressed.load(Ordering::Relaxed)
    }

    /// Messages dropped because another was being delivered, or because the callback panicked.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }
}

impl Default for Diagnostics {
    /// To the `log` facade, with the target `spanwire`. Without the feature `log`: [`silent`](Self::silent), a library
    /// writes nothing that nobody asked for.
    fn default() -> Self {
        Self::new(facade::tell)
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics")
            .field("suppressed", &self.suppressed())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// A message on its way. Its end, a panic's too, makes room for the next.
struct Delivery<'a>(&'a AtomicBool);

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::mpsc::channel;

    use super::*;

    type Heard = Arc<Mutex<Vec<String>>>;

    fn listening() -> (Diagnostics, Heard) {
        let heard = Heard::default();
        let list = heard.clone();
        let diagnostics = Diagnostics::new(move |said| list.lock().unwrap().push(said.to_string()));
        (diagnostics, heard)
    }

    #[test]
    fn equal_messages_are_told_once_and_others_as_they_come() {
        let (diagnostics, heard) = listening();
        for round in 0..10 {
            diagnostics.say(Level::Warn, "a", format_args!("same"));
            diagnostics.say(Level::Error, "a", format_args!("same"));
            diagnostics.say(Level::Warn, "b", format_args!("same"));
            diagnostics.say(Level::Warn, "a", format_args!("other {}", round / 5));
        }
        let heard = heard.lock().unwrap().clone();
        assert_eq!(
            heard,
            ["a: same", "a: same", "b: same", "a: other 0", "a: other 1"]
        );
        assert_eq!(diagnostics.suppressed(), 35);
        assert_eq!(diagnostics.dropped(), 0);
    }

    /// A callback that says something itself: through the same thread, and through another one.
    #[test]
    fn what_is_said_during_a_delivery_is_dropped_and_counted() {
        static SELF: OnceLock<Diagnostics> = OnceLock::new();
        let (calls, called) = channel();
        let diagnostics = SELF.get_or_init(|| {
            Diagnostics::new(move |said| {
                calls.send(said.message.to_string()).unwrap();
                let Some(diagnostics) = SELF.get() else {
                    return;
                };
                diagnostics.say(
                    Level::Error,
                    "a",
                    format_args!("from within {}", said.message),
                );
                std::thread::spawn(|| diagnostics.say(Level::Error, "a", format_args!("beside")))
                    .join()
                    .unwrap();
            })
        });
        diagnostics.say(Level::Error, "a", format_args!("first"));
        assert_eq!(called.try_iter().collect::<Vec<_>>(), ["first"]);
        assert_eq!(diagnostics.dropped(), 2);
        diagnostics.say(Level::Error, "a", format_args!("second"));
        assert_eq!(called.try_iter().collect::<Vec<_>>(), ["second"]);
    }

    #[test]
    fn a_callback_that_panics_costs_its_message_only() {
        let diagnostics = Diagnostics::new(|said| assert_ne!(said.message, "bad"));
        diagnostics.say(Level::Error, "a", format_args!("bad"));
        assert_eq!(diagnostics.dropped(), 1);
        diagnostics.say(Level::Error, "a", format_args!("good"));
        assert_eq!(diagnostics.dropped(), 1);
    }

    #[test]
    fn the_callback_runs_where_no_span_is_recorded() {
        let (sender, receiver) = channel();
        let diagnostics = Diagnostics::new(move |_| sender.send(current::is_suppressed()).unwrap());
        diagnostics.say(Level::Info, "a", format_args!("x"));
        assert_eq!(receiver.try_recv(), Ok(true));
        assert!(!current::is_suppressed());
    }

    #[test]
    fn many_threads_at_once_lose_no_count() {
        let (diagnostics, heard) = listening();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        diagnostics.say(Level::Warn, "a", format_args!("same"));
                    }
                });
            }
        });
        let told = heard.lock().unwrap().len() as u64;
        assert_eq!(told, 1);
        assert_eq!(
            told + diagnostics.suppressed() + diagnostics.dropped(),
            1000
        );
    }

    #[cfg(feature = "log")]
    #[test]
    fn the_default_is_the_log_facade() {
        static HEARD: Mutex<Vec<(log::Level, String, String)>> = Mutex::new(Vec::new());
        struct Logger;
        impl log::Log for Logger {
            fn enabled(&self, _: &log::Metadata<'_>) -> bool {
                true
            }
            fn log(&self, record: &log::Record<'_>) {
                let said = (
                    record.level(),
                    record.target().into(),
                    record.args().to_string(),
                );
                HEARD.lock().unwrap().push(said);
            }
            fn flush(&self) {}
        }
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        Diagnostics::default().say(Level::Warn, "a", format_args!("b"));
        let expected = (log::Level::Warn, "spanwire".to_string(), "a: b".to_string());
        assert_eq!(*HEARD.lock().unwrap(), [expected]);
    }
}
