//! The tables, as markdown on standard output.

use spanwire_benches::{figure::median, memory::MEBIBYTE};

use crate::{
    peers::Name,
    rounds::{BUSY, CALM, Effort, Figures, Flood, Offered},
};

/// Prints every table.
pub fn print(figures: &Figures, effort: &Effort) {
    println!("# What a span costs until a server has counted it\n");
    println!(
        "Ten attributes with keys and values of 20 characters, OTLP/gRPC in the clear, a server in another process that \
         counts spans on the wire and answers at once. Default settings throughout. CPU is that of the client process, \
         all threads, kernel included. The producer has one core; the client's other threads and the server share the \
         other one. Medians of one interleaved run.\n"
    );
    println!("## Flat out\n");
    println!(
        "The producer waits, 1 ms at a time, while the window of its peer is full: that many spans are made and not \
         counted by the server. For opentelemetry-otlp it is the length of its queue, so that it loses nothing. raw tonic \
         records nothing: it sends one request of 2048 spans again and again, four at a time.\n"
    );
    println!(
        "| peer | window, spans | spans a second | x | CPU a span, us | of which recording | x | missing |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, floods) in &figures.floods {
        println!(
            "| {} | {} | {:.0} k | {:.2} | {:.3} | {:.3} | {:.2} | {:.0} |",
            name.word(),
            name.window(),
            rate(floods) / 1e3,
            rate(figures.floods(Name::Spanwire)) / rate(floods),
            cpu(floods) / 1e3,
            recording(floods) / 1e3,
            cpu(floods) / cpu(figures.floods(Name::Spanwire)),
            floods.iter().map(|flood| flood.missing).sum::<f64>(),
        );
    }
    println!(
        "\n## {CALM} spans a second, for {:.1} s\n",
        effort.calm as f64 / 1e3
    );
    println!(
        "In handfuls, every 10 ms. CPU: less that of the same client making none. Resident: the most above the start of \
         the process, pages of files not counted.\n"
    );
    println!(
        "| peer | CPU, % of a core | x | CPU a span, us | of which recording | resident, MiB | missing |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, offered) in &figures.calm {
        let ours = share(figures.calm(Name::Spanwire));
        let share = share(offered);
        println!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} |",
            name.word(),
            share * 100.0,
            share / ours,
            share * 1e6 / CALM as f64,
            median(offered.iter().map(|offered| offered.recording)) / 1e3,
            resident(offered) / MEBIBYTE,
            offered.iter().map(|offered| offered.missing).sum::<f64>(),
        );
    }
    println!("\n## {BUSY} spans a second, server 10 ms away\n");
    println!(
        "The server waits for 10 ms before it answers. In handfuls of 1000, fewer than the SDK queues.\n"
    );
    println!("| peer | seconds | spans made | lost | % | CPU a span, us | resident, MiB |");
    println!("|---|---|---|---|---|---|---|");
    for (name, offered) in &figures.far {
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} |",
            name.word(),
            offered.seconds,
            offered.made,
            offered.missing,
            offered.missing / offered.made * 100.0,
            offered.cpu / offered.made / 1e3,
            offered.resident / MEBIBYTE,
        );
    }
}

/// Prints what became of the clients of servers that were in trouble.
pub fn print_troubles(figures: &Figures) {
    println!("\n## {BUSY} spans a second, server in trouble\n");
    println!(
        "Spans come before, meanwhile and after at the same rate. Recording: CPU of the producer a span, before and meanwhile. \
         Recovery: from the end of the trouble to the first span counted; for one back-off interval spans may still be lost. \
         Lost: made and not counted by the server after a flush. A stuck server answers what it has when it recovers; \
         requests that were given up on meanwhile are not counted.\n"
    );
    println!(
        "| peer | server | seconds | recording before, ns | meanwhile, ns | x | resident, MiB | recovery, s | made | lost | \
         of which it tells | of which after the interval |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (name, mood, trouble) in &figures.troubles {
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} | {:.2} | {:.0} | {:.0} | {} | {} |",
            name.word(),
            mood.word(),
            trouble.during.seconds,
            trouble.before.recording,
            trouble.during.recording,
            trouble.during.recording / trouble.before.recording,
            trouble.during.resident / MEBIBYTE,
            trouble.recovery,
            trouble.made(),
            trouble.missing,
            said(trouble.told),
            said(trouble.late),
        );
    }
}

fn said(number: Option<f64>) -> String {
    number.map_or_else(|| "nothing".into(), |number| format!("{number:.0}"))
}

impl Figures {
    pub fn floods(&self, name: Name) -> &[Flood] {
        let found = self.floods.iter().find(|entry| entry.0 == name);
        found.map_or(&[], |entry| &entry.1)
    }

    pub fn calm(&self, name: Name) -> &[Offered] {
        let found = self.calm.iter().find(|entry| entry.0 == name);
        found.map_or(&[], |entry| &entry.1)
    }
}

/// Spans a second.
pub fn rate(floods: &[Flood]) -> f64 {
    median(floods.iter().map(|flood| flood.made / flood.seconds))
}

/// CPU a span in nanoseconds.
pub fn cpu(floods: &[Flood]) -> f64 {
    median(floods.iter().map(|flood| flood.cpu / flood.made))
}

/// CPU of the producer a span in nanoseconds.
pub fn recording(floods: &[Flood]) -> f64 {
    median(floods.iter().map(|flood| flood.recording / flood.made))
}

/// Cores.
pub fn share(offered: &[Offered]) -> f64 {
    median(offered.iter().map(|each| each.cpu / 1e9 / each.seconds))
}

/// Bytes.
pub fn resident(offered: &[Offered]) -> f64 {
    offered
        .iter()
        .map(|each| each.resident)
        .fold(f64::NAN, f64::max)
}
