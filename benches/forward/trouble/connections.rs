//! A thousand connections that come to nothing, while a neighbour goes on sending and another one comes.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use spanwire_benches::{
    goal::{
        Bound::{AtLeast, AtMost},
        Goal,
    },
    grpc::{self, EXPORT},
    memory::MEBIBYTE,
};
use spanwire_transport::receiver::{CONNECTION_BYTES, HTTP_CONNECTION_BYTES, READ_AHEAD_BYTES};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

use super::{
    Chain, NEIGHBOURS, bounded,
    client::{Grpc, Heard, Http, Requests, http_head},
    memory_goals,
    watch::descriptors,
};

/// How many there are of each kind.
const MANY: usize = 1000;

/// How long a connection may take to be made: the backlog of a listener is short.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two requests of the neighbour.
const EVERY: Duration = Duration::from_millis(10);

/// Descriptors that may be left, or be there beside those of connections: what the relay needs for itself.
const LEFT: f64 = 8.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Idle,
    HalfSent,
    Reset,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Idle, Self::HalfSent, Self::Reset];

    const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::HalfSent => "half-sent",
            Self::Reset => "reset",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Grpc,
    Http,
}

impl Door {
    /// Connections that a third of the neighbours' share pays for when it is divided between two receivers.
    fn held(self) -> f64 {
        let each = match self {
            Self::Grpc => READ_AHEAD_BYTES + CONNECTION_BYTES,
            Self::Http => HTTP_CONNECTION_BYTES,
        };
        ((NEIGHBOURS << 20) / 3 / 2 / each) as f64
    }
}

/// A neighbour of either kind.
enum Neighbour {
    Grpc(Grpc),
    Http(Http),
}

impl Neighbour {
    async fn connect(door: Door, port: u16) -> io::Result<Self> {
        Ok(match door {
            Door::Grpc => Self::Grpc(Grpc::connect(port).await?),
            Door::Http => Self::Http(Http::connect(port).await?),
        })
    }

    async fn export(&mut self, message: &[u8]) -> io::Result<Heard> {
        match self {
            Self::Grpc(client) => client.export(message).await.map_err(io::Error::other),
            Self::Http(client) => client.export(message).await,
        }
    }
}

/// What the neighbour heard.
#[derive(Default)]
struct Told {
    taken: usize,
    other: Vec<String>,
    slowest: f64,
}

