//! What must hold of any input: run by the tests over made-up input, by `corpus_holds.rs` over the committed corpus, and by
//! the fuzz targets over whatever the fuzzer finds.

pub(crate) mod input;
pub(crate) mod recording;
pub(crate) mod ring;
pub(crate) mod wire;
