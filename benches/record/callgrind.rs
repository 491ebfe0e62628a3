//! Instructions a span on the producing thread, counted by valgrind. They do not depend on what else the machine does.
//!
//! Valgrind replaces the clock of the vDSO by a system call, so reading a clock through it counts almost nothing.

use std::{env, io, process::Command};

use crate::{
    peer::{Fate, Name, Shape},
    rounds::BATCH,
};

/// The cases worth the wait.
const FATES: [Fate; 2] = [Fate::Recorded, Fate::NotSampled];

/// Instructions a span by peer, fate and shape.
pub type Counts = Vec<(Name, Fate, Shape, f64)>;

/// Counts, or says why not.
pub fn run(quick: bool) -> Result<Counts, String> {
    let version = Command::new("valgrind").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err("valgrind is not installed".into());
    }
    let mut counts = Counts::new();
    for fate in FATES {
        for name in Name::ALL.into_iter().filter(|name| name.knows(fate)) {
            for shape in Shape::ALL {
                if !quick || shape == Shape::Bare {
                    let count = count(name, fate, shape).map_err(|error| error.to_string())?;
                    counts.push((name, fate, shape, count));
                }
            }
        }
    }
    Ok(counts)
}

fn count(name: Name, fate: Fate, shape: Shape) -> io::Result<f64> {
    eprintln!(
        "callgrind: {} {} {}",
        name.word(),
        fate.word(),
        shape.word()
    );
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*measured_batch*",
        ])
        .arg(env::current_exe()?)
        .args(["--once", name.word(), fate.word(), shape.word()])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    collected
        .and_then(|(_, count)| count.trim().parse::<f64>().ok())
        .map(|count| count / BATCH as f64)
        .ok_or_else(|| io::Error::other(format!("callgrind said nothing of its count: {said}")))
}
