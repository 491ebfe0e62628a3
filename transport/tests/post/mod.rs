//! A client of HTTP/1.1 on a plain socket, that writes what it is told to, right or wrong, and reads what it is answered.
#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;

use spanwire_transport::receiver::http::{HttpReceiver, HttpReceiverBuilder};

use crate::client::LONG;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

pub(crate) fn receiver() -> HttpReceiverBuilder {
    HttpReceiver::builder().endpoint("127.0.0.1:0")
}

/// What a client is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// In the order of the answer, without `date`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// The message of the `google.rpc.Status` in it, or its words.
    pub(crate) fn says(&self) -> String {
        match self.header("content-type") {
            Some(PROTOBUF) => message(&self.body),
            Some(JSON) => {
                let status: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
                status["message"].as_str().unwrap_or_default().into()
            }
            _ => String::from_utf8(self.body.clone()).unwrap(),
        }
    }

    /// The code of the `google.rpc.Status` in it.
    pub(crate) fn code(&self) -> Option<u8> {
        match self.header("content-type") {
            Some(PROTOBUF) => match *self.body {
                [0x08, code, ..] => Some(code),
                _ => None,
            },
            Some(JSON) => {
                let status: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
                status["code"]
                    .as_u64()
                    .and_then(|code| code.try_into().ok())
            }
            _ => None,
        }
    }
}

/// A connection.
pub(crate) struct Caller<S> {
    stream: BufReader<S>,
}

/// A connection over TCP.
pub(crate) fn call(receiver: &HttpReceiver) -> Caller<TcpStream> {
    let stream = TcpStream::connect(receiver.local_addr().unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    Caller::over(stream)
}

impl Caller<TcpStream> {
    /// Says nothing more.
    pub(crate) fn end(&mut self) {
        // The other end may be gone already.
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }
}

impl<S: Read + Write> Caller<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.stream.get_mut().flush()
    }

    /// Posts spans, and reads the answer.
    pub(crate) fn post(&mut self, headers: &str, body: &[u8]) -> Answered {
        self.write(&posted(headers, body));
        self.read()
    }

    pub(crate) fn read(&mut self) -> Answered {
        self.try_read().expect("an answer")
    }

    /// The next answer; `None` where the connection has ended without one.
    pub(crate) fn try_read(&mut self) -> Option<Answered> {
        let line = self.line().filter(|line| line.starts_with("HTTP/1."))?;
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                None => break,
                Some(("date", _)) => {}
                Some((name, value)) => headers.push((name.to_string(), value.to_string())),
            }
        }
        let mut answered = Answered {
            status,
            headers,
            body: Vec::new(),
        };
        if let Some(length) = answered.header("content-length") {
            answered.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut answered.body).unwrap();
        }
        Some(answered)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_string()),
        }
    }

    /// Whether nothing more comes, and the connection has ended.
    pub(crate) fn is_closed(&mut self) -> bool {
        has_ended(&mut self.stream)
    }
}

/// Whether the next read finds the end of a connection, be it a reset. Not to have heard of it in time is none.
pub(crate) fn has_ended(stream: &mut impl Read) -> bool {
    loop {
        match stream.read(&mut [0]) {
            Ok(read) => return read == 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

/// A request as it is written. `headers` are lines, without the length.
pub(crate) fn posted(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The line of a content type.
pub(crate) fn of_type(media_type: &str) -> String {
    format!("content-type: {media_type}\r\n")
}

/// A body in chunks of so many bytes.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `google.rpc.Status.message`.
fn message(status: &[u8]) -> String {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    prost::Message::decode(status)
        .map(|status: Status| status.message)
        .unwrap()
}
