//! The span everybody records: the same name, event, keys and values for each peer.

/// The name of every span.
pub const NAME: &str = "sync pod";

/// The name of the one event of a span that has any.
pub const EVENT: &str = "image pulled";

/// The name of the instrumentation scope.
pub const SCOPE: &str = "kubelet";

/// The keys, in the order they are set. A span with four attributes has the first four.
pub mod key {
    /// Known when the program is built.
    pub const COMPONENT: &str = "component";
    /// Known at run time, 36 characters.
    pub const POD: &str = "k8s.pod.uid";
    /// A number.
    pub const ATTEMPT: &str = "attempt";
    /// A boolean.
    pub const CACHED: &str = "image.cached";
    /// Known when the program is built.
    pub const METHOD: &str = "rpc.method";
    /// Known when the program is built.
    pub const SYSTEM: &str = "rpc.system";
    /// Known at run time, 36 characters.
    pub const CONTAINER: &str = "container.id";
    /// Known at run time, 36 characters.
    pub const NODE: &str = "k8s.node.uid";
    /// A number.
    pub const STATUS: &str = "rpc.status";
    /// A boolean.
    pub const RETRIED: &str = "retried";
}

/// The string values that are known when the program is built.
pub mod value {
    /// The value of [`key::COMPONENT`](super::key::COMPONENT).
    pub const COMPONENT: &str = "kubelet";
    /// The value of [`key::METHOD`](super::key::METHOD).
    pub const METHOD: &str = "RunPodSandbox";
    /// The value of [`key::SYSTEM`](super::key::SYSTEM).
    pub const SYSTEM: &str = "grpc";
}

/// The values that are known only at run time.
#[derive(Clone, Debug)]
pub struct Payload {
    /// 36 characters.
    pub pod: String,
    /// 36 characters.
    pub container: String,
    /// 36 characters.
    pub node: String,
    /// A small number.
    pub attempt: i64,
    /// A small number.
    pub status: i64,
    /// Either.
    pub cached: bool,
    /// Either.
    pub retried: bool,
}

impl Default for Payload {
    fn default() -> Self {
        Self {
            pod: "8f0f4c1e-2a7d-4be5-9c38-61d0b7a9e2f4".into(),
            container: "1d2b86f3-95e0-4a47-8b1c-0e7f3d5a6c98".into(),
            node: "c5a9e7d1-3f64-4820-b6ef-72d8140b9a35".into(),
            attempt: 3,
            status: 14,
            cached: true,
            retried: false,
        }
    }
}

/// How many attributes a span has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// None.
    Zero,
    /// A static string, a string of 36 characters, a number, a boolean.
    Four,
    /// Three static strings, three strings of 36 characters, two numbers, two booleans.
    Ten,
}

impl Attributes {
    /// All of them, fewest first.
    pub const ALL: [Self; 3] = [Self::Zero, Self::Four, Self::Ten];

    /// How many.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Zero => 0,
            Self::Four => 4,
            Self::Ten => 10,
        }
    }
}
