//! A request is validated, walked and cut without a single allocation.

use core::fmt::Write;

use spanwire_core::wire::encode::Put;
use spanwire_core::wire::split::{self, Cut};
use spanwire_core::wire::validate::{Limits, validate};

mod allocations;
use allocations::allocations;

/// Counts what is written.
struct Tally(usize);

impl Write for Tally {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

impl Put for Tally {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

fn field(number: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let len = payload.len();
    let mut out = vec![number << 3 | 2, len as u8 | 0x80, (len >> 7) as u8];
    out.extend(payload);
    out
}

#[test]
fn reading_allocates_nothing() {
    let attribute = field(
        9,
        [
            field(1, "ключ"),
            field(2, field(5, field(1, field(1, "value")))),
        ]
        .concat(),
    );
    let event = field(11, field(2, "event"));
    let status = field(15, field(2, "why"));
    let span = field(
        2,
        [field(1, [1; 16]), field(5, "GET"), attribute, event, status].concat(),
    );
    let scope_spans = field(2, [field(1, field(1, "lib")), span.repeat(9)].concat());
    let resource = field(
        1,
        field(
            1,
            [field(1, "service.name"), field(2, field(1, "svc"))].concat(),
        ),
    );
    let good = field(1, [resource, scope_spans].concat());
    let mut bad = good.clone();
    // The last letter of the last status message.
    *bad.last_mut().unwrap() = 0xff;

    assert!(
        allocations(|| drop(Vec::<u8>::with_capacity(1))) > 0,
        "the counter counts"
    );
    let mut shown = Tally(0);
    let mut written = Tally(0);
    let counted = allocations(|| {
        let valid = validate(&good, &Limits::new()).unwrap();
        assert_eq!(valid.counts().spans, 9);
        write!(shown, "{:?}", valid.view()).unwrap();
        assert_eq!(split::count_spans(&good), 9);
        for part in split::parts(&good) {
            for body in part.body() {
                for piece in split::pieces(body, Cut::spans(4)) {
                    piece.write(&mut written);
                }
            }
        }
        let invalid = validate(&bad, &Limits::new()).unwrap_err();
        write!(shown, "{invalid} {invalid:?}").unwrap();
    });
    assert_eq!(counted, 0);
    assert!(shown.0 > 1000 && written.0 > 9 * span.len());
}
