//! Three times what the server takes, for as long as is asked.

use std::{
    cell::RefCell,
    collections::HashSet,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use spanwire_benches::{
    figure::percentile,
    goal::{
        Bound::{AtLeast, AtMost},
        Goal,
    },
};

use super::{
    Chain, NEIGHBOURS, bounded,
    client::{Grpc, Heard, Requests},
    memory_goals, sink,
};
use crate::load::SPANS;

/// Milliseconds before the server answers.
const SLOW: &str = "1000";

/// How long it is looked what the server takes.
const LOOK: Duration = Duration::from_secs(4);

/// What is offered, times that: a bit more than the goal, because a machine that is busy takes some of it.
const TIMES: f64 = 3.3;

/// Connections, and requests under way on each at most.
const CONNECTIONS: usize = 4;
const STREAMS: usize = 8;

/// What clients were told.
#[derive(Default)]
struct Told {
    taken: HashSet<u64>,
    later: usize,
    wrong: Vec<String>,
    calls: Vec<f64>,
}

impl Told {
    /// Whether it was refused for now.
    fn hear(&mut self, number: u64, start: Instant, heard: Result<Heard, h2::Error>) -> bool {
        self.calls.push(super::millis(start));
        let refused = matches!(heard, Ok(Heard::Later(_)));
        match heard {
            Ok(Heard::Taken) => {
                self.taken.insert(number);
            }
            Ok(Heard::Later(_)) => self.later += 1,
            other => self.wrong.push(format!("{other:?}")),
        }
        refused
    }

    fn offered(&self) -> usize {
        self.taken.len() + self.later + self.wrong.len()
    }
}

pub fn run(length: Duration) -> io::Result<Vec<Goal>> {
    eprintln!("overload: {length:?}");
    let mut chain = Chain::start(NEIGHBOURS)?;
    chain.sink.say(SLOW)?;
    chain.relay.say("record")?;
    let watch = chain.watch();
    let told = Rc::new(RefCell::new(Told::default()));
    let requests = Rc::new(RefCell::new(Requests::numbered_from(0)));

    // As much as is taken: fills what the relay may hold, and then goes as fast as the server does.
    offer(&chain, &told, &requests, None, LOOK / 2)?;
    let before = chain.arrived()?;
    let since = Instant::now();
    offer(&chain, &told, &requests, None, LOOK)?;
    let takes = (chain.arrived()?.spans - before.spans) / since.elapsed().as_secs_f64();

    let offered = told.borrow().offered();
    let (before, own_before) = (chain.arrived()?, chain.account()?.own);
    let pace = takes * TIMES / SPANS as f64;
    let since = Instant::now();
    offer(&chain, &told, &requests, Some(pace), length)?;
    let seconds = since.elapsed().as_secs_f64();
    let during = chain.arrived()?;
    let account = chain.account()?;
    let offered = (told.borrow().offered() - offered) as f64 * SPANS as f64;
    let arrived = during.spans - before.spans;
    let (own, own_arrived) = (account.own - own_before, during.own - before.own);

    // The server recovers.
    chain.sink.say("0")?;
    chain.relay.say("rest")?;
    let account = chain.settle()?;
    let most = watch.end();
    let end = chain.arrived()?;
    let told = told.take();
    let call = |percent| percentile(told.calls.iter().copied(), percent);
    let taken = (told.taken.len() * SPANS) as f64;

    println!("\n## A server that takes a third\n");
    println!(
        "It answers after {SLOW} ms, and took {takes:.0} spans a second when it was offered as much as it would take. Then it \
         was offered {:.0} a second for {seconds:.1} s, on {CONNECTIONS} connections, and took {:.0}. In the whole run, the \
         clients sent {} requests: {} were taken, {} refused as UNAVAILABLE with a RetryInfo, {} answered otherwise{}. A call \
         took {:.1} ms in the median, {:.1} ms at the 99th percentile.\n",
        offered / seconds,
        arrived / seconds,
        told.offered(),
        told.taken.len(),
        told.later,
        told.wrong.len(),
        told.wrong
            .first()
            .map_or(String::new(), |wrong| format!(", the first {wrong}")),
        call(50),
        call(99),
    );
    println!(
        "Once the server had recovered and the relay was flushed: {taken:.0} spans were told to be taken, {:.0} came, in {:.0} \
         requests; {:.0} of these not whole, or more than once. Of its own, the relay recorded {:.0}, of which {:.0} came; while \
         the server was slow it recorded {own:.0}, and {own_arrived:.0} came. The relay says: {account:?}",
        end.spans, end.requests, end.torn, account.own, end.own,
    );
    let goal = |what: &str, figure, bound| Goal::new(format!("overload: {what}"), figure, bound);
    let same = end.digest == sink::digest(told.taken.iter().copied()) as f64;
    let mut goals = vec![
        goal("seconds", seconds, AtLeast(length.as_secs_f64())).by_the_clock(),
        goal(
            "spans offered for each that was sent on",
            offered / arrived,
            AtLeast(3.0),
        )
        .by_the_clock(),
        goal("requests refused for now", told.later as f64, AtLeast(1.0)),
        goal(
            "requests answered otherwise",
            told.wrong.len() as f64,
            AtMost(0.0),
        ),
        goal(
            "spans told to be taken that did not come",
            taken - end.spans,
            AtMost(0.0),
        ),
        goal(
            "spans that came and were not told to be taken",
            end.spans - taken,
            AtMost(0.0),
        ),
        goal("requests torn, or sent twice", end.torn, AtMost(0.0)),
        goal(
            "other requests than those that were taken",
            f64::from(!same),
            AtMost(0.0),
        ),
        goal(
            "spans in the relay's account less the server's",
            (account.exported - end.spans - end.own_spans).abs(),
            AtMost(0.0),
        ),
        goal(
            "spans let in less those that clients were told of",
            (account.admitted - taken).abs(),
            AtMost(0.0),
        ),
        goal(
            "refusals in the relay's account less the clients'",
            // A body that made room for others is cut, and told the same.
            (account.refused + account.cut - told.later as f64).abs(),
            AtMost(0.0),
        ),
        goal(
            "spans possibly sent twice",
            account.possibly_twice,
            AtMost(0.0),
        ),
        goal(
            "spans dropped, turned away or not settled",
            account.dropped + account.turned_away + account.waiting + f64::from(!account.settled),
            AtMost(0.0),
        ),
        goal("own spans recorded, a second", own / seconds, AtLeast(50.0)).by_the_clock(),
        goal(
            "own spans that came meanwhile, of a hundred",
            own_arrived / own * 100.0,
            AtLeast(50.0),
        )
        .by_the_clock(),
        goal(
            "own spans dropped, or that never came",
            account.own_dropped + (account.own - end.own).abs(),
            AtMost(0.0),
        ),
    ];
    goals.extend(memory_goals("overload", &account, &most));
    Ok(goals)
}

/// Offers so many requests a second, or as many as are taken, none of them twice.
fn offer(
    chain: &Chain,
    told: &Rc<RefCell<Told>>,
    requests: &Rc<RefCell<Requests>>,
    pace: Option<f64>,
    length: Duration,
) -> io::Result<()> {
    let port = chain.grpc;
    bounded(length + Duration::from_secs(60), async {
        let began = Instant::now();
        let due = Rc::new(RefCell::new(0.0));
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = Rc::new(Grpc::connect(port).await?);
            for _ in 0..STREAMS {
                let (client, told) = (client.clone(), told.clone());
                let (requests, due) = (requests.clone(), due.clone());
                senders.push(tokio::task::spawn_local(async move {
                    loop {
                        if let Some(pace) = pace {
                            let at = due.replace_with(|due| *due + 1.0 / pace);
                            tokio::time::sleep_until((began + Duration::from_secs_f64(at)).into())
                                .await;
                        }
                        if began.elapsed() >= length {
                            break;
                        }
                        let (number, message) = requests.borrow_mut().make();
                        let start = Instant::now();
                        let heard = client.export(&message).await;
                        let refused = told.borrow_mut().hear(number, start, heard);
                        if refused && pace.is_none() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }));
            }
        }
        for sender in senders {
            sender.await.map_err(io::Error::other)?;
        }
        Ok(())
    })
}
