//! What receivers of every protocol are set to in the same way.

/// The methods of a builder with a field `listening`, which is a `Listening`, and a field
/// `treatment`, which is a `Treatment`.
macro_rules! shared_methods {
    () => {
        /// The most connections at once. At least 1. Default: 1024, and never more than this receiver's part of the neighbours'
        /// share pays for: a third of it, divided by the receivers that share it, at 144 KiB each over HTTP/2 and
        /// 80 KiB over HTTP/1.1; under TLS 48 KiB more.
        ///
        /// When there is no place for another, the one that is missed least is asked to leave: one that has asked for nothing,
        /// one whose requests have stalled, or else the one that was idle longest.
        pub fn max_connections(mut self, connections: usize) -> Self {
            self.listening.max_connections = connections.max(1);
            self
        }

        /// Answers a request when processors have passed on its spans, so that a client hears `INTERNAL`, or 500, where one of
        /// them fails on what it sends: see
        /// [`OttlCondition::or_fail`](spanwire_core::processor::OttlCondition::or_fail). One that hears nothing `within` that
        /// time is told that its spans are admitted, as they are. Zero: answers as soon as they are. Replaces
        /// [`answer_after_export`](Self::answer_after_export). Default: zero.
        pub fn answer_after_processors(mut self, within: core::time::Duration) -> Self {
            use $crate::receiver::request::some;
            use $crate::receiver::wait::Wait;
            self.treatment.wait = some(within).map_or(Wait::Admission, Wait::Processors);
            self
        }

        /// Keeps the sender's address of IP with the spans of a request, for processors that ask for `client.address`. Default:
        /// it is not kept.
        pub fn keep_client_address(mut self) -> Self {
            self.treatment.kept.keep_address();
            self
        }

        /// What is shown, and who is let in, under TLS; nothing else is spoken then. Default: no TLS.
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: $crate::tls::ServerTls) -> Self {
            self.listening.tls = Some(tls);
            self
        }

        /// What runs the network. Default: [`Runtime::own`](crate::runtime::Runtime::own), a thread. On a host's runtime the
        /// receiver ends with it.
        pub fn runtime(mut self, runtime: $crate::runtime::Runtime) -> Self {
            self.listening.runtime = runtime;
            self
        }
    };
}

pub(super) use shared_methods;
