//! A small node agent: every tick it relists the processes of this machine, as a kubelet relists its containers, and
//! traces what it does.
//!
//! The pipeline is set up in [`start`]; the rest is the agent's own work.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::environment::{Environment, ExporterName, Protocol};
use spanwire_transport::diagnostics::{Chain, Diagnostics};
use spanwire_transport::headers::Headers;
use spanwire_transport::receiver::grpc::GrpcReceiver;
use spanwire_transport::setup::Setup;

// What the command line says.
mod options;

// The processes of this machine.
mod machine;

// What a tick does.
mod agent;

// What passes on the way to the exporter.
mod watch;

// Where spans go when nobody says.
mod sink;

// What neighbours may ask.
mod service;

// What became of every span.
mod account;

use account::Account;
use agent::{Agent, Tick};
use options::{Header, InvalidOption, Options};
use service::Asked;
use sink::Sink;
use watch::Watch;

/// How long the last spans may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("node_agent: {}", Chain(&*error));
            eprintln!("node_agent --help says what can be asked for");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::of_process()?;
    if options.help {
        print(options::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    let (sender, events) = mpsc::channel();
    signals(sender.clone())?;
    let environment = Environment::of_process();
    let sink = match needs_sink(&options, &environment) {
        true => Some(Sink::start()?),
        false => None,
    };
    let is_wanted = !environment.exporters.is_empty();
    let watch = Watch::default();
    let propagator = environment.propagator();
    let pipeline = start(&options, environment, sink.as_ref(), &watch)?;

    let receiver = match &options.receive {
        Some(address) => Some(receive(address, &pipeline)?),
        None => None,
    };
    if let Some(address) = &options.serve {
        let ask = move |asked| drop(sender.send(Event::Asked(asked)));
        let bound = service::serve(address, propagator, ask);
        let bound = bound.map_err(|error| InvalidOption::new("--serve", error))?;
        print(&format!("serves     http://{bound}/relist"));
    }

    let mut agent = Agent::new(pipeline.tracer("node-agent"), options.proc.clone());
    work(&mut agent, &options, &watch, &events);

    if let Some(receiver) = receiver {
        // What neighbours have under way is taken in before the end.
        let _ = receiver.stop(PATIENCE);
    }
    let report = pipeline.shutdown(PATIENCE);
    let stats = pipeline.stats();
    let account = Account {
        report: &report,
        stats: &stats,
        bytes: watch.bytes(),
        is_wanted,
    };
    print(&format!("{}{account}", watch.tree()));
    if let Some(sink) = sink {
        let (spans, bytes) = (sink.spans(), sink.bytes());
        let (requests, compressed) = sink.requests();
        print(&format!(
            "received   {spans} spans in {bytes} bytes, by the server in this program; \
             {compressed} of {requests} requests were compressed"
        ));
    }
    Ok(match report.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}

/// Embeds Spanwire: what the environment says, and over it what the command line says.
fn start(
    options: &Options,
    environment: Environment,
    sink: Option<&Sink>,
    watch: &Watch,
) -> Result<Pipeline, Box<dyn Error>> {
    let diagnostics = Diagnostics::stderr();
    environment.tell(&diagnostics);
    let mut setup = Setup::new(environment).headers(headers(&options.headers)?);
    if let Some(protocol) = options.protocol {
        setup = setup.protocol(protocol);
    }
    let endpoint = options
        .endpoint
        .clone()
        .or_else(|| sink.map(Sink::endpoint));
    if let Some(endpoint) = endpoint {
        setup = setup.endpoint(&endpoint)?;
    }
    let watch = watch.clone();
    // A quarter of the memory is for neighbours, if they may send.
    let neighbours = match options.receive {
        Some(_) => options.memory_limit / 4,
        None => 0,
    };
    let mut builder = setup
        .apply(Pipeline::builder().service_name("node-agent"), &diagnostics)
        .memory_limit(options.memory_limit)
        .neighbours(neighbours)
        .stage(move || watch.clone());
    if let Some(rate) = options.sampling_rate {
        builder = builder.sampling_rate_per_million(rate);
    }
    Ok(builder.build()?)
}

fn headers(given: &[Header]) -> Result<Headers, InvalidOption> {
    let mut headers = Headers::new();
    for header in given {
        let (option, set) = match header {
            Header::Value { name, value } => ("--header", headers.set(name, value)),
            Header::File { name, path } => ("--header-file", headers.set_from_file(name, "", path)),
        };
        set.map_err(|error| InvalidOption::new(option, error))?;
    }
    Ok(headers)
}

/// Whether spans have no server to go to unless there is one in this program.
fn needs_sink(options: &Options, environment: &Environment) -> bool {
    let otlp = environment.exporters.contains(&ExporterName::Otlp) && !environment.disabled;
    let named = options.endpoint.is_some() || environment.otlp.endpoint.is_some();
    let protocol = options.protocol.or(environment.otlp.protocol);
    let grpc = protocol.is_none_or(|protocol| protocol == Protocol::Grpc);
    otlp && !named && grpc
}

/// Opens the door for neighbours: their spans leave through the same lanes as the agent's own.
fn receive(address: &str, pipeline: &Pipeline) -> Result<GrpcReceiver, InvalidOption> {
    let receiver = GrpcReceiver::builder()
        .endpoint(address)
        .serve(pipeline.intake())
        .map_err(|error| InvalidOption::new("--receive", error))?;
    if let Some(bound) = receiver.local_addr() {
        print(&format!("receives   OTLP/gRPC on {bound}"));
    }
    Ok(receiver)
}

/// What interrupts the ticks.
enum Event {
    /// The program is to end.
    End,
    /// Somebody wants a relist now.
    Asked(Asked),
}

/// An event comes when the program is to end. Told so twice, it ends at once: whoever hears of the first time may wait for a
/// server.
fn signals(sender: Sender<Event>) -> Result<(), ctrlc::Error> {
    let mut is_ending = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut is_ending, true) {
            eprintln!("node_agent: ends at once: it was told so twice");
            std::process::exit(options::AT_ONCE);
        }
        // Nobody listens any more: the program is ending.
        let _ = sender.send(Event::End);
    })
}

