//! The walls of the house, as a test.
//!
//! `lib.rs` lists the modules in walking order. A module names only modules above it; no room is called `util`; `unsafe`
//! lives in named rooms; time, threads and sockets enter through one door each; a file that grows past 700 lines has
//! found a second reason to change. The second half of this file builds small houses with one fault each, so that every
//! run shows that the checker sees what it is there to see.

use std::fs;
use std::path::Path;

use house::{Door, House, MOST_LINES, Rules};

mod house;

/// What may be named only in some rooms: the tokens, the rooms, and why. Tests may name anything but `unsafe`.
const DOORS: &[Door] = &[
    Door {
        tokens: &["Instant", "::", "now"],
        rooms: &["clock"],
        why: "core reads no clock but its `Clock`",
    },
    // `random` stirs the time into a seed; no span shows it.
    Door {
        tokens: &["SystemTime", "::", "now"],
        rooms: &["clock", "random"],
        why: "core reads no clock but its `Clock`",
    },
    Door {
        tokens: &["thread", "::", "spawn"],
        rooms: &["worker"],
        why: "core starts no thread but the worker's",
    },
    Door {
        tokens: &["thread", "::", "Builder"],
        rooms: &["worker"],
        why: "core starts no thread but the worker's",
    },
    Door {
        tokens: &["thread", "::", "scope"],
        rooms: &["worker"],
        why: "core starts no thread but the worker's",
    },
    Door {
        tokens: &["std", "::", "net"],
        rooms: &[],
        why: "core opens no socket",
    },
];

#[test]
fn core_keeps_its_walls() {
    let house = House::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path());
    let rules = Rules {
        unsafe_rooms: &["ring", "clock", "fork"],
        doors: DOORS,
    };
    assert!(
        house.rooms().len() >= 20,
        "the module list of lib.rs was not understood: {:?}",
        house.rooms()
    );
    let faults = house.faults(&rules);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_map_names_every_room_in_walking_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let house = House::read(&root.join("src"));
    // A packaged core has no map beside it.
    if let Ok(map) = fs::read_to_string(root.join("../ARCHITECTURE.md")) {
        assert_eq!(
            house::captions(&map, "## The rooms, in walking order"),
            house.rooms(),
            "ARCHITECTURE.md has a paragraph for each module of lib.rs, in order"
        );
    }
}

/// Small houses with one fault each: the checker is checked in every run.
mod planted {
    use super::*;

