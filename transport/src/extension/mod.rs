//! What stands beside pipelines, and takes no part in them: the Collector's extensions.

// Whether the program is well, for who asks over HTTP.
pub mod health_check;
