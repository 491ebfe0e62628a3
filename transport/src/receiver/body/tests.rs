use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::sync::Arc;

use http_body::Frame;
use spanwire_core::limiter::{Door, MemoryLimiter, OVERHEAD};

use super::*;
use crate::receiver::connection::Stay;
use crate::receiver::pressure::{BODY_STALL, FIRST_BODY_STALL, Pressure};

const MIB: usize = 1 << 20;

fn share(bytes: usize) -> (MemoryLimiter, Account) {
    let limiter = MemoryLimiter::builder(bytes)
        .reserve(0)
        .neighbours(bytes)
        .spike(bytes / 4)
        .build()
        .unwrap();
    let door = limiter.door(Door::Neighbours);
    (limiter, door)
}

fn on(account: &Account, allowance: usize) -> Connection {
    let stay = Stay {
        handshake: Duration::MAX,
        opening: 0,
        max_idle: None,
        max_age: None,
        age_grace: None,
    };
    let pressure = Pressure::on(account);
    Connection::new(Arc::new(stay), Arc::default(), pressure, allowance, None)
}

/// A connection on a share of its own.
pub(in crate::receiver) fn connection(allowance: usize) -> Connection {
    on(&share(8 * MIB).1, allowance)
}

#[tokio::test]
async fn a_permit_grows_with_what_has_come_and_ends_at_the_length() {
    let (limiter, account) = share(8 * MIB);
    let connection = connection(4 * MIB);
    let length = 300_000;
    let mut draft = Draft::begin(&account, &connection, Some(length), 4 * MIB).unwrap();
    let mut granted = vec![account.in_use() - OVERHEAD];
    let chunk = vec![7; 10_000];
    for n in 1..=30 {
        draft.put(&chunk).unwrap();
        let now = account.in_use() - OVERHEAD;
        assert!(now <= (4 * n * chunk.len()).max(STEP), "{n}: {now}");
        if granted.last() != Some(&now) {
            granted.push(now);
        }
    }
    assert_eq!(granted, [STEP, 4 * STEP, length]);
    // Twice there for the moment in which it was moved, and never more than that.
    assert!(limiter.usage().neighbours.high_water <= 4 * STEP + length + OVERHEAD);
    let (buffer, hold) = draft.finish();
    assert_eq!(buffer.as_slice(), vec![7; length]);
    assert_eq!(buffer.remaining(), 0);
    drop((buffer, hold));
    assert_eq!(account.in_use(), 0);
}

#[tokio::test]
async fn what_is_small_is_granted_exactly_and_what_is_unknown_in_steps() {
    let (_limiter, account) = share(8 * MIB);
    let connection = connection(4 * MIB);
    let draft = Draft::begin(&account, &connection, Some(100), 4 * MIB).unwrap();
    assert_eq!(account.in_use(), 100 + OVERHEAD);
    drop(draft);
    let mut draft = Draft::begin(&account, &connection, None, 4 * MIB).unwrap();
    assert_eq!(account.in_use(), STEP + OVERHEAD);
    draft.put(&[1; 100]).unwrap();
    let (buffer, _hold) = draft.finish();
    assert_eq!(account.in_use(), 100 + OVERHEAD, "the rest is given back");
    drop(buffer);
    let empty = Draft::begin(&account, &connection, Some(0), 4 * MIB).unwrap();
    assert_eq!(empty.finish().0.as_slice(), b"");
}

#[tokio::test]
async fn a_body_is_refused_before_it_is_read() {
    let (limiter, account) = share(8 * MIB);
    let connection = connection(MIB);
    let refused = |length, most| {
        Draft::begin(&account, &connection, length, most)
            .err()
            .unwrap()
    };
    let too_large = |found, most| Trouble::TooLarge {
        found: Some(found),
        most,
        decompressed: false,
    };
    // More than is accepted, or than one connection may hold.
    assert_eq!(refused(Some(1001), 1000), too_large(1001, 1000));
    assert_eq!(refused(Some(2 * MIB), 4 * MIB), too_large(2 * MIB, MIB));
    assert_eq!(
        refused(Some(usize::MAX), usize::MAX),
        too_large(usize::MAX, MIB)
    );
    assert_eq!(limiter.usage().neighbours.high_water, 0);
    // No room.
    let taken = account.acquire(8 * MIB - 500_000).unwrap();
    assert!(matches!(refused(Some(1000), 4 * MIB), Trouble::NoRoom(_)));
    drop(taken);
    let taken = account.acquire(6 * MIB - 100_000).unwrap();
    let high = limiter.usage().neighbours.high_water;
    drop(Draft::begin(&account, &connection, Some(MIB), 4 * MIB).unwrap());
    let also = account.acquire(90_000).unwrap();
    let most = connection.allowance();
    drop(Draft::begin(&account, &connection, Some(most), 4 * MIB).err());
    assert!(limiter.usage().neighbours.high_water <= high.max(6 * MIB + STEP + 3 * OVERHEAD));
    drop((taken, also));
    assert_eq!(account.in_use(), 0);
}

