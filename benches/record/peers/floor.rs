//! The floor: spans that are bytes in a buffer of their thread, and no more.

use std::hint::black_box;

use spanwire_benches::{floor, payload::Payload};

use crate::peer::{FAMILY, Peer, Shape};

#[derive(Default)]
pub struct Floor {
    payload: Payload,
}

impl Peer for Floor {
    fn record(&self, shape: Shape, spans: usize) {
        floor::with(|floor| match shape {
            Shape::Bare => {
                for _ in 0..spans {
                    let root = floor.root();
                    black_box(floor.end_bare(&root, None));
                }
            }
            Shape::Root(attributes) => {
                for _ in 0..spans {
                    let root = floor.root();
                    black_box(floor.end(&root, black_box(&self.payload), attributes));
                }
            }
            Shape::Family => {
                for _ in 0..spans / FAMILY {
                    let root = floor.root();
                    for _ in 1..FAMILY {
                        let child = floor.child(&root);
                        black_box(floor.end_bare(&child, Some(&root)));
                    }
                    black_box(floor.end_bare(&root, None));
                }
            }
        });
    }

    fn drain(&self) {}

    /// Nobody reads the buffer.
    fn delivered(&self) -> u64 {
        0
    }
}
