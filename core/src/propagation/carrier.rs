/// A carrier that can be read: the headers of a request, for example.
///
/// Values are bytes, as headers are; every parser here takes any bytes. OpenTelemetry context specification, "Get",
/// "GetAll" and "Keys".
///
/// ```
/// use spanwire_core::propagation::Extractor;
///
/// let headers = [("TraceState", "a=1"), ("host", "example"), ("tracestate", "b=2")];
/// let mut values = Vec::new();
/// headers.get_all("tracestate", &mut |value| values.push(value));
/// assert_eq!(values, [b"a=1", b"b=2"]);
/// ```
pub trait Extractor {
    /// Calls `each` with every value of the header, in order.
    ///
    /// `name` is in lower case. Carriers of HTTP headers compare it without regard to case.
    fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8]));

    /// Calls `each` with every name and value.
    ///
    /// Only the baggage of Jaeger needs it, whose names are not known beforehand. A carrier that does nothing here, as
    /// this default does, has none.
    fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
        let _ = each;
    }

    /// The first value of the header.
    fn get<'c>(&'c self, name: &str) -> Option<&'c [u8]> {
        let mut first = None;
        self.get_all(name, &mut |value| {
            first.get_or_insert(value);
        });
        first
    }
}

/// A carrier that can be written.
///
/// OpenTelemetry context specification, "Set".
///
/// A map of headers is wrapped in a line or two, whatever its type:
///
/// ```
/// use std::collections::HashMap;
/// use spanwire_core::context::{SpanContext, TraceFlags, TraceState};
/// use spanwire_core::propagation::{Injector, TraceContext};
///
/// struct Headers<'h>(&'h mut HashMap<String, String>);
///
/// impl Injector for Headers<'_> {
///     fn set(&mut self, name: &str, value: &str) {
///         self.0.insert(name.into(), value.into());
///     }
/// }
///
/// let context = SpanContext::new(
///     "4bf92f3577b34da6a3ce929d0e0e4736".parse()?,
///     "00f067aa0ba902b7".parse()?,
///     TraceFlags::SAMPLED,
///     false,
///     TraceState::EMPTY,
/// );
/// let mut headers = HashMap::new();
/// TraceContext::write(&context, &mut Headers(&mut headers));
/// assert_eq!(headers["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait Injector {
    /// Sets the header to this value, in place of any it had.
    ///
    /// Names are in lower case, but for the part after `uberctx-`; values are visible ASCII and spaces.
    fn set(&mut self, name: &str, value: &str);
}

impl<E: Extractor + ?Sized> Extractor for &E {
    fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
        (**self).get_all(name, each);
    }

    fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
        (**self).for_each(each);
    }
}

impl<I: Injector + ?Sized> Injector for &mut I {
    fn set(&mut self, name: &str, value: &str) {
        (**self).set(name, value);
    }
}

/// Pairs of name and value, in order; names without regard to case.
impl<K: AsRef<str>, V: AsRef<[u8]>> Extractor for [(K, V)] {
    fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
        for (key, value) in self {
            if key.as_ref().eq_ignore_ascii_case(name) {
                each(value.as_ref());
            }
        }
    }

    fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
        for (key, value) in self {
            each(key.as_ref(), value.as_ref());
        }
    }
}

/// As a slice of pairs.
impl<K: AsRef<str>, V: AsRef<[u8]>, const N: usize> Extractor for [(K, V); N] {
    fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
        self.as_slice().get_all(name, each);
    }

    fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
        self.as_slice().for_each(each);
    }
}

#[cfg(feature = "alloc")]
mod owned {
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::{Extractor, Injector};

    /// As a slice of pairs.
    impl<K: AsRef<str>, V: AsRef<[u8]>> Extractor for Vec<(K, V)> {
        fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
            self.as_slice().get_all(name, each);
        }

        fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
            self.as_slice().for_each(each);
        }
    }

    /// Other pairs of that name, in any case, are removed.
    impl Injector for Vec<(String, String)> {
        fn set(&mut self, name: &str, value: &str) {
            self.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
            self.push((name.into(), value.into()));
        }
    }

    /// Names without regard to case.
    impl<K: AsRef<str>, V: AsRef<[u8]>> Extractor for BTreeMap<K, V> {
        fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
            for (key, value) in self {
                if key.as_ref().eq_ignore_ascii_case(name) {
                    each(value.as_ref());
                }
            }
        }

        fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
            for (key, value) in self {
                each(key.as_ref(), value.as_ref());
            }
        }
    }

    /// Other entries of that name, in any case, are removed.
    impl Injector for BTreeMap<String, String> {
        fn set(&mut self, name: &str, value: &str) {
            self.retain(|key, _| !key.eq_ignore_ascii_case(name));
            self.insert(name.into(), value.into());
        }
    }
}

#[cfg(feature = "std")]
mod hashed {
    use alloc::string::String;
    use core::hash::BuildHasher;
    use std::collections::HashMap;

    use super::{Extractor, Injector};

    /// Names without regard to case.
    impl<K: AsRef<str>, V: AsRef<[u8]>, S> Extractor for HashMap<K, V, S> {
        fn get_all<'c>(&'c self, name: &str, each: &mut dyn FnMut(&'c [u8])) {
            for (key, value) in self {
                if key.as_ref().eq_ignore_ascii_case(name) {
                    each(value.as_ref());
                }
            }
        }

        fn for_each<'c>(&'c self, each: &mut dyn FnMut(&'c str, &'c [u8])) {
            for (key, value) in self {
                each(key.as_ref(), value.as_ref());
            }
        }
    }

    /// Other entries of that name, in any case, are removed.
    impl<S: BuildHasher> Injector for HashMap<String, String, S> {
        fn set(&mut self, name: &str, value: &str) {
            self.retain(|key, _| !key.eq_ignore_ascii_case(name));
            self.insert(name.into(), value.into());
        }
    }
}
