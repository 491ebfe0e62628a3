//! The independent server as a child of a test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The server, and what it prints.
pub(crate) struct Python {
    child: Child,
    lines: Receiver<String>,
    /// Ports in the clear and under TLS; the latter are 0 without a certificate.
    pub(crate) grpc: [u16; 2],
    pub(crate) http: [u16; 2],
}

impl Python {
    /// Starts it, with the files of a certificate and its key, or with none.
    pub(crate) fn start(interpreter: &str, identity: &[PathBuf]) -> Self {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../transport/tests/interop/server.py"
        );
        let mut child = Command::new(interpreter)
            .arg(script)
            .args(identity)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        // It answers nobody while what it prints is not read.
        std::thread::spawn(move || {
            let mut printed = printed.lines().map_while(Result::ok);
            printed.all(|line| to.send(line).is_ok())
        });
        let ports = lines.recv().expect("the server prints its ports");
        let mut ports = ports.split(' ').map(|port| port.parse().unwrap());
        let mut port = || ports.next().unwrap_or(0);
        let ([grpc, http], [secure_grpc, secure_http]) = ([port(), port()], [port(), port()]);
        Self {
            child,
            lines,
            grpc: [grpc, secure_grpc],
            http: [http, secure_http],
        }
    }

    /// The next line that it prints: a span that it understood. `None` once it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.recv().ok()
    }

    /// Asks it to end, which it does once it has printed all that it was sent.
    #[allow(dead_code, reason = "not every test does")]
    pub(crate) fn close(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
