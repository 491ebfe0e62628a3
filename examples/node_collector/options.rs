//! What the command line says.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

pub(crate) const HELP: &str = "\
Takes in the spans of this node's programs and sends them on, as a Collector's configuration says.

Usage: node_collector --config FILE [OPTIONS]

      --config FILE   the configuration, as YAML: ${env:NAME}, ${env:NAME:-DEFAULT} and ${file:PATH} are filled in;
                      may be given again: what a file says goes before what those before it said, key by key
      --check         say what is wrong with it, and end; opens no socket
      --print         print it as it is used, with every default and without secrets, and end
      --lenient       leave out, with a warning, what a Collector has and this has not
      --drain TIME    how long the end may take: 500ms, 5s, 2m [default: 10s]
  -h, --help          print this

SIGTERM and SIGINT end it: receivers finish what is under way, what was taken in is sent, and the account is printed. A second
one ends it at once.
SIGHUP reads the files again. One that is wrong, or that can't start, changes nothing. Otherwise receivers, pipelines and
exporters start anew; meanwhile clients are refused, and send again. Files of certificates are read again when they
change, without a signal.

Exit codes:
  0  everything was sent; with --check and --print: the configuration is valid
  1  spans were lost, up to the end or up to a reload
  2  the options or the configuration can't be used, what they ask for can't start, or a receiver has failed
  3  it was told twice to end, and did not wait for spans to be sent";

/// Exit codes, as `HELP` has them.
pub(crate) const LOST: u8 = 1;
pub(crate) const UNUSABLE: u8 = 2;
pub(crate) const AT_ONCE: u8 = 3;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) help: bool,
    pub(crate) config: Vec<PathBuf>,
    pub(crate) check: bool,
    pub(crate) print: bool,
    pub(crate) lenient: bool,
    pub(crate) drain: Duration,
}

/// An option that can't be used.
#[derive(Debug)]
pub(crate) struct InvalidOption(String);

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidOption {}

impl From<lexopt::Error> for InvalidOption {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

impl Options {
    /// Reads the arguments of this process.
    pub(crate) fn of_process() -> Result<Self, InvalidOption> {
        let mut options = Self {
            help: false,
            config: Vec::new(),
            check: false,
            print: false,
            lenient: false,
            drain: Duration::from_secs(10),
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => options.help = true,
                Long("config") => options.config.push(path(parser.value()?)?),
                Long("check") => options.check = true,
                Long("print") => options.print = true,
                Long("lenient") => options.lenient = true,
                Long("drain") => options.drain = time(&parser.value()?.string()?)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }

    /// The files, at least one.
    pub(crate) fn files(&self) -> Result<&[PathBuf], InvalidOption> {
        match self.config.is_empty() {
            true => Err(InvalidOption("--config: it needs a file".into())),
            false => Ok(&self.config),
        }
    }
}

/// What a Collector takes for a file: a path, or one behind `file:`. A scheme has two characters at least, so that a letter
/// is a drive.
fn path(value: OsString) -> Result<PathBuf, InvalidOption> {
    let Some((scheme, rest)) = value.to_str().and_then(|text| text.split_once(':')) else {
        return Ok(value.into());
    };
    let is_scheme = scheme.len() >= 2
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    match (is_scheme, scheme) {
        (true, "file") => Ok(rest.into()),
        (true, other) => Err(InvalidOption(format!(
            "--config: scheme \"{other}\" is not supported for uri; supported is file"
        ))),
        (false, _) => Ok(value.into()),
    }
}

fn time(text: &str) -> Result<Duration, InvalidOption> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let number = number.parse::<u32>().ok();
    match number.zip(millis) {
        Some((number, millis)) => Ok(Duration::from_millis(u64::from(number) * millis)),
        None => Err(InvalidOption(format!(
            "--drain: {text:?} is not a time such as 500ms, 5s or 2m"
        ))),
    }
}
