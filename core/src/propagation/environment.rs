use core::fmt::{self, Write};

/// A header name as the name of an environment variable.
///
/// ASCII letters are in upper case; what is neither an ASCII letter nor a digit becomes `_`; a leading digit gets a `_`
/// before it; the empty name is `_`. OpenTelemetry context specification, "Environment Variables as Context Propagation
/// Carriers".
///
/// ```
/// use spanwire_core::propagation::EnvironmentName;
///
/// assert_eq!(EnvironmentName("x-b3-traceid").to_string(), "X_B3_TRACEID");
/// assert!(EnvironmentName("traceparent").matches("TRACEPARENT"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EnvironmentName<'a>(pub &'a str);

impl EnvironmentName<'_> {
    /// Whether this is the name of that variable. Allocates nothing.
    #[must_use]
    pub fn matches(self, variable: &str) -> bool {
        self.chars().eq(variable.chars())
    }

    /// The characters of the variable's name.
    fn chars(&self) -> impl Iterator<Item = char> {
        let prefix = self
            .0
            .chars()
            .next()
            .is_none_or(|char| char.is_ascii_digit());
        let name = self.0.chars().map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' => char.to_ascii_uppercase(),
            _ => '_',
        });
        prefix.then_some('_').into_iter().chain(name)
    }
}

impl fmt::Display for EnvironmentName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|char| f.write_char(char))
    }
}

#[cfg(feature = "std")]
pub(super) mod process {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use std::process::Command;

    use super::EnvironmentName;
    use crate::propagation::{Extractor, Injector, Propagator};

    /// The context this process was started with: those of its environment variables that a propagator reads.
    ///
    /// A snapshot: later changes of the environment are not seen. Variables that are not Unicode are left out. To pass
    /// a context on, inject it into the [`Command`] of the child.
    ///
    /// ```no_run
    /// use spanwire_core::propagation::{Context, Environment, Propagator, STANDARD};
    ///
    /// let mut context = Context::EMPTY;
    /// STANDARD.extract(&Environment::read(&STANDARD), &mut context);
    ///
    /// let mut child = std::process::Command::new("make");
    /// STANDARD.inject(&context, &mut child);
    /// child.spawn()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Clone, Debug)]
    pub struct Environment(Vec<(&'static str, String)>);

    impl Environment {
        /// Reads the variables for the [`fields`](Propagator::fields) of this propagator.
        #[must_use]
        pub fn read(propagator: &dyn Propagator) -> Self {
            let mut found = Vec::new();
            propagator.fields(&mut |name| {
                if let Ok(value) = std::env::var(EnvironmentName(name).to_string()) {
                    found.push((name, value));
                }
            });
            Self(found)
        }
    }

    impl Extractor for Environment {
        fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
            self.0.get_all(name, each);
        }
    }

    /// Sets an environment variable of the child.
    impl Injector for Command {
        fn set(&mut self, name: &str, value: &str) {
            self.env(EnvironmentName(name).to_string(), value);
        }
    }
}
