//! What runs.

use core::fmt;
use core::time::Duration;
#[cfg(feature = "file")]
use std::io;
use std::time::Instant;

use spanwire_core::pipeline::{Intake, Pipeline, Report};
use spanwire_core::resource::InstrumentationScope;
use spanwire_core::tracer::Tracer;

use super::health::Probes;
#[cfg(feature = "listen")]
use super::receiver::path;
use super::receiver::{Entrance, Open};
use super::scrape::{Scrapes, Told};
#[cfg(feature = "listen")]
use super::{CLOSING, LOOK};
use super::{Collector, Plan, StartError};
use crate::config::Fault;
use crate::diagnostics::Level;
#[cfg(feature = "file")]
use crate::exporter::file::FileExporterBuilder;

// What became of everything, at the end.
mod account;

// Another configuration, in place.
mod reload;

pub use self::account::{NodeAccount, Received};
pub use self::reload::{Reload, ReloadError};

/// A collector that runs inside this program. Made by [`Collector::start`].
///
/// It runs until [`shutdown`](Self::shutdown). Dropped, it cuts its receivers, and what has been taken in is exported by
/// the drop of the pipeline's last handle.
///
/// In a forked child it is of no use: nothing listens there, though the sockets stay open until the child ends or executes another
/// program.
#[must_use = "a node that is dropped ends"]
pub struct Node {
    // Dropped in this order.
    running: Running,
    collector: Collector,
}

/// Receivers before what they lead to.
struct Running {
    listening: Vec<Listening>,
    probes: Probes,
    scrapes: Scrapes,
    pipeline: Pipeline,
    told: Told,
}

/// A socket that neighbours send to.
pub struct Listening {
    receiver: String,
    protocol: &'static str,
    address: String,
    #[cfg_attr(
        not(feature = "listen"),
        allow(dead_code, reason = "there is no receiver to be asked")
    )]
    open: Box<dyn Open>,
}