pub fn run(held: Duration) -> io::Result<Vec<Goal>> {
    let mut chain = Chain::start(NEIGHBOURS)?;
    let mut goals = Vec::new();
    println!("\n## {MANY} connections that come to nothing\n");
    println!(
        "All are opened at once, and held for {held:?} or reset. Meanwhile a neighbour that was there before sends {} requests \
         a second on its connection, and another connects and sends one.\n",
        1000 / EVERY.as_millis()
    );
    println!(
        "| door | connections | opened | descriptors before | at most | after | peak resident, MiB | neighbour: calls | not taken | \
         slowest, ms | the newcomer, ms | evicted | cut |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    let all = chain.watch();
    let mut taken = 0;
    for door in [Door::Grpc, Door::Http] {
        for kind in Kind::ALL {
            eprintln!("connections: {door:?}, {}", kind.word());
            let before = chain.account()?;
            let watch = chain.watch();
            let port = match door {
                Door::Grpc => chain.grpc,
                Door::Http => chain.http,
            };
            let (opened, told, newcomer) = bounded(
                held + Duration::from_secs(60),
                trouble(door, kind, port, held),
            )?;
            let after = settled(&mut chain, watch.descriptors_before())?;
            let (most, account) = (watch.end(), chain.account()?);
            println!(
                "| {door:?} | {} | {opened} | {} | {} | {after} | {:.1} | {} | {} | {:.1} | {newcomer:.1} | {:.0} | {:.0} |",
                kind.word(),
                most.descriptors_before,
                most.descriptors,
                most.resident / MEBIBYTE,
                told.taken,
                told.other.len(),
                told.slowest,
                account.evicted - before.evicted,
                account.cut - before.cut,
            );
            if let Some(first) = told.other.first() {
                eprintln!("the first that was not taken: {first}");
            }
            taken += told.taken + 1;
            let goal = |what: &str, figure, bound| {
                let what = format!("connections, {door:?}, {}: {what}", kind.word());
                Goal::new(what, figure, bound)
            };
            goals.extend([
                goal("opened", opened as f64, AtLeast(MANY as f64 * 0.9)),
                goal(
                    "calls of the neighbour not taken",
                    told.other.len() as f64,
                    AtMost(0.0),
                ),
                goal("slowest call, ms", told.slowest, AtMost(1000.0)).by_the_clock(),
                goal("the newcomer's call, ms", newcomer, AtMost(5000.0)).by_the_clock(),
                goal(
                    "descriptors more than before, at most",
                    most.descriptors as f64 - most.descriptors_before as f64,
                    AtMost(door.held() + LEFT),
                ),
                goal(
                    "descriptors left behind",
                    after as f64 - most.descriptors_before as f64,
                    AtMost(LEFT),
                ),
            ]);
        }
    }
    let account = chain.settle()?;
    let arrived = chain.arrived()?;
    goals.push(Goal::new(
        "connections: requests taken less those that came",
        (taken as f64 - arrived.requests).abs() + arrived.torn,
        AtMost(0.0),
    ));
    goals.extend(memory_goals("connections", &account, &all.end()));
    Ok(goals)
}

/// Waits until the descriptors are as they were, or do not become so.
fn settled(chain: &mut Chain, before: usize) -> io::Result<usize> {
    let began = Instant::now();
    loop {
        let now = descriptors(chain.relay.id());
        let open = chain.account()?.open;
        if (open == 0.0 && now <= before) || began.elapsed() > Duration::from_secs(10) {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn trouble(
    door: Door,
    kind: Kind,
    port: u16,
    held: Duration,
) -> io::Result<(usize, Told, f64)> {
    let requests = Rc::new(RefCell::new(Requests::numbered_from(
        (door as u64 * 3 + kind as u64) << 32,
    )));
    let told = Rc::new(RefCell::new(Told::default()));
    let ended = Rc::new(Cell::new(false));
    let mut neighbour = Neighbour::connect(door, port).await?;
    let sending = tokio::task::spawn_local({
        let (requests, told, ended) = (requests.clone(), told.clone(), ended.clone());
        async move {
            while !ended.get() {
                let message = requests.borrow_mut().make().1;
                let start = Instant::now();
                let heard = neighbour.export(&message).await;
                {
                    let mut told = told.borrow_mut();
                    told.slowest = told.slowest.max(super::millis(start));
                    match heard {
                        Ok(Heard::Taken) => told.taken += 1,
                        other => told.other.push(format!("{other:?}")),
                    }
                }
                sleep(EVERY).await;
            }
        }
    });
    sleep(held / 4).await;
    let began = Instant::now();
    let opened = Rc::new(Cell::new(0));
    let mut connections = Vec::new();
    for _ in 0..MANY {
        let opened = opened.clone();
        let said = said(door, kind);
        connections.push(tokio::task::spawn_local(async move {
            let connect = TcpStream::connect(("127.0.0.1", port));
            let Ok(Ok(mut stream)) = tokio::time::timeout(PATIENCE, connect).await else {
                return;
            };
            opened.set(opened.get() + 1);
            // Who is sent away does not mind.
            let _ = stream.write_all(&said).await;
            if kind == Kind::Reset {
                sleep(Duration::from_millis(20)).await;
                let _ = stream.set_zero_linger();
            } else {
                sleep(held.saturating_sub(began.elapsed())).await;
            }
        }));
    }
    sleep(held / 4).await;
    let message = requests.borrow_mut().make().1;
    let start = Instant::now();
    let mut other = Neighbour::connect(door, port).await?;
    let heard = other.export(&message).await;
    let newcomer = super::millis(start);
    if !matches!(heard, Ok(Heard::Taken)) {
        return Err(io::Error::other(format!("the newcomer heard {heard:?}")));
    }
    sleep(held.saturating_sub(began.elapsed())).await;
    for connection in connections {
        connection.await.map_err(io::Error::other)?;
    }
    ended.set(true);
    sending.await.map_err(io::Error::other)?;
    Ok((opened.get(), told.take(), newcomer))
}

/// What is sent on such a connection: half of a request, where it is not nothing.
fn said(door: Door, kind: Kind) -> Vec<u8> {
    match (kind, door) {
        (Kind::Idle, _) => Vec::new(),
        (_, Door::Http) => {
            let mut said = http_head(100_000);
            said.resize(said.len() + 50_000, 0);
            said
        }
        // The preface and settings that change nothing; the head of an export in literals; a message of 100,000 bytes, of
        // which half a frame comes. RFC 9113, 3.4 and 4.1; RFC 7541, 6.2.2.
        (_, Door::Grpc) => {
            let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
            let mut block = Vec::new();
            for (name, value) in [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", EXPORT),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ] {
                block.push(0);
                for text in [name, value] {
                    block.push(text.len() as u8);
                    block.extend(text.as_bytes());
                }
            }
            let mut frame = |kind: u8, flags: u8, length: usize, payload: &[u8]| {
                said.extend(&(length as u32).to_be_bytes()[1..]);
                said.extend([kind, flags, 0, 0, 0, 1]);
                said.extend(payload);
            };
            frame(1, 4, block.len(), &block);
            let mut half = grpc::prefix(false, 100_000).to_vec();
            half.resize(8000, 0);
            frame(0, 0, 16_000, &half);
            said
        }
    }
}
