use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;

use http_body::Frame;
use proptest::prelude::*;
use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Reply};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::testing::InMemoryExporter;

use super::*;
use crate::receiver::body::tests::connection;
use crate::receiver::request::Treatment;
use crate::receiver::wait::Wait;

/// A body in pieces.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// What is answered to a body that comes in pieces of these lengths, in turn.
fn answer(
    handler: &Arc<Handler>,
    encoding: &str,
    body: &[u8],
    lengths: &[usize],
) -> (String, String) {
    let mut pieces = VecDeque::new();
    let mut rest = body;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        pieces.push_back(Bytes::copy_from_slice(piece));
        rest = after;
    }
    let request = Request::post(GRPC_PATH)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .body(Pieces(pieces))
        .unwrap();
    let connection = connection(1 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let answered = runtime.block_on(handler.clone().answer(request, connection.clone()));
    let stats = connection.counts().read();
    assert_eq!(
        stats.admitted + stats.rejected + stats.refused,
        1,
        "{stats:?}"
    );
    let text = |name: &str| {
        let value = answered
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_string()
    };
    (text("grpc-status"), text("grpc-message"))
}

/// Bodies that are right, nearly right, and neither.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let span = b"\x0a\x09\x12\x07\x12\x05\x2a\x03GET".to_vec();
    let message = prop_oneof![
        Just(Vec::new()),
        Just(span),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    (message, 0_u8..3, -3_i32..4, 0_usize..6, 0_usize..12).prop_map(
        |(message, flag, off, more, cut)| {
            let length = (message.len() as i32 + off.max(0)).max(0) as u32;
            let mut body = vec![flag];
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&message);
            body.resize(body.len() + more / 4, 7);
            body.truncate(body.len().saturating_sub(cut / 8));
            body
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Scenario: any bytes, under any compression that is built in, in any pieces.
    /// Guarantees: one answer, the same in whatever pieces they come; nothing stays charged for what is not admitted.
    #[test]
    fn an_answer_does_not_depend_on_the_pieces(
        body in prop_oneof![bodies(), proptest::collection::vec(any::<u8>(), 0..64)],
        lengths in proptest::collection::vec(1_usize..9, 1..5),
        coding in 0_usize..3,
    ) {
        let kept = InMemoryExporter::new();
        let pipeline = Pipeline::builder()
            .memory_limit(16 << 20)
            .neighbours(4 << 20)
            .exporter(move || kept.clone())
            .build()
            .unwrap();
        let handler = Arc::new(Handler {
            admission: Admission::new(pipeline.intake(), Treatment::default()),
            max_message: 1000,
        });
        let encoding = Coding::NAMES.split(',').cycle().nth(coding).unwrap();
        let whole = answer(&handler, encoding, &body, &[usize::MAX]);
        let pieces = answer(&handler, encoding, &body, &lengths);
        prop_assert_eq!(&whole, &pieces);
        if !whole.0.is_empty() {
            prop_assert_eq!(pipeline.intake().account().unwrap().in_use(), 0);
        }
    }
}

#[test]
fn a_timeout_is_up_to_eight_digits_and_a_unit() {
    for (text, wanted) in [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("99999999m", Some(Duration::from_millis(99_999_999))),
        ("5u", Some(Duration::from_micros(5))),
        ("0n", Some(Duration::ZERO)),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("", None),
        ("S", None),
        ("1", None),
        ("1s", None),
        ("-1S", None),
        ("+1S", None),
        ("1 S", None),
        ("123456789S", None),
    ] {
        assert_eq!(timeout(text.as_bytes()), wanted, "{text}");
    }
}

#[test]
fn the_content_type_is_grpcs_own() {
    for (text, yes) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("Application/gRPC; charset=utf-8", true),
        ("application/grpc+proto;x=y", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/grpc+json", false),
        ("application/grpcx", false),
        ("application/x-protobuf", false),
        ("", false),
    ] {
        assert_eq!(is_grpc(text.as_bytes()), yes, "{text}");
    }
}

/// Never says what became of a batch.
struct Silent(Vec<Reply>);

impl Exporter for Silent {
    fn export(&mut self, _: Batch, reply: Reply) {
        self.0.push(reply);
    }
}

/// Scenario: a request is admitted, and its client waits for an export that does not end. Guarantees: while it waits it is
/// charged; it waits no longer than its client says that it does; and one whose client goes away is not forgotten.
#[test]
fn who_waits_for_the_export_is_charged_and_counted() {
    let pipeline = Pipeline::builder()
        .memory_limit(16 << 20)
        .neighbours(4 << 20)
        .schedule_delay(Duration::from_millis(1))
        .exporter(|| Silent(Vec::new()))
        .build()
        .unwrap();
    let long = Duration::from_secs(20);
    let treatment = Treatment {
        wait: Wait::Export(long),
        ..Treatment::default()
    };
    let handler = Arc::new(Handler {
        admission: Admission::new(pipeline.intake(), treatment),
        max_message: 1000,
    });
    let ask = |timeout: &str| {
        let body = [0, 0, 0, 0, 6, 0x0a, 4, 0x12, 2, 0x12, 0].as_slice();
        Request::post(GRPC_PATH)
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .body(Pieces([Bytes::from_static(body)].into()))
            .unwrap()
    };
    let connection = connection(1 << 20);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut waiting = Box::pin(handler.clone().answer(ask("1H"), connection.clone()));
        let answered = tokio::time::timeout(Duration::from_millis(50), waiting.as_mut()).await;
        assert!(answered.is_err(), "nobody has exported it");
        let stats = connection.counts().read();
        assert_eq!((stats.admitted, stats.undelivered), (1, 0));
        let in_use = || pipeline.intake().account().unwrap().in_use();
        assert!(in_use() >= 6 << 10, "{}", in_use());
        drop(waiting);
        let stats = connection.counts().read();
        assert_eq!((stats.admitted, stats.undelivered), (1, 1));
        assert_eq!(stats.abandoned, 0);
        assert!(in_use() < 6 << 10, "{}", in_use());

        let begun = std::time::Instant::now();
        let answered = handler
            .clone()
            .answer(ask("200m"), connection.clone())
            .await;
        assert!(begun.elapsed() < long);
        assert_eq!(answered.headers()["grpc-status"], "4");
        assert_eq!(connection.counts().read().undelivered, 2);
    });
    let _report = pipeline.shutdown(Duration::ZERO);
}
