//! A collector for one node: what `--config` says, inside this process, until a signal ends it.
//!
//! Everything it does is the library's: [`Collector::from_config`], [`Collector::start`], [`Node::shutdown`].

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use spanwire_transport::config::collector::Config;
use spanwire_transport::config::{InvalidConfig, Process};
use spanwire_transport::diagnostics::{Chain, Diagnostics, Level};
use spanwire_transport::setup::collector::{Collector, Node, Reload};

// What the command line says.
mod options;

// What the system says.
#[cfg_attr(unix, path = "signals/unix.rs")]
#[cfg_attr(not(unix), path = "signals/other.rs")]
mod signals;

use options::Options;
use signals::{Signal, Signals};

/// How often it is asked whether the receivers are well.
const LOOK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", Chain(&*error));
            ExitCode::from(options::UNUSABLE)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::of_process().map_err(with_advice)?;
    if options.help {
        print(options::HELP);
        return Ok(ExitCode::SUCCESS);
    }
    let files = options.files().map_err(with_advice)?;
    if options.check || options.print {
        let collector = load(files, options.lenient)?;
        for warning in collector.warnings() {
            eprintln!("warning: {warning}");
        }
        match options.print {
            true => print(collector.config().to_string().trim_end()),
            false => print(&format!("{}: valid", names(files))),
        }
        return Ok(ExitCode::SUCCESS);
    }

    let signals = heard(Signals::new()?);
    let mut node = load(files, options.lenient)?
        .start()
        .map_err(|error| in_files(files, &error))?;
    let mut complete = true;
    let failure = loop {
        match signals.recv_timeout(LOOK) {
            Ok(Signal::Reload) => complete &= reload(&mut node, files, &options)?,
            Ok(Signal::End) | Err(RecvTimeoutError::Disconnected) => break None,
            // A collector that takes nothing in is of no use until somebody starts it again.
            Err(RecvTimeoutError::Timeout) => {
                if let Some(failure) = node.failure() {
                    break Some(failure);
                }
            }
        }
    };
    let account = node.shutdown(options.drain);
    print(&account.to_string());
    if let Some(failure) = failure {
        let files = names(files);
        return Err(format!("{files}: {failure}: nothing is taken in there any more").into());
    }
    Ok(match complete && account.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(options::LOST),
    })
}

/// Signals as they come. The second one that says to end is obeyed here, since whoever hears the first one waits for spans to leave.
fn heard(signals: Signals) -> Receiver<Signal> {
    let (tell, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut is_ending = false;
        for signal in signals {
            if matches!(signal, Signal::End) && std::mem::replace(&mut is_ending, true) {
                let message = format_args!("ends at once: it was told so twice");
                Diagnostics::stderr().say(Level::Warn, "signal", message);
                std::process::exit(options::AT_ONCE.into());
            }
            if tell.send(signal).is_err() {
                return;
            }
        }
    });
    heard
}

/// A validated configuration.
fn load(files: &[PathBuf], lenient: bool) -> Result<Collector, Box<dyn Error>> {
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
        texts.push((name, text));
    }
    let texts: Vec<_> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let loaded = match lenient {
        true => Config::load_all_lenient(&texts, &Process),
        false => Config::load_all(&texts, &Process),
    };
    let collector = loaded.and_then(Collector::from_config);
    let collector = collector.map_err(|error| wrong(files, &error))?;
    Ok(collector.diagnostics(Diagnostics::stderr()))
}

/// Goes on as the file says now, or as it was, and tells whether everything was sent so far. An error: it does not go on.
fn reload(node: &mut Node, files: &[PathBuf], options: &Options) -> Result<bool, Box<dyn Error>> {
    let say = Diagnostics::stderr();
    let next = match load(files, options.lenient) {
        Ok(next) => next,
        Err(error) => {
            let why = Chain(&*error);
            let message = format_args!("the old configuration runs on\n{why}");
            say.say(Level::Error, "reload", message);
            return Ok(true);
        }
    };
    let ended = match node.reload(next, options.drain) {
        Ok(Reload::Restarted(account)) => Some(account),
        Ok(_) => {
            say.say(Level::Info, "reload", format_args!("nothing has changed"));
            None
        }
        Err(error) if error.gone.is_some() => return Err(in_files(files, &error)),
        Err(error) => {
            say.say(Level::Error, "reload", format_args!("{}", Chain(&error)));
            error.account
        }
    };
    if let Some(account) = &ended {
        print(&account.to_string());
    }
    Ok(ended.is_none_or(|account| account.is_complete()))
}

/// Each fault on a line, with the name of its file before it as compilers put it.
fn wrong(files: &[PathBuf], error: &InvalidConfig) -> Box<dyn Error> {
    let faults = error.faults().iter();
    let lines: Vec<_> = faults
        .map(|fault| match fault.file {
            Some(_) => fault.to_string(),
            None => format!("{}:{fault}", names(files)),
        })
        .collect();
    lines.join("\n").into()
}

fn in_files(files: &[PathBuf], error: &(dyn Error + 'static)) -> Box<dyn Error> {
    format!("{}:{}", names(files), Chain(error)).into()
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join("+")
}

fn with_advice(error: impl fmt::Display) -> Box<dyn Error> {
    format!("node_collector: {error}\nnode_collector --help says what can be asked for").into()
}

/// Writes a line to standard output. Where nobody reads it any more, there is nobody to tell.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
