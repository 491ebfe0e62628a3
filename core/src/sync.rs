//! The one door to atomics and cells: the processor's own, `portable-atomic`'s, or loom's.
