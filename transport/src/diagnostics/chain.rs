//! An error and what it comes from.

use core::error::Error;
use core::fmt;

/// An error as people want to read it: its own words, then those of what it comes from, on one line.
///
/// The errors of this crate say their own part only, and leave the rest to [`Error::source`], so that whoever prints a chain
/// says nothing twice. Of errors that repeat their cause, the cause is not said again.
///
/// ```
/// use spanwire_transport::diagnostics::Chain;
///
/// let error = "x".parse::<u8>().unwrap_err();
/// assert_eq!(Chain(&error).to_string(), "invalid digit found in string");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(
    /// The error.
    pub &'a (dyn Error + 'static),
);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut next = self.0.source();
        while let Some(error) = next {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            next = error.source();
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fails(&'static str, Option<Box<Self>>);

    impl fmt::Display for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Fails {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|error| error as _)
        }
    }

    #[test]
    fn everything_is_said_and_nothing_twice() {
        let told = |words: &[&'static str]| {
            let all = words.iter().rev();
            let error = all.fold(None, |cause, word| Some(Box::new(Fails(word, cause))));
            Chain(&*error.unwrap()).to_string()
        };
        assert_eq!(told(&["tls"]), "tls");
        assert_eq!(
            told(&["tls", "ca.pem", "not found"]),
            "tls: ca.pem: not found"
        );
        assert_eq!(told(&["a: b", "b", "c"]), "a: b: c");
    }
}
