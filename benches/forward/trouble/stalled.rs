//! Streams that announce as much as a message may have, send nearly all of it, and stall.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use spanwire_benches::{
    goal::{
        Bound::{AtLeast, AtMost},
        Goal,
    },
    grpc,
    memory::MEBIBYTE,
};
use tokio::time::{sleep, timeout};

use super::{
    Chain, NEIGHBOURS_WITH_LARGE_MESSAGES, bounded,
    client::{Grpc, Heard, Requests, head, hear, push},
    memory_goals,
};

const CONNECTIONS: usize = 4;
const STREAMS: usize = 64;

/// What each of them says it will send; all but the last byte comes, as far as it is taken.
const ANNOUNCED: usize = 4 << 20;

/// Between two requests of the neighbour.
const EVERY: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Seen {
    begun: usize,
    refused: usize,
    wrong: Vec<String>,
    taken: usize,
    not_taken: Vec<String>,
    slowest: f64,
}

pub fn run(held: Duration) -> io::Result<Vec<Goal>> {
    eprintln!("streams that stall");
    let mut chain = Chain::start(NEIGHBOURS_WITH_LARGE_MESSAGES)?;
    let watch = chain.watch();
    let seen = Rc::new(RefCell::new(Seen::default()));
    let port = chain.grpc;
    bounded(
        held + Duration::from_secs(60),
        trouble(port, held, seen.clone()),
    )?;
    // The relay notices within its own time that they have gone.
    let gone = Instant::now();
    while chain.account()?.open > 0.0 && gone.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let account = chain.settle()?;
    let most = watch.end();
    let arrived = chain.arrived()?;
    let seen = seen.take();
    println!("\n## Streams that stall\n");
    println!(
        "{CONNECTIONS} connections of {STREAMS} streams, each of which announces {ANNOUNCED} bytes and sends all but the last \
         where it may; who is refused comes again after 100 ms, for {held:?}: {} streams begun, {} refused as UNAVAILABLE with \
         a RetryInfo, {} answered otherwise{}. A neighbour sent meanwhile: {} requests taken, {} not, the slowest in {:.1} ms; \
         {:.0} came. The relay says: {account:?}",
        seen.begun,
        seen.refused,
        seen.wrong.len(),
        first(&seen.wrong),
        seen.taken,
        seen.not_taken.len(),
        seen.slowest,
        arrived.requests,
    );
    let goal = |what: &str, figure, bound| Goal::new(format!("stalled: {what}"), figure, bound);
    let mut goals = vec![
        goal(
            "streams begun",
            seen.begun as f64,
            AtLeast((CONNECTIONS * STREAMS) as f64),
        ),
        goal(
            "neighbours' share in use at most, MiB",
            account.neighbours_high_water / MEBIBYTE,
            AtLeast(8.0),
        ),
        goal(
            "streams answered otherwise",
            seen.wrong.len() as f64,
            AtMost(0.0),
        ),
        goal(
            "requests of the neighbour taken",
            seen.taken as f64,
            AtLeast(held.as_secs_f64() * 10.0),
        )
        .by_the_clock(),
        goal(
            "requests of the neighbour not taken",
            seen.not_taken.len() as f64,
            AtMost(0.0),
        ),
        goal(
            "requests taken less those that came",
            (seen.taken as f64 - arrived.requests).abs() + arrived.torn,
            AtMost(0.0),
        ),
        goal(
            "bytes of neighbours still held at the end",
            account.neighbours_in_use,
            AtMost(0.0),
        ),
    ];
    goals.extend(memory_goals("stalled", &account, &most));
    Ok(goals)
}

fn first(words: &[String]) -> String {
    words
        .first()
        .map_or(String::new(), |word| format!(", the first {word}"))
}

async fn trouble(port: u16, held: Duration, seen: Rc<RefCell<Seen>>) -> io::Result<()> {
    let began = Instant::now();
    let rest = Bytes::from(vec![0; ANNOUNCED - 1]);
    let prefix = Bytes::copy_from_slice(&grpc::prefix(false, ANNOUNCED));
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = Rc::new(Grpc::connect(port).await?);
        for _ in 0..STREAMS {
            let (client, seen) = (client.clone(), seen.clone());
            let (prefix, rest) = (prefix.clone(), rest.clone());
            streams.push(tokio::task::spawn_local(async move {
                while began.elapsed() < held {
                    seen.borrow_mut().begun += 1;
                    let left = held.saturating_sub(began.elapsed());
                    let stall = stall(&client, prefix.clone(), rest.clone());
                    match timeout(left, stall).await {
                        Err(_) => break,
                        Ok(Ok(Heard::Later(_))) => seen.borrow_mut().refused += 1,
                        Ok(other) => seen.borrow_mut().wrong.push(format!("{other:?}")),
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }));
        }
    }
    let ended = Rc::new(Cell::new(false));
    let sending = tokio::task::spawn_local({
        let (seen, ended) = (seen.clone(), ended.clone());
        async move {
            let neighbour = Grpc::connect(port).await?;
            let mut requests = Requests::numbered_from(0);
            while !ended.get() {
                let message = requests.make().1;
                let start = Instant::now();
                let heard = neighbour.export(&message).await;
                {
                    let mut seen = seen.borrow_mut();
                    seen.slowest = seen.slowest.max(super::millis(start));
                    match heard {
                        Ok(Heard::Taken) => seen.taken += 1,
                        other => seen.not_taken.push(format!("{other:?}")),
                    }
                }
                sleep(EVERY).await;
            }
            Ok::<_, io::Error>(())
        }
    });
    for stream in streams {
        stream.await.map_err(io::Error::other)?;
    }
    ended.set(true);
    sending.await.map_err(io::Error::other)?
}

/// Sends all but the last byte, and waits for what the relay says to that.
async fn stall(client: &Grpc, prefix: Bytes, rest: Bytes) -> Result<Heard, h2::Error> {
    let mut send = client.send.clone().ready().await?;
    let (answer, mut stream) = send.send_request(head(), false)?;
    let stalled = async {
        push(&mut stream, prefix, false).await?;
        push(&mut stream, rest, false).await?;
        std::future::pending::<Result<(), h2::Error>>().await
    };
    tokio::pin!(stalled);
    tokio::pin! { let heard = hear(answer); }
    tokio::select! {
        heard = &mut heard => heard,
        // Refused before all was sent, the stream is reset, and the answer is there.
        _ = &mut stalled => heard.await,
    }
}
