//! What neighbours may ask of the agent: `GET /relist` over HTTP. A caller that says in its headers which trace it is in, in
//! a format of `OTEL_PROPAGATORS`, has that trace continued.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use spanwire_core::context::SpanContext;
use spanwire_core::propagation::{Context, Propagator};

/// The most bytes of a request.
const MOST_BYTES: u64 = 8 << 10;

/// How long a caller may take, and has to wait at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// A caller wants a relist now.
pub(crate) struct Asked {
    /// What the caller does itself, if it says so.
    pub(crate) caller: Option<SpanContext>,
    /// Takes the answer.
    pub(crate) answer: Sender<String>,
}

/// Listens from now on, and hands on what is asked, one request after another.
pub(crate) fn serve(
    address: &str,
    propagator: impl Propagator + 'static,
    ask: impl Fn(Asked) + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that went away is told nothing.
            let _ = answer(&stream, &propagator, &ask);
        }
    });
    Ok(bound)
}

fn answer(
    mut stream: &TcpStream,
    propagator: &impl Propagator,
    ask: &impl Fn(Asked),
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(MOST_BYTES)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let (status, body) = if first.starts_with("GET /relist ") {
        let mut context = Context::EMPTY;
        propagator.extract(&headers, &mut context);
        let caller = Some(context.span_context().clone()).filter(SpanContext::is_valid);
        let (sender, answer) = mpsc::channel();
        ask(Asked {
            caller,
            answer: sender,
        });
        match answer.recv_timeout(PATIENCE) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("503 Service Unavailable", "the agent is ending".into()),
        }
    } else {
        ("404 Not Found", "ask for GET /relist".into())
    };
    let len = body.len() + 1;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}\n"
    )
}