/// Ticks until it is time to stop, and says how it goes.
fn work(agent: &mut Agent, options: &Options, watch: &Watch, events: &Receiver<Event>) {
    let end = options
        .run_for
        .and_then(|time| Instant::now().checked_add(time));
    let shows = std::io::stdout().is_terminal();
    let mut due = Instant::now();
    'ticks: loop {
        let tick = agent.tick(None, |trace| watch.want(trace));
        if shows {
            print(&progress(&tick));
        }
        let now = Instant::now();
        // A tick that took longer than its time is followed by the next at once, not by all that it missed.
        due = due
            .checked_add(options.tick)
            .map_or(now, |due| due.max(now));
        let wake = end.map_or(due, |end| end.min(due));
        loop {
            match events.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Event::Asked(asked)) => {
                    let tick = agent.tick(asked.caller.as_ref(), |trace| watch.want(trace));
                    // A caller that has gone hears nothing.
                    let _ = asked.answer.send(progress(&tick));
                }
                Err(RecvTimeoutError::Timeout) if end.is_none_or(|end| Instant::now() < end) => {
                    continue 'ticks;
                }
                _ => return,
            }
        }
    }
}

fn progress(tick: &Tick) -> String {
    let trace = match tick.trace {
        Some(trace) => format!("trace {trace}"),
        None => "not sampled".into(),
    };
    format!(
        "{} processes, {} pods, {} started, {} ended, {} errors in {:.1?}: {trace}",
        tick.processes, tick.pods, tick.came, tick.went, tick.errors, tick.took
    )
}

/// Writes a line to standard output. Where nobody reads it any more, there is nobody to tell.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
