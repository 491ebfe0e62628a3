//! What the command line says.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use spanwire_core::sampler::PerMillion;
use spanwire_transport::config::environment::Protocol;
use spanwire_transport::endpoint::Endpoint;

use crate::machine::Proc;

pub(crate) const HELP: &str = "\
Relists the processes of this machine, and traces what it does.

Usage: node_agent [OPTIONS]

Without --endpoint, and without an endpoint in the environment, spans go over a socket to an OTLP/gRPC server
inside this program. It ends with Ctrl-C, SIGTERM, or --for, and then prints one trace and the account. A second
Ctrl-C or SIGTERM ends it at once.

      --for TIME            end after this time: 500ms, 5s, 2m
      --tick TIME           relist this often [default: 1s]
      --proc DIR            where to look for processes, such as where a container has its host's [default: /proc]
      --endpoint URL        where spans go: http://HOST:PORT, https://HOST:PORT, unix:PATH, HOST:PORT
      --protocol NAME       grpc, http/protobuf, http/json
      --header NAME=VALUE   send a header with every request; may be repeated
      --header-file NAME=PATH
                            send a header whose value stands in a file, which is read again when it changes
      --receive HOST:PORT   take in spans of neighbours over OTLP/gRPC, which leave as the agent's own do
      --serve HOST:PORT     answer GET /relist with a relist at once, in the caller's trace if its headers name one
      --sampling-rate-per-million N
                            keep N of a million traces, from 0 to 1000000
      --memory-limit BYTES  all memory for spans; Ki, Mi and Gi may follow [default: 8Mi]
  -h, --help                print this

OTEL_* variables are followed as the OpenTelemetry specification has them; an option wins over a variable.

Exit codes: 0 every span was exported, 1 spans were lost, 2 the options or the settings can't be used,
3 it was told twice to end.";

/// The exit code when it was told twice to end.
pub(crate) const AT_ONCE: i32 = 3;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) help: bool,
    pub(crate) run_for: Option<Duration>,
    pub(crate) tick: Duration,
    pub(crate) proc: Proc,
    pub(crate) endpoint: Option<String>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) headers: Vec<Header>,
    pub(crate) receive: Option<String>,
    pub(crate) serve: Option<String>,
    pub(crate) sampling_rate: Option<i32>,
    pub(crate) memory_limit: usize,
}

/// A header, and where its value comes from.
pub(crate) enum Header {
    Value { name: String, value: String },
    File { name: String, path: PathBuf },
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { name, .. } => write!(f, "{name}=<hidden>"),
            Self::File { name, path } => write!(f, "{name}={}", path.display()),
        }
    }
}

/// An option that can't be used. It shows no value that may be a secret.
#[derive(Debug)]
pub(crate) struct InvalidOption(String);

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidOption {}

impl InvalidOption {
    pub(crate) fn new(option: &str, why: impl fmt::Display) -> Self {
        Self(format!("{option}: {why}"))
    }
}

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
            run_for: None,
            tick: Duration::from_secs(1),
            proc: Proc("/proc".into()),
            endpoint: None,
            protocol: None,
            headers: Vec::new(),
            receive: None,
            serve: None,
            sampling_rate: None,
            memory_limit: 8 << 20,
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => options.help = true,
                Long("for") => options.run_for = Some(time("--for", &text("--for", &mut parser)?)?),
                Long("tick") => options.tick = time("--tick", &text("--tick", &mut parser)?)?,
                Long("proc") => options.proc = proc(parser.value()?.into())?,
                Long("endpoint") => {
                    options.endpoint = Some(endpoint(text("--endpoint", &mut parser)?)?);
                }
                Long("protocol") => {
                    options.protocol = Some(protocol(&text("--protocol", &mut parser)?)?);
                }
                Long("header") => {
                    let (name, value) = pair("--header", &text("--header", &mut parser)?)?;
                    options.headers.push(Header::Value { name, value });
                }
                Long("header-file") => {
                    let (name, path) = pair("--header-file", &text("--header-file", &mut parser)?)?;
                    let path = path.into();
                    options.headers.push(Header::File { name, path });
                }
                Long("receive") => options.receive = Some(text("--receive", &mut parser)?),
                Long("serve") => options.serve = Some(text("--serve", &mut parser)?),
                Long(name @ "sampling-rate-per-million") => {
                    let option = format!("--{name}");
                    options.sampling_rate = Some(rate(&option, &text(&option, &mut parser)?)?);
                }
                Long("memory-limit") => {
                    options.memory_limit = bytes(&text("--memory-limit", &mut parser)?)?;
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

fn text(option: &str, parser: &mut lexopt::Parser) -> Result<String, InvalidOption> {
    let value = parser.value()?;
    // What is no text is not shown: it may be a secret all the same.
    value
        .into_string()
        .map_err(|_| InvalidOption::new(option, "the value is not UTF-8"))
}

fn time(option: &str, text: &str) -> Result<Duration, InvalidOption> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number = number.parse::<u32>().ok().filter(|number| *number > 0);
    match number.zip(millis) {
        Some((number, millis)) => Ok(Duration::from_millis(u64::from(number) * millis)),
        None => Err(InvalidOption::new(
            option,
            format_args!("{text:?} is not a time such as 500ms, 5s or 2m"),
        )),
    }
}

fn bytes(text: &str) -> Result<usize, InvalidOption> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" => Some(1),
        "Ki" | "KiB" => Some(1 << 10),
        "Mi" | "MiB" => Some(1 << 20),
        "Gi" | "GiB" => Some(1 << 30),
        _ => None,
    };
    let number = number.parse::<usize>().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| {
            InvalidOption::new(
                "--memory-limit",
                format_args!("{text:?} is not a number of bytes such as 8388608 or 8Mi"),
            )
        })
}

fn rate(option: &str, text: &str) -> Result<i32, InvalidOption> {
    let rate = text.parse::<i32>().map_err(|_| {
        InvalidOption::new(
            option,
            format_args!("{text:?} is not a whole number from 0 to 1000000"),
        )
    })?;
    match PerMillion::new(rate) {
        Ok(_) => Ok(rate),
        Err(error) => Err(InvalidOption::new(option, error)),
    }
}

fn proc(path: PathBuf) -> Result<Proc, InvalidOption> {
    let proc = Proc(path);
    match proc.pids() {
        Ok(_) => Ok(proc),
        Err(error) => Err(InvalidOption::new(
            "--proc",
            format_args!("{}: {error}", proc.0.display()),
        )),
    }
}

fn endpoint(text: String) -> Result<String, InvalidOption> {
    match text.parse::<Endpoint>() {
        Ok(_) => Ok(text),
        Err(error) => Err(InvalidOption::new("--endpoint", error)),
    }
}

fn protocol(text: &str) -> Result<Protocol, InvalidOption> {
    match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::HttpProtobuf),
        "http/json" => Ok(Protocol::HttpJson),
        _ => Err(InvalidOption::new(
            "--protocol",
            format_args!("{text:?} is not one of grpc, http/protobuf, http/json"),
        )),
    }
}

fn pair(option: &str, text: &str) -> Result<(String, String), InvalidOption> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.into(), value.into())),
        None => Err(InvalidOption::new(option, "there is no '=' in it")),
    }
}
