//! What the agent does at every tick: relist, inspect, and tell what came and went; as spans.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use spanwire_core::attribute::KeyValue;
use spanwire_core::context::SpanContext;
use spanwire_core::id::TraceId;
use spanwire_core::span::{Span, Status};
use spanwire_core::tracer::Tracer;

use crate::machine::{self, Proc, Process};

/// A read that takes longer than this is reported as an error: a procfs is memory.
const SLOW: Duration = Duration::from_millis(20);

/// The agent, and what it saw last.
pub(crate) struct Agent {
    tracer: Tracer,
    proc: Proc,
    known: BTreeMap<u32, Process>,
    ticks: i64,
}

/// What a tick found.
#[derive(Default)]
pub(crate) struct Tick {
    /// Its trace.
    pub(crate) trace: Option<TraceId>,
    pub(crate) processes: usize,
    pub(crate) pods: usize,
    pub(crate) came: usize,
    pub(crate) went: usize,
    pub(crate) errors: usize,
    pub(crate) took: Duration,
}

impl Agent {
    pub(crate) fn new(tracer: Tracer, proc: Proc) -> Self {
        Self {
            tracer,
            proc,
            known: BTreeMap::new(),
            ticks: 0,
        }
    }

    /// One turn of the loop, and one trace, or a part of the trace of who asked for it. `begun` is told its trace before any
    /// of its spans has ended.
    pub(crate) fn tick(
        &mut self,
        caller: Option<&SpanContext>,
        begun: impl FnOnce(TraceId),
    ) -> Tick {
        let start = Instant::now();
        self.ticks += 1;
        let span = self.tracer.span("tick");
        let mut span = match caller {
            Some(caller) => span.child_of(caller).start(),
            None => span.root().start(),
        };
        span.set_attribute("tick", self.ticks);
        let mut tick = Tick::default();
        if span.context().is_sampled() {
            tick.trace = Some(span.context().trace_id());
            begun(span.context().trace_id());
        }
        let entered = span.enter();
        let seen = self.relist(&mut tick);
        self.sync(&seen, &mut tick);
        drop(entered);
        self.known = seen;
        tick.took = start.elapsed();
        span.set_attribute("processes", tick.processes as i64)
            .set_attribute("errors", tick.errors as i64);
        tick
    }

    /// Looks at every process.
    fn relist(&self, tick: &mut Tick) -> BTreeMap<u32, Process> {
        let mut span = self.tracer.start("relist");
        let entered = span.enter();
        let mut seen = BTreeMap::new();
        let pids = match self.proc.pids() {
            Ok(pids) => pids,
            Err(error) => {
                drop(entered);
                fail(&mut span, &error, tick);
                // Nothing is known to have gone.
                return self.known.clone();
            }
        };
        for pid in pids {
            if let Some(process) = self.inspect(pid, tick) {
                seen.insert(pid, process);
            }
        }
        drop(entered);
        tick.processes = seen.len();
        tick.pods = count_pods(&seen);
        span.set_attribute("processes", seen.len() as i64)
            .set_attribute("pods", tick.pods as i64);
        seen
    }

    /// Looks at one process. One that does not let us look is as it was. `None`: it is gone, or was never seen.
    fn inspect(&self, pid: u32, tick: &mut Tick) -> Option<Process> {
        let attributes = [KeyValue::new("process.pid", i64::from(pid))];
        let mut span = self
            .tracer
            .span("inspect process")
            .attributes(&attributes)
            .start();
        let start = Instant::now();
        let process = match look(&self.proc, pid) {
            Ok(process) => process,
            Err(error) => {
                fail(&mut span, &error, tick);
                let known = self.known.get(&pid);
                return known.filter(|_| !is_gone(&error)).cloned();
            }
        };
        span.set_attribute("process.command", process.command.as_str())
            .set_attribute("process.memory.usage", process.resident_kib as i64 * 1024)
            .set_attribute("process.linux.cgroup", process.cgroup.as_str());
        if let Some(pod) = &process.pod {
            span.set_attribute("k8s.pod.uid", pod.as_str());
        }
        if start.elapsed() > SLOW {
            tick.errors += 1;
            span.set_status(Status::Error("slow read"));
        }
        Some(process)
    }

    /// Tells what came and went since the last tick.
    fn sync(&self, seen: &BTreeMap<u32, Process>, tick: &mut Tick) {
        let mut span = self.tracer.start("sync");
        // At first everything would be new.
        if self.ticks > 1 {
            let came = seen.iter().filter(|(pid, _)| !self.known.contains_key(pid));
            let went = self.known.iter().filter(|(pid, _)| !seen.contains_key(pid));
            tick.came = came
                .map(|process| event(&mut span, "started", process))
                .count();
            tick.went = went
                .map(|process| event(&mut span, "ended", process))
                .count();
        }
        span.set_attribute("started", tick.came as i64)
            .set_attribute("ended", tick.went as i64);
    }
}

fn look(proc: &Proc, pid: u32) -> io::Result<Process> {
    let command = proc.read(pid, "comm")?.trim_end().to_owned();
    let status = proc.read(pid, "status")?;
    let cgroup = proc.read(pid, "cgroup")?;
    let group = machine::group(&cgroup);
    Ok(Process {
        command,
        resident_kib: machine::number(&status, "VmRSS").unwrap_or(0),
        cgroup: group.to_owned(),
        pod: machine::pod(group),
    })
}

/// Whether a process has ended since it was listed: its files are not there, or, opened before, belong to nobody.
fn is_gone(error: &io::Error) -> bool {
    const NO_SUCH_PROCESS: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS)
}

fn event(span: &mut Span<'_>, what: &str, (pid, process): (&u32, &Process)) {
    let attributes = [
        KeyValue::new("process.pid", i64::from(*pid)),
        KeyValue::new("process.command", process.command.as_str()),
    ];
    span.add_event(what, &attributes);
}

fn fail(span: &mut Span<'_>, error: &io::Error, tick: &mut Tick) {
    tick.errors += 1;
    span.record_error(error, &[])
        .set_status(Status::Error(&error.to_string()));
}

fn count_pods(seen: &BTreeMap<u32, Process>) -> usize {
    let mut pods: Vec<_> = seen
        .values()
        .filter_map(|process| process.pod.as_deref())
        .collect();
    pods.sort_unstable();
    pods.dedup();
    pods.len()
}
