//! Another process of this program, which is told what to do on its standard input.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A process of this program. Dropped, it is ended.
#[derive(Debug)]
pub struct Process {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it with these words.
    ///
    /// # Errors
    ///
    /// The system starts no process.
    pub fn start(words: &[&str]) -> io::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("a process without pipes"));
        };
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    /// The number the system knows it by.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Says a line.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.input, "{line}")
    }

    /// A line of what it says.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("a process has ended"));
        }
        Ok(line)
    }

    /// Says a line; the numbers of the answer.
    ///
    /// # Errors
    ///
    /// It has ended, or says something else.
    pub fn ask(&mut self, request: &str) -> io::Result<Vec<f64>> {
        self.say(request)?;
        self.numbers()
    }

    /// The numbers of a line of what it says.
    ///
    /// # Errors
    ///
    /// It has ended, or says something else.
    pub fn numbers(&mut self) -> io::Result<Vec<f64>> {
        let answer = self.hear()?;
        let words = answer.split_whitespace();
        words
            .map(|word| word.parse().map_err(io::Error::other))
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It holds nothing worth saving, and may be blocked on purpose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