#[tokio::test]
async fn a_body_that_has_no_room_as_a_whole_is_not_begun() {
    let limiter = MemoryLimiter::builder(8 * MIB)
        .reserve(0)
        .neighbours(8 * MIB)
        .spike(STEP)
        .build()
        .unwrap();
    let account = limiter.door(Door::Neighbours);
    let connection = connection(MIB);
    let taken = account.acquire(8 * MIB - 4 * STEP).unwrap();
    let high = limiter.usage().neighbours.high_water;
    let refused = Draft::begin(&account, &connection, Some(5 * STEP), 4 * MIB).err();
    assert!(matches!(refused, Some(Trouble::NoRoom(_))), "{refused:?}");
    assert_eq!(limiter.usage().neighbours.high_water, high);
    drop(Draft::begin(&account, &connection, Some(3 * STEP), 4 * MIB).unwrap());
    drop(taken);
    assert_eq!(account.in_use(), 0);
}

#[tokio::test]
async fn a_connection_holds_its_part_and_no_more() {
    let (_limiter, account) = share(64 * MIB);
    let connection = connection(MIB);
    let others = [connection.begin(), connection.begin()];
    let drafts: Vec<_> = (0..16)
        .map(|_| Draft::begin(&account, &connection, Some(MIB), 4 * MIB).unwrap())
        .collect();
    assert_eq!(
        Draft::begin(&account, &connection, Some(1), 4 * MIB).err(),
        Some(Trouble::Crowded)
    );
    drop(drafts);
    let mut one = Draft::begin(&account, &connection, Some(MIB), 4 * MIB).unwrap();
    let mut two = Draft::begin(&account, &connection, Some(MIB), 4 * MIB).unwrap();
    one.put(&vec![0; MIB / 2]).unwrap();
    assert_eq!(two.put(&vec![0; MIB]), Err(Trouble::Crowded));
    // Alone it is told so, since coming again would be in vain.
    drop(others);
    assert_eq!(two.put(&vec![0; MIB]), Err(Trouble::Overgrown));
    drop(one);
    two.put(&vec![0; MIB]).unwrap();
    assert_eq!(
        two.put(&[0]),
        Err(Trouble::TooLarge {
            found: None,
            most: MIB,
            decompressed: false
        })
    );
    drop(two);
    assert_eq!(account.in_use(), 0);
}

/// Chunks, each after a while.
struct Slowly(
    VecDeque<(Duration, usize)>,
    Option<Pin<Box<tokio::time::Sleep>>>,
);

impl Body for Slowly {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((after, len)) = self.0.front().copied() else {
            return Poll::Ready(None);
        };
        let sleep = self
            .1
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        core::task::ready!(sleep.as_mut().poll(context));
        self.1 = None;
        self.0.pop_front();
        Poll::Ready(Some(Ok(Frame::data(vec![0; len].into()))))
    }
}

