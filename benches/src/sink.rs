//! The server, in a process of its own: counts the spans of each request on the wire, and answers as it is told. It is the
//! same for every peer, and decodes nothing.

use std::{
    io::{self, BufRead, Read},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use spanwire_core::wire::split::count_spans;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    cpu::{self, Place},
    tally::Tally,
};

/// What it makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// OK, after so many milliseconds.
    After(u64),
    /// Nothing, until the mood changes.
    Stuck,
    /// `UNAVAILABLE`.
    Refusing,
}

impl Mood {
    /// The word for it between processes.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::After(millis) => millis.to_string(),
            Self::Stuck => "stuck".into(),
            Self::Refusing => "refusing".into(),
        }
    }
}

impl FromStr for Mood {
    type Err = std::num::ParseIntError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "stuck" => Ok(Self::Stuck),
            "refusing" => Ok(Self::Refusing),
            millis => millis.parse().map(Self::After),
        }
    }
}

/// Serves on this port, or one that is free where it is 0, until standard input ends; each line of it is a mood. Says the port
/// first.
///
/// # Errors
///
/// There is no tally, or the port is taken.
pub fn run(tally: &str, port: u16) -> io::Result<()> {
    cpu::pin_this_thread(Place::Core(cpu::cores() - 1));
    let tally = Tally::open(tally)?;
    let (moods, mood) = watch::channel(Mood::After(0));
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if let Some(mood) = line.ok().and_then(|line| line.parse().ok()) {
                moods.send_replace(mood);
            }
        }
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, tally, mood.clone()));
        }
    })
}

async fn serve(stream: TcpStream, tally: Tally, mood: watch::Receiver<Mood>) {
    // What servers written in Rust and Go give a client that has much to say.
    let built = Builder::new()
        .initial_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20)
        .handshake::<_, Bytes>(stream)
        .await;
    let Ok(mut connection) = built else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let mood = mood.clone();
        tokio::spawn(async move {
            // A stream that is reset counts nothing.
            let _ = answer(request, respond, tally, mood).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    tally: Tally,
    mut mood: watch::Receiver<Mood>,
) -> Result<(), h2::Error> {
    let coding = request.headers().get("grpc-encoding").cloned();
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        message.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    let spans = match message.split_first_chunk::<5>() {
        Some(([0, ..], bytes)) => count_spans(bytes),
        Some((_, bytes)) => decompressed(bytes, coding.as_ref()).map_or(0, |all| count_spans(&all)),
        None => 0,
    } as u64;
    loop {
        let now = *mood.borrow_and_update();
        match now {
            Mood::Stuck => {
                if mood.changed().await.is_err() {
                    return Ok(());
                }
            }
            Mood::Refusing => {
                let mut response = Response::new(());
                set(response.headers_mut(), "14");
                respond.send_response(response, true)?;
                return Ok(());
            }
            Mood::After(millis) => {
                if millis > 0 {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                let mut response = Response::new(());
                let kind = HeaderValue::from_static("application/grpc");
                response.headers_mut().insert("content-type", kind);
                let mut stream = respond.send_response(response, false)?;
                stream.send_data(Bytes::from_static(&[0; 5]), false)?;
                let mut trailers = HeaderMap::new();
                set(&mut trailers, "0");
                stream.send_trailers(trailers)?;
                tally.add(spans);
                return Ok(());
            }
        }
    }
}

fn decompressed(bytes: &[u8], coding: Option<&HeaderValue>) -> io::Result<Vec<u8>> {
    if coding.is_some_and(|coding| coding == "zstd") {
        return zstd::decode_all(bytes);
    }
    let mut all = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut all)?;
    Ok(all)
}

fn set(headers: &mut HeaderMap, status: &'static str) {
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(status));
}
