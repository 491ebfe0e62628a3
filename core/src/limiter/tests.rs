use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use std::thread;

use bytes::Bytes;

use super::*;

fn doors(own: usize, neighbours: usize, spike: usize) -> MemoryLimiter {
    let builder = MemoryLimiter::builder((own + neighbours).max(OVERHEAD)).reserve(0);
    builder
        .own(own)
        .neighbours(neighbours)
        .spike(spike)
        .build()
        .unwrap()
}

#[test]
fn a_budget_is_divided_or_the_setting_at_fault_is_named() {
    const MIB: usize = 1 << 20;
    let least = |setting, least| Err((setting, Some(least), None));
    let most = |setting, most| Err((setting, None, Some(most)));
    let build = MemoryLimiter::builder;
    for (builder, expected) in [
        // The defaults: 8 MiB of reserve.
        (build(0), least("budget", 8 * MIB + OVERHEAD)),
        (build(8 * MIB), least("budget", 8 * MIB + OVERHEAD)),
        (build(8 * MIB + OVERHEAD), Ok([OVERHEAD, 0, 8 * MIB])),
        (build(32 * MIB), Ok([24 * MIB, 0, 8 * MIB])),
        // A door gets what the other leaves.
        (
            build(32 * MIB).neighbours(4 * MIB),
            Ok([20 * MIB, 4 * MIB, 8 * MIB]),
        ),
        (
            build(32 * MIB).own(4 * MIB),
            Ok([4 * MIB, 20 * MIB, 8 * MIB]),
        ),
        (
            build(32 * MIB).own(4 * MIB).neighbours(MIB),
            Ok([4 * MIB, MIB, 8 * MIB]),
        ),
        (
            build(12 * MIB).own(4 * MIB).neighbours(MIB),
            least("budget", 13 * MIB),
        ),
        (build(12 * MIB).own(5 * MIB), least("budget", 13 * MIB)),
        // The reserve follows the largest batch, or is set.
        (build(4 * MIB).largest_batch(MIB), Ok([MIB, 0, 3 * MIB])),
        (build(1000).reserve(0), Ok([1000, 0, 0])),
        (build(255).reserve(0), least("budget", 256)),
        (build(1000).reserve(1000), least("budget", 1256)),
        // The spike is less than the share.
        (
            build(1000).reserve(0).neighbours(1000).spike(1000),
            most("spike", 999),
        ),
        (build(1000).reserve(0).spike(1), most("spike", 0)),
        (
            build(1000).reserve(0).neighbours(1000).spike(999),
            Ok([0, 1000, 0]),
        ),
        // Nothing wraps.
        (
            build(usize::MAX).largest_batch(usize::MAX),
            least("budget", usize::MAX),
        ),
        (
            build(1).own(usize::MAX).neighbours(usize::MAX),
            least("budget", usize::MAX),
        ),
    ] {
        let found = builder.clone().build();
        let found = found
            .map(|limiter| Share::ALL.map(|share| limiter.share(share).limit()))
            .map_err(|error| (error.setting(), error.least(), error.most()));
        assert_eq!(found, expected, "{builder:?}");
    }
    let error = build(1000).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory 'budget' of 1000 bytes is too small: at least 8388864"
    );
    let error = build(1000).reserve(0).spike(1).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "memory 'spike' of 1 bytes is too large: at most 0"
    );
}

#[test]
fn the_soft_limit_is_a_fifth_below_the_hard_one() {
    let limiter = MemoryLimiter::builder(1000)
        .reserve(0)
        .neighbours(1000)
        .build()
        .unwrap();
    let usage = limiter.usage();
    assert_eq!(
        (usage.neighbours.limit, usage.neighbours.soft_limit),
        (1000, 800)
    );
    assert_eq!(usage.own.limit, usage.own.soft_limit);
    assert_eq!(usage.budget, 1000);
}