async fn read(chunks: &[(u64, usize)], timeout: Option<Duration>) -> Result<usize, Trouble> {
    let chunks = chunks
        .iter()
        .map(|(millis, len)| (Duration::from_millis(*millis), *len))
        .collect();
    let connection = connection(MIB);
    let mut source = Source::new(Slowly(chunks, None), Pace::begin(timeout), &connection);
    while source.next().await?.is_some() {}
    Ok(source.received())
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_cut_and_one_that_keeps_the_pace_is_not() {
    // All at once, late, but within the grace.
    assert_eq!(read(&[(4900, 10), (0, 10)], None).await, Ok(20));
    // Nothing, and next to nothing.
    assert_eq!(read(&[(5001, 10)], None).await, Err(Trouble::Slow));
    let dribble = [(100, 1); 100];
    assert_eq!(read(&dribble, None).await, Err(Trouble::Slow));
    // As fast as has to be for a minute, and a little slower.
    let pace = vec![(1000, SLOWEST_BYTES_PER_SECOND); 60];
    assert_eq!(read(&pace, None).await, Ok(60 * SLOWEST_BYTES_PER_SECOND));
    let slower = vec![(1200, SLOWEST_BYTES_PER_SECOND); 60];
    assert_eq!(read(&slower, None).await, Err(Trouble::Slow));
    // A burst first buys time.
    let burst = [(0, 10 * SLOWEST_BYTES_PER_SECOND), (14_900, 1)];
    assert_eq!(
        read(&burst, None).await,
        Ok(10 * SLOWEST_BYTES_PER_SECOND + 1)
    );
    let burst = [(0, 10 * SLOWEST_BYTES_PER_SECOND), (15_100, 1)];
    assert_eq!(read(&burst, None).await, Err(Trouble::Slow));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_says_nothing_is_cut_when_others_need_what_it_holds() {
    let (_limiter, account) = share(8 * MIB);
    let (connection, other) = (on(&account, 4 * MIB), on(&account, 4 * MIB));
    let stalling = async |pause: u64| {
        let chunks = VecDeque::from([(Duration::ZERO, MIB), (Duration::from_millis(pause), 10)]);
        let mut source = Source::new(Slowly(chunks, None), Pace::begin(None), &connection);
        let mut draft = Draft::begin(&account, &connection, Some(MIB + 10), 4 * MIB)?;
        while let Some(piece) = source.next().await? {
            draft.put(&piece)?;
        }
        Ok(source.received())
    };
    assert_eq!(stalling(4900).await, Ok(MIB + 10), "nobody needs anything");
    // The pipeline has all but a little more than this body.
    let log = account.acquire(5 * MIB).unwrap();
    let also = account.acquire(MIB - MIB / 4).unwrap();
    let needing = async |after: u64| {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let begun = Instant::now();
        let begin = || Draft::begin(&account, &other, Some(2 * MIB), 4 * MIB);
        (
            in_a_while(&other, 2 * MIB, begin).await.map(drop),
            begun.elapsed(),
        )
    };
    let (stalled, (needed, waited)) = tokio::join!(stalling(4900), needing(1000));
    assert_eq!((stalled, needed), (Err(Trouble::Stalled), Ok(())));
    assert!(waited < BODY_STALL, "{waited:?}");
    // It has not stalled for long enough yet, and is waited for.
    let (stalled, (needed, waited)) = tokio::join!(stalling(4900), needing(100));
    assert_eq!((stalled, needed), (Err(Trouble::Stalled), Ok(())));
    assert!(waited >= Duration::from_millis(140), "{waited:?}");
    // It goes on in time, and ends.
    let (stalled, (needed, _)) = tokio::join!(stalling(200), needing(100));
    assert_eq!((stalled, needed), (Ok(MIB + 10), Ok(())));
    drop((log, also));
    // What the pipeline has is not waited for.
    let _log = account.acquire(7 * MIB).unwrap();
    let (needed, waited) = needing(0).await;
    assert!(matches!(needed, Err(Trouble::NoRoom(_))), "{needed:?}");
    assert!(waited.is_zero());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_leaves_for_another_takes_its_stalled_bodies_along() {
    let connection = connection(4 * MIB);
    let chunks = VecDeque::from([(Duration::from_secs(3), 10)]);
    let mut source = Source::new(Slowly(chunks, None), Pace::begin(None), &connection);
    let leaving = async {
        let _busy = connection.begin();
        assert!(connection.standing().is_none());
        tokio::time::sleep(2 * BODY_STALL).await;
        assert!(connection.standing().is_some());
        connection.evict();
        tokio::time::sleep(BODY_STALL).await;
    };
    let (stalled, ()) = tokio::join!(source.next(), leaving);
    assert_eq!(stalled, Err(Trouble::Stalled));
}

#[tokio::test(start_paused = true)]
async fn a_first_body_stalls_sooner_than_one_that_others_went_before() {
    let connection = connection(4 * MIB);
    for stall in [FIRST_BODY_STALL, BODY_STALL] {
        let chunks = VecDeque::from([(Duration::from_secs(3), 10)]);
        let mut source = Source::new(Slowly(chunks, None), Pace::begin(None), &connection);
        let looking = async {
            let _busy = connection.begin();
            tokio::time::sleep(stall - Duration::from_millis(1)).await;
            assert!(connection.standing().is_none(), "{stall:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(connection.standing().is_some(), "{stall:?}");
        };
        let (taken, ()) = tokio::join!(source.next(), looking);
        assert!(matches!(taken, Ok(Some(_))), "{taken:?}");
        assert_eq!(source.next().await, Ok(None));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_longer_than_they_wait_themselves() {
    let second = Some(Duration::from_secs(1));
    assert_eq!(read(&[(900, 10)], second).await, Ok(10));
    assert_eq!(read(&[(1100, 10)], second).await, Err(Trouble::Expired));
    assert_eq!(read(&[(1100, 10)], Some(Duration::MAX)).await, Ok(10));
}
