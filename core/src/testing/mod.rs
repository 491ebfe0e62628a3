//! For the tests of programs that link Spanwire.
