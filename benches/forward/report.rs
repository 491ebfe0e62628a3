//! The table, as markdown on standard output.

use spanwire_benches::{figure, memory::MEBIBYTE};

use crate::{
    load::{SPANS, request_bytes},
    relays::{Coding, Name},
    rounds::{Case, Flood},
};

/// Prints every row.
pub fn print(cases: &[Case]) {
    println!("# What a span costs on its way through a relay\n");
    println!(
        "Requests of {SPANS} spans, {} bytes a span, over OTLP/gRPC: one connection, eight requests under way. The relay puts \
         8192 spans into a batch, and sends them on to a server in another process that counts spans on the wire and answers \
         at once. CPU is that of the relay's process, all threads, kernel included; it has one core, its client and its \
         server share the other one. The client waits while more than 32,768 spans are under way. Medians of one \
         interleaved run.\n",
        request_bytes() / SPANS
    );
    println!(
        "| relay | both sides | CPU a span, us | x | spans a second | call: median, us | p99, us | allocations a span | resident, \
         MiB | refused | missing |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for case in cases {
        let ours = case.ours(cases);
        println!(
            "| {} | {} | {:.3} | {:.2} | {:.0} k | {:.0} | {:.0} | {:.3} | {:.1} | {:.0} | {:.0} |",
            case.name.word(),
            case.coding.word(),
            case.cpu() / 1e3,
            case.cpu() / ours,
            case.median(|flood| flood.sent / flood.seconds) / 1e3,
            case.median(|flood| flood.median),
            case.median(|flood| flood.p99),
            case.median(|flood| flood.allocations / flood.sent),
            case.resident() / MEBIBYTE,
            case.sum(|flood| flood.refused),
            case.sum(|flood| flood.missing),
        );
    }
}

/// One line of what another relay did.
pub fn print_other(floods: &[Flood]) {
    let median = |of: &dyn Fn(&Flood) -> f64| median(floods, of);
    println!(
        "CPU a span {:.3} us, {:.0} k spans a second, call {:.0} us (p99 {:.0} us), {:.1} MiB more resident, {:.0} spans \
         refused, {:.0} missing",
        median(&|flood| flood.cpu / flood.sent) / 1e3,
        median(&|flood| flood.sent / flood.seconds) / 1e3,
        median(&|flood| flood.median),
        median(&|flood| flood.p99),
        median(&|flood| flood.resident) / MEBIBYTE,
        floods.iter().map(|flood| flood.refused).sum::<f64>(),
        floods.iter().map(|flood| flood.missing).sum::<f64>(),
    );
}

impl Case {
    /// CPU a span in nanoseconds.
    pub fn cpu(&self) -> f64 {
        self.median(|flood| flood.cpu / flood.sent)
    }

    /// CPU a span of the relay of ours that does the same.
    fn ours(&self, cases: &[Self]) -> f64 {
        let ours = match self.name {
            Name::Spanwire | Name::Naive => Name::Spanwire,
            Name::SpanwireEdits | Name::NaiveEdits => Name::SpanwireEdits,
        };
        find(cases, ours, self.coding).map_or(f64::NAN, Self::cpu)
    }

    /// The most bytes.
    pub fn resident(&self) -> f64 {
        let floods = self.floods.iter();
        floods.map(|flood| flood.resident).fold(f64::NAN, f64::max)
    }

    pub fn sum(&self, of: impl Fn(&Flood) -> f64) -> f64 {
        self.floods.iter().map(of).sum()
    }

    pub fn median(&self, of: impl Fn(&Flood) -> f64) -> f64 {
        median(&self.floods, of)
    }
}

fn median(floods: &[Flood], of: impl Fn(&Flood) -> f64) -> f64 {
    figure::median(floods.iter().map(of))
}

pub fn find(cases: &[Case], name: Name, coding: Coding) -> Option<&Case> {
    let mut cases = cases.iter();
    cases.find(|case| case.name == name && case.coding == coding)
}