#[test]
fn boundaries_of_a_share() {
    use RefusedReason::{Full, SoftLimit, TooLarge};
    // (limit, spike, in use, asked) -> outcome
    for (limit, spike, held, asked, expected) in [
        (256, 0, None, 0, Ok(())),
        (256, 0, None, 1, Err(TooLarge)),
        (255, 0, None, 0, Err(TooLarge)),
        (0, 0, None, 0, Err(TooLarge)),
        (0, 0, None, usize::MAX, Err(TooLarge)),
        (1000, 0, None, 744, Ok(())),
        (1000, 0, None, 745, Err(TooLarge)),
        (1000, 0, Some(0), 488, Ok(())),
        (1000, 0, Some(0), 489, Err(Full)),
        // At the soft limit newcomers wait, below it one may pass it.
        (1000, 400, Some(344), 0, Err(SoftLimit)),
        (1000, 400, Some(343), 0, Ok(())),
        (1000, 400, Some(343), 145, Ok(())),
        (1000, 400, Some(343), 146, Err(Full)),
        // Of two reasons, the one that waiting does not cure.
        (1000, 400, Some(500), 745, Err(TooLarge)),
    ] {
        let limiter = doors(0, limit, spike);
        let door = limiter.door(Door::Neighbours);
        let held = held.map(|bytes| door.acquire(bytes).unwrap());
        let in_use = door.in_use();
        assert_eq!(door.could_grant(asked), expected != Err(TooLarge));
        assert_eq!(
            door.available() >= asked && expected.is_ok(),
            expected.is_ok()
        );
        match door.acquire(asked) {
            Ok(permit) => {
                assert_eq!(expected, Ok(()), "{limit} {spike} {held:?} {asked}");
                assert_eq!(door.in_use(), in_use + asked + OVERHEAD);
                drop(permit);
            }
            Err(refused) => {
                assert_eq!(
                    expected,
                    Err(refused.reason()),
                    "{limit} {spike} {held:?} {asked}"
                );
                assert_eq!(refused.is_retryable(), refused.reason() != TooLarge);
                assert_eq!(refused.share(), Share::Neighbours);
                assert_eq!(limiter.usage().neighbours.refused, 1);
            }
        }
        assert_eq!(door.in_use(), in_use);
        drop(held);
        assert_eq!(limiter.usage().in_use, 0);
    }
}

#[test]
fn what_is_in_may_grow_past_the_soft_limit_but_not_the_hard_one() {
    let limiter = doors(0, 1000, 400);
    let door = limiter.door(Door::Neighbours);
    let mut permit = door.acquire(400).unwrap();
    assert_eq!(door.available(), 0);
    permit.grow(344).unwrap();
    assert_eq!(permit.grow(1).unwrap_err().reason(), RefusedReason::Full);
    assert_eq!(permit.bytes(), 744);
    assert_eq!(door.in_use(), 1000);
    permit.shrink_to(745);
    assert_eq!(permit.bytes(), 744);
    permit.shrink_to(0);
    assert_eq!(door.in_use(), 256);
    drop(permit);
    assert_eq!(limiter.usage().in_use, 0);
    assert_eq!(limiter.usage().high_water, 1000);
}

#[test]
fn permits_of_one_share_merge() {
    let limiter = doors(1000, 1000, 0);
    let mut first = limiter.door(Door::Neighbours).acquire(10).unwrap();
    first
        .merge(limiter.door(Door::Neighbours).acquire(20).unwrap())
        .unwrap();
    assert_eq!(first.bytes(), 30);
    assert_eq!(limiter.usage().in_use, 30 + OVERHEAD);

    let other = limiter.door(Door::Own).acquire(5).unwrap();
    assert_eq!(first.merge(other).unwrap_err().bytes(), 5);
    let stranger = doors(0, 1000, 0).door(Door::Neighbours).acquire(5).unwrap();
    assert_eq!(first.merge(stranger).unwrap_err().bytes(), 5);
    drop(first);
    assert_eq!(limiter.usage().in_use, 0);
}

#[test]
fn memory_is_charged_until_its_last_slice_is_gone() {
    let limiter = doors(0, 10_000, 0);
    let door = limiter.door(Door::Neighbours);
    let mut body = Vec::with_capacity(1000);
    body.extend_from_slice(b"body");
    // A permit for more is shrunk to the capacity.
    let bytes = door.acquire(5000).unwrap().attach(body).unwrap();
    assert_eq!(door.in_use(), 1000 + OVERHEAD);
    let slice = bytes.slice(1..2);
    drop(bytes);
    assert_eq!(door.in_use(), 1000 + OVERHEAD);
    assert_eq!(&slice[..], b"o");
    drop(slice);
    assert_eq!(door.in_use(), 0);
}

#[test]
fn memory_larger_than_its_permit_is_covered_or_given_back() {
    let limiter = doors(0, 1000, 0);
    let door = limiter.door(Door::Neighbours);
    let bytes = door.acquire(10).unwrap().attach(vec![1; 700]).unwrap();
    assert_eq!(door.in_use(), 956);
    drop(bytes);

    let permit = door.acquire(10).unwrap();
    let uncovered = permit.attach(vec![1; 800]).unwrap_err();
    assert_eq!(
        uncovered.to_string(),
        "memory of 800 bytes has a permit for 10"
    );
    assert_eq!(
        uncovered.refused.to_string(),
        "memory share 'neighbours' has no 790 bytes left"
    );
    assert_eq!(
        (uncovered.permit.bytes(), uncovered.memory.len()),
        (10, 800)
    );
    assert_eq!(door.in_use(), 266);
}

