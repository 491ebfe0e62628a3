//! Prometheus text exposition format 0.0.4, line by line.

use core::fmt::{self, Write};

pub(super) const COUNTER: &str = "counter";
pub(super) const GAUGE: &str = "gauge";

/// The exposition, line by line.
pub(super) struct Text<'a, 'f> {
    pub(super) out: &'a mut fmt::Formatter<'f>,
    pub(super) labels: &'a [(&'a str, &'a str)],
}

impl Text<'_, '_> {
    /// Opens a family. All its samples follow before the next.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        write!(self.out, "# HELP {name} ")?;
        escape(self.out, help, false)?;
        writeln!(self.out, "\n# TYPE {name} {kind}")
    }

    pub(super) fn sample(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: u64,
    ) -> fmt::Result {
        self.out.write_str(name)?;
        let mut open = '{';
        let common = self.labels.iter().copied();
        for (label, value) in labels.iter().copied().chain(common) {
            self.out.write_char(open)?;
            open = ',';
            label_name(self.out, label)?;
            self.out.write_str("=\"")?;
            escape(self.out, value, true)?;
            self.out.write_char('"')?;
        }
        if open == ',' {
            self.out.write_char('}')?;
        }
        writeln!(self.out, " {value}")
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`.
fn label_name(out: &mut impl Write, name: &str) -> fmt::Result {
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        out.write_char('_')?;
    }
    name.chars().try_for_each(|c| {
        let is_allowed = c.is_ascii_alphanumeric() || c == '_';
        out.write_char(if is_allowed { c } else { '_' })
    })
}

/// A backslash and a line feed are escaped everywhere, a quotation mark in the value of a label.
fn escape(out: &mut impl Write, text: &str, quotes: bool) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        '\\' => out.write_str("\\\\"),
        '\n' => out.write_str("\\n"),
        '"' if quotes => out.write_str("\\\""),
        c => out.write_char(c),
    })
}
