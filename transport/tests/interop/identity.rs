//! What the independent server shows of itself under TLS.

use std::path::PathBuf;

/// A certificate that is its own authority, and its key, in files that go with it.
pub(crate) struct Identity(pub(crate) [PathBuf; 2]);

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let files = ["crt", "key"].map(|kind| {
            let name = format!("spanwire-interop-{}.{kind}", std::process::id());
            std::env::temp_dir().join(name)
        });
        std::fs::write(&files[0], made.cert.pem()).unwrap();
        std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
        Self(files)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}
