//! Which thread this is: a small number, reused.
