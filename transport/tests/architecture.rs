//! The walls of this crate: walking order, no `unsafe`, and one door each for threads and for running futures.

use std::path::Path;

use house::{Door, House, Rules};

#[path = "../../core/tests/house/mod.rs"]
mod house;

const ONLY_THE_RUNTIME: &str = "what is spawned elsewhere would trace itself, or block a reactor";

const DOORS: &[Door] = &[
    Door {
        tokens: &["thread", "::", "spawn"],
        rooms: &["runtime"],
        why: ONLY_THE_RUNTIME,
    },
    Door {
        tokens: &["thread", "::", "Builder"],
        rooms: &["runtime"],
        why: ONLY_THE_RUNTIME,
    },
    Door {
        tokens: &["tokio", "::", "spawn"],
        rooms: &[],
        why: ONLY_THE_RUNTIME,
    },
    Door {
        tokens: &["task", "::", "spawn"],
        rooms: &[],
        why: ONLY_THE_RUNTIME,
    },
    Door {
        tokens: &["block_on"],
        rooms: &["runtime"],
        why: ONLY_THE_RUNTIME,
    },
];

#[test]
fn transport_keeps_its_walls() {
    let house = House::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path());
    assert!(
        house.rooms().len() >= 5,
        "the module list of lib.rs was not understood: {:?}",
        house.rooms()
    );
    let faults = house.faults(&Rules {
        unsafe_rooms: &[],
        doors: DOORS,
    });
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_map_names_every_room_in_walking_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let house = House::read(&root.join("src"));
    // A packaged crate has no map beside it.
    if let Ok(map) = std::fs::read_to_string(root.join("../ARCHITECTURE.md")) {
        assert_eq!(
            house::captions(&map, "### `spanwire-transport`"),
            house.rooms(),
            "ARCHITECTURE.md has a paragraph for each module of lib.rs, in order"
        );
    }
}