    const LIB: &str = "//! mod ghost;\nmod low;\n\n// A caption.\n#[cfg(feature = \"x\")]\npub mod mid;\n\nmod top;\n";
    const RULES: Rules = Rules {
        unsafe_rooms: &["low"],
        doors: DOORS,
    };

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![("lib.rs".to_string(), LIB.to_string())];
        all.extend(
            files
                .iter()
                .map(|(name, text)| (name.to_string(), text.to_string())),
        );
        House { files: all }.faults(&RULES)
    }

    fn finds(file: &str, text: &str, what: &str) {
        let found = faults(&[(file, text)]);
        assert!(
            found.len() == 1 && found[0].contains(what),
            "wanted one fault with {what:?}, got {found:?}\n{text}"
        );
        assert!(found[0].starts_with(file), "{found:?} does not name {file}");
    }

    fn clean(file: &str, text: &str) {
        let found = faults(&[(file, text)]);
        assert!(found.is_empty(), "{found:?}\n{text}");
    }

    #[test]
    fn rooms_are_read_in_order() {
        let house = House {
            files: vec![("lib.rs".to_string(), LIB.to_string())],
        };
        assert_eq!(house.rooms(), ["low", "mid", "top"]);
    }

    #[test]
    fn a_back_edge_is_found_in_every_spelling() {
        finds(
            "low.rs",
            "use crate::mid::Thing;",
            "low.rs:1: back edge: `low` names `mid`",
        );
        finds(
            "low.rs",
            "\n\nfn f() { crate::top::run() }",
            "low.rs:3: back edge: `low` names `top`",
        );
        finds(
            "mid.rs",
            "use crate::{low::A, top::{B, C}};",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "use crate::{\n    low::{A, B},\n    top,\n};",
            "mid.rs:3",
        );
        finds(
            "mid.rs",
            "use {crate::low::A, crate::top::B};",
            "`mid` names `top`",
        );
        finds("mid/mod.rs", "use super::top::A;", "`mid` names `top`");
        finds(
            "mid/deep.rs",
            "use super::super::top::A;",
            "`mid` names `top`",
        );
        finds(
            "mid/deep/mod.rs",
            "use super::super::{low::A, top::A};",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "mod inner { use super::super::top::A; }",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "macro_rules! m { () => { $crate::top::run() } }",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "#[cfg(not(test))]\nuse crate::top::A;",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "#[cfg(any(test, feature = \"x\"))]\nuse crate::top::A;",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "const Q: char = '\"'; use crate::top::A; const R: char = '\"';",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "fn f<'a>(x: &'a str) { crate::top::run('\\'') }",
            "`mid` names `top`",
        );
        finds(
            "mid.rs",
            "#[cfg(test)]\nmod tests { use crate::top::A; }\nuse crate::top::B;",
            "mid.rs:3",
        );
        finds(
            "mid.rs",
            "#[cfg(test)]\nmod tests;\nuse crate::top::B;",
            "mid.rs:3",
        );
    }

    #[test]
    fn a_path_that_hides_its_room_is_found() {
        finds(
            "mid.rs",
            "use crate::Reexported;",
            "`crate::Reexported` is no module",
        );
        finds("mid.rs", "use crate::*;", "`crate::*` is no module");
        finds("mid.rs", "use crate as house;", "`crate::as` is no module");
        finds("stray.rs", "", "`stray` is not a module of lib.rs");
    }

    #[test]
    fn what_is_not_code_is_not_read() {
        clean(
            "low.rs",
            "//! crate::top\n/// crate::mid\n/* crate::top /* crate::mid */ crate::top */",
        );
        clean("low.rs", "const A: &str = \"crate::top\\\" crate::mid\";");
        clean(
            "low.rs",
            "const A: &str = r#\"crate::top \" crate::mid\"#; const B: &[u8] = br\"crate::top\";",
        );
        clean("low.rs", "pub(crate) fn f() {} pub(super) fn g() {}");
        clean(
            "mid.rs",
            "use crate::low::A; use crate::mid::B; use super::low::C;",
        );
        clean(
            "mid/deep.rs",
            "use super::top::A; mod inner { use super::super::top::B; }",
        );
    }

    #[test]
    fn tests_may_look_down() {
        clean(
            "low.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::top::A;\n    fn f() { crate::mid::g() }\n}",
        );
        clean(
            "low.rs",
            "#[cfg(all(test, feature = \"x\"))]\n#[allow(x)]\npub(crate) mod tests { use crate::top::A; }",
        );
        clean(
            "low.rs",
            "#[cfg(test)]\nuse crate::{mid::A, top::B};\n#[cfg(test)]\nfn f() -> [u8; 3] { crate::top::g() }",
        );
        clean(
            "low.rs",
            "struct S {\n    #[cfg(test)]\n    seen: crate::top::Seen,\n    kept: u8,\n}",
        );
        clean("low.rs", "#![cfg(test)]\nuse crate::top::A;");
        let outside = [
            ("low.rs", "#[cfg(test)]\nmod tests;"),
            ("low/tests.rs", "mod deep;\nuse crate::top::A;"),
            ("low/tests/deep.rs", "use crate::top::A;"),
        ];
        assert!(faults(&outside).is_empty(), "{:?}", faults(&outside));
        let beside = [
            ("low.rs", "mod tests_of_others;\n#[cfg(test)]\nmod tests;"),
            ("low/tests_of_others.rs", "use crate::top::A;"),
        ];
        assert!(!faults(&beside).is_empty());
    }

    #[test]
    fn unsafe_outside_its_rooms_is_found() {
        finds("mid.rs", "fn f() { unsafe { g() } }", "`unsafe` outside of");
        finds(
            "top/deep.rs",
            "unsafe impl Send for T {}",
            "top/deep.rs:1: `unsafe` outside of",
        );
        finds(
            "mid.rs",
            "#[cfg(test)]\nmod tests { unsafe fn f() {} }",
            "mid.rs:2: `unsafe` outside of",
        );
        clean("low.rs", "fn f() { unsafe { g() } }");
        clean(
            "mid.rs",
            "#![forbid(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";",
        );
    }

    #[test]
    fn doors_are_watched() {
        finds(
            "mid.rs",
            "fn f() { let t = std::time::Instant::now(); }",
            "reads no clock",
        );
        finds(
            "mid.rs",
            "fn f() { thread::spawn(run) }",
            "starts no thread",
        );
        finds("mid.rs", "use std::net::TcpStream;", "opens no socket");
        clean(
            "mid.rs",
            "#[cfg(test)]\nmod tests { fn f() { std::thread::spawn(run) } }",
        );
    }

    #[test]
    fn empty_names_are_found() {
        finds("mid/util.rs", "", "`util` says nothing");
        finds("mid.rs", "mod helpers { }", "`mod helpers` says nothing");
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_free() {
        let long = "fn f() {}\n".repeat(MOST_LINES + 1);
        finds("mid.rs", &long, "701 lines");
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{long}}}\n",
            "fn f() {}\n".repeat(MOST_LINES)
        );
        clean("mid.rs", &tested);
    }
}