#[test]
fn a_buffer_grows_only_when_asked_and_pays_before_it_does() {
    let limiter = doors(1000, 0, 0);
    let door = limiter.door(Door::Own);
    let mut buffer = door.acquire(4).unwrap().into_buffer();
    assert!(buffer.try_put(b"abcd") && !buffer.try_put(b"e"));
    buffer.grow(396).unwrap();
    assert_eq!((buffer.remaining(), door.in_use()), (396, 400 + OVERHEAD));
    // Twice there for a moment: 400 bytes and 401 more are more than the share has.
    assert_eq!(buffer.grow(1).unwrap_err().wanted(), 401);
    assert_eq!((buffer.remaining(), door.in_use()), (396, 400 + OVERHEAD));
    assert!(buffer.try_put(b"e"));
    buffer.shrink_to_fit();
    assert_eq!((buffer.remaining(), door.in_use()), (0, 5 + OVERHEAD));
    assert_eq!(buffer.as_slice(), b"abcde");
    assert_eq!(limiter.usage().own.high_water, 405 + OVERHEAD);
    drop(buffer);
    assert_eq!(door.in_use(), 0);
}

#[test]
fn a_buffer_never_grows_by_itself() {
    let limiter = doors(1000, 0, 0);
    let mut buffer = limiter.door(Door::Own).acquire(4).unwrap().into_buffer();
    assert!(buffer.try_put(b""));
    assert!(buffer.try_put(b"abc"));
    assert!(!buffer.try_put(b"de"));
    assert_eq!((buffer.as_slice(), buffer.remaining()), (&b"abc"[..], 1));
    assert!(buffer.try_put(b"d"));
    let bytes = buffer.freeze();
    assert_eq!(limiter.usage().own.in_use, 4 + OVERHEAD);
    assert_eq!(&bytes[..], b"abcd");
    drop(bytes);
    assert_eq!(limiter.usage().own.in_use, 0);
}

/// Scenario: an exporter keeps every `Bytes` it is ever given.
/// Guarantees: the doors refuse, the shares of others are untouched, nothing is exceeded.
#[test]
fn an_exporter_that_keeps_all_bytes_makes_the_doors_refuse() {
    let limiter = MemoryLimiter::builder(200_000)
        .reserve(40_000)
        .neighbours(100_000)
        .build()
        .unwrap();
    let mut kept: Vec<Bytes> = Vec::new();
    let refused = loop {
        let body = match limiter.door(Door::Neighbours).acquire(1000) {
            Ok(permit) => permit.attach(vec![0; 1000]).unwrap(),
            Err(refused) => break refused,
        };
        kept.push(body.slice(10..20));
        assert!(limiter.usage().in_use <= 200_000);
    };
    assert_eq!(refused.reason(), RefusedReason::SoftLimit);
    // 64 bodies of 1,256 bytes reach the soft limit of 80,000.
    assert_eq!(kept.len(), 64);
    let usage = limiter.usage();
    assert_eq!(
        (usage.in_use, usage.own.in_use, usage.reserve.in_use),
        (64 * 1256, 0, 0)
    );
    let edit = limiter.reserve().acquire(39_000).unwrap();
    drop((edit, kept));
    assert_eq!(limiter.usage().in_use, 0);
    drop(limiter.door(Door::Neighbours).acquire(1000).unwrap());
}

/// Scenario: threads take, grow, attach and drop as fast as they can, from shares far too small for all.
/// Guarantees: no share and no sum is ever seen above its limit, and all is given back.
// A WebAssembly runtime has one thread.
#[cfg(not(target_family = "wasm"))]
#[test]
fn threads_never_see_a_share_above_its_limit() {
    let limiter = MemoryLimiter::builder(9000)
        .reserve(3000)
        .neighbours(3000)
        .build()
        .unwrap();
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    thread::scope(|scope| {
        for seed in 1..=4_usize {
            let limiter = &limiter;
            scope.spawn(move || {
                let mut random = seed;
                let mut held = Vec::<Box<dyn core::any::Any>>::new();
                for _ in 0..rounds {
                    random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
                    let account = limiter.share(Share::ALL[(random >> 8) % 3]);
                    if let Ok(mut permit) = account.acquire((random >> 12) % 700) {
                        let _ = permit.grow((random >> 4) % 500);
                        if random & 64 == 0 {
                            held.push(Box::new(permit));
                        } else if let Ok(bytes) = permit.attach(vec![0; (random >> 16) % 900]) {
                            held.push(Box::new(bytes));
                        }
                    }
                    if held.len() > random % 5 {
                        held.clear();
                    }
                    let usage = limiter.usage();
                    assert!(
                        usage.in_use <= usage.budget && usage.high_water <= usage.budget,
                        "{usage:?}"
                    );
                    for share in [usage.own, usage.neighbours, usage.reserve] {
                        assert!(
                            share.in_use <= share.limit && share.high_water <= share.limit,
                            "{share:?}"
                        );
                    }
                }
            });
        }
    });
    let usage = limiter.usage();
    assert_eq!(usage.in_use, 0);
    assert_eq!(
        [
            usage.own.in_use,
            usage.neighbours.in_use,
            usage.reserve.in_use
        ],
        [0; 3]
    );
    if !cfg!(miri) {
        assert!(usage.own.refused + usage.neighbours.refused + usage.reserve.refused > 0);
    }
}
