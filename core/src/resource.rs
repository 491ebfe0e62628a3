//! Who is speaking.