impl Listening {
    /// The receiver's id, such as `otlp/kubelet`.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// What is spoken: `grpc` or `http`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Where: `host:port` with the port that was free, or what the configuration says of a Unix domain socket.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Why nothing is taken in there any more: see [`Node::failure`].
    #[cfg(feature = "listen")]
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.open.failure()
    }

    /// What happened there so far.
    #[cfg(feature = "listen")]
    #[must_use]
    pub fn stats(&self) -> crate::receiver::ReceiverStats {
        self.open.stats()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("receiver", &self.receiver)
            .field("protocol", &self.protocol)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Running {
    fn start(
        collector: &Collector,
        plan: Plan,
        before: Option<(Probes, Scrapes)>,
    ) -> Result<Self, StartError> {
        let again = before.is_some();
        let (probes, scrapes) = before.unzip();
        let probes = Probes::start(&plan.probes, probes)?;
        let scrapes = Scrapes::start(&plan.scrapes, scrapes)?;
        for address in scrapes.addresses() {
            collector.say(
                Level::Info,
                format_args!("metrics are served on http://{address}/metrics"),
            );
        }
        #[cfg(feature = "file")]
        plan.with_files(FileExporterBuilder::check)?;
        let pipeline = plan.pipeline(collector.adjust.as_ref(), collector.heard())?;
        let mut listening: Vec<Listening> = Vec::new();
        for entrance in &plan.entrances {
            // A receiver exists because a pipeline names it.
            let Some(intake) = pipeline.receiver(&entrance.id) else {
                continue;
            };
            let open = match serve(entrance, &intake, again) {
                Ok(open) => open,
                Err(why) => {
                    // What is open already is closed by the time that the caller is told.
                    #[cfg(feature = "listen")]
                    for listening in &listening {
                        let _ = listening.open.stop(CLOSING);
                    }
                    let path = entrance.path();
                    return Err(StartError::Listen { path, why });
                }
            };
            let address = open.local_addr();
            let address = address.map_or_else(|| entrance.endpoint.clone(), |it| it.to_string());
            collector.say(
                Level::Info,
                format_args!("{} takes {} on {address}", entrance.id, entrance.protocol),
            );
            listening.push(Listening {
                receiver: entrance.id.clone(),
                protocol: entrance.protocol,
                address,
                open,
            });
        }
        let mut receivers: Vec<_> = listening.iter().map(Listening::receiver).collect();
        // One that speaks both protocols listens twice.
        receivers.dedup();
        let exporters = plan.outlets.iter();
        let told = Told {
            receivers: receivers.join(","),
            exporters: exporters
                .map(|outlet| (outlet.kind, outlet.id.clone()))
                .collect(),
        };
        // Not before all else has started: what is in a file is not lost to a start that fails.
        #[cfg(feature = "file")]
        plan.with_files(FileExporterBuilder::begin)?;
        scrapes.tell(&told, &pipeline);
        probes.ready();
        Ok(Self {
            listening,
            probes,
            scrapes,
            pipeline,
            told,
        })
    }

    /// Lets go of the sockets, but for those of probes and of who scrapes.
    fn close(&mut self) -> (Probes, Scrapes) {
        self.listening.clear();
        self.scrapes.clear();
        let probes = core::mem::take(&mut self.probes);
        (probes, core::mem::take(&mut self.scrapes))
    }

    /// Takes in no more, and exports what was taken in.
    fn shutdown(&self, within: Duration) -> NodeAccount {
        self.probes.unavailable();
        let begun = Instant::now();
        // What senders have under way is finished first, and half of the time is left for the way out.
        let half = within / 2;
        let left = |of: Duration| of.saturating_sub(begun.elapsed());
        let mut received = Vec::new();
        #[cfg(feature = "listen")]
        {
            for listening in &self.listening {
                listening.open.begin_to_stop(half);
            }
            for listening in &self.listening {
                let stopped = listening.open.stop(left(half));
                received.push(Received {
                    receiver: listening.receiver.clone(),
                    protocol: listening.protocol,
                    stats: listening.open.stats(),
                    cut: stopped.cut,
                });
            }
        }
        #[cfg(not(feature = "listen"))]
        let _ = (half, &mut received);
        let report = Box::new(self.pipeline.shutdown(left(within)));
        NodeAccount { report, received }
    }
}

/// Listens. The socket of a configuration before may take a moment to close, however short its end was.
fn serve(entrance: &Entrance, intake: &Intake, again: bool) -> Result<Box<dyn Open>, String> {
    #[cfg(feature = "listen")]
    if again {
        let begun = Instant::now();
        while begun.elapsed() < CLOSING {
            if let Ok(open) = entrance.serve(intake.clone()) {
                return Ok(open);
            }
            std::thread::sleep(LOOK);
        }
    }
    #[cfg(not(feature = "listen"))]
    let _ = again;
    entrance.serve(intake.clone())
}

impl Node {
    pub(super) fn start(collector: Collector, plan: Plan) -> Result<Self, StartError> {
        Ok(Self {
            running: Running::start(&collector, plan, None)?,
            collector,
        })
    }

    /// The tracer of an instrumentation scope, whose spans leave through the pipeline that takes this program's own. Make it
    /// once and keep it, until a [`reload`](Self::reload).
    #[must_use]
    pub fn tracer(&self, scope: impl Into<InstrumentationScope>) -> Tracer {
        self.running.pipeline.tracer(scope)
    }

    /// The pipelines, for what else can be asked of them.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.running.pipeline
    }

    /// The sockets that neighbours send to, in the order of the receivers' ids, gRPC before HTTP.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.running.listening
    }

    /// Why one of the receivers takes nothing in any more, although nobody has stopped it: the keys that lead to it, and what
    /// is wrong, such as a host's runtime that does no I/O or has ended. `None` while all is well. A program that has
    /// nothing else to do had better end then, so that it is started again.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        #[cfg(feature = "listen")]
        for listening in &self.running.listening {
            if let Some(why) = listening.failure() {
                let (receiver, protocol) = (&listening.receiver, listening.protocol);
                return Some(format!("{}: {why}", path(receiver, protocol)));
            }
        }
        None
    }

    /// Where probes are answered, one address for each `health_check`.
    #[must_use]
    pub fn probes(&self) -> &[String] {
        self.running.probes.addresses()
    }

    /// What is odd about the configuration: see [`Collector::warnings`].
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        self.collector.warnings()
    }

    /// How things stand, as Prometheus text: see [`Exposition`](crate::telemetry::Exposition).
    #[must_use]
    pub fn metrics(&self) -> String {
        self.running.told.text(&self.running.pipeline)
    }

    /// Where metrics are served, one address for each reader of `service::telemetry::metrics`.
    #[must_use]
    pub fn scraped(&self) -> &[String] {
        self.running.scrapes.addresses()
    }

    /// Exports every span that was admitted or has ended by now, and says how that went.
    pub fn flush(&self, within: Duration) -> Report {
        self.running.pipeline.flush(within)
    }

    /// Ends: probes are told so, receivers accept no more and finish what is under way within half of the time, and then what
    /// was taken in is exported within the rest. Waits on this thread; on the one thread of a host's runtime that it runs on,
    /// nothing would go on meanwhile.
    pub fn shutdown(self, within: Duration) -> NodeAccount {
        self.running.shutdown(within)
    }

    /// Goes on with another configuration, in the place of this one.
    ///
    /// The new one was validated when it was made, so a wrong file costs nothing. Then this node ends as
    /// [`shutdown`](Self::shutdown) has it, and the new one starts: within one budget at a time. What neighbours send in
    /// between is refused by the system, and they send it again. If the new one can't start, the old one is started again.
    ///
    /// Where neither the configuration has changed nor who takes own spans nor the memory, nothing happens: what
    /// [`adjust`](Collector::adjust) is given, the runtime and the diagnostics are not compared. Files of headers' tokens and of certificates are read again when they
    /// change, without any of this. A [`tracer`](Self::tracer) from before has to be made anew: its later spans count as
    /// dropped after the shutdown.
    ///
    /// # Errors
    ///
    /// [`ReloadError`] says what could not start, and whether the old configuration runs again.
    pub fn reload(&mut self, next: Collector, within: Duration) -> Result<Reload, ReloadError> {
        reload::reload(self, next, within)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("listening", &self.running.listening)
            .field("pipeline", &self.running.pipeline)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "file")]
impl Plan {
    /// Does something with each file that is written to.
    fn with_files(
        &self,
        act: impl Fn(&FileExporterBuilder) -> io::Result<()>,
    ) -> Result<(), StartError> {
        let files = self.outlets.iter();
        let mut files = files.filter_map(|outlet| Some((outlet, outlet.file.as_ref()?)));
        files.try_for_each(|(outlet, file)| {
            act(file).map_err(|error| StartError::File {
                path: format!("exporters::{}::path", outlet.id),
                why: format!("{}: {}", file.path().display(), said(&error)),
            })
        })
    }

    /// It takes the place of what wrote to the same files until now.
    fn go_on(&self) {
        for outlet in &self.outlets {
            outlet.file.iter().for_each(FileExporterBuilder::go_on);
        }
    }
}

/// What the system says, without its number.
#[cfg(feature = "file")]
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text.get(..at).unwrap_or(&text).to_lowercase(),
        None => text,
    }
}
