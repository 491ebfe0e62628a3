//! What a figure has to be, and what a run ends with that missed it.

use std::{fmt, io};

/// A figure, and what it has to reach.
#[derive(Clone, Debug)]
pub struct Goal {
    what: String,
    figure: f64,
    bound: Bound,
    by_the_clock: bool,
}

/// How far a figure has to come.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So far, or farther.
    AtLeast(f64),
    /// So far, and no farther.
    AtMost(f64),
}

/// Which goals decide whether a run has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deciding {
    /// Every one.
    All,
    /// Counts and bytes. What was timed is no evidence.
    NotByTheClock,
    /// None: what was measured in a moment is no evidence.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    MissedAndDecidesNothing,
}

impl Goal {
    /// A figure that is not a number reaches nothing.
    pub fn new(what: impl Into<String>, figure: f64, bound: Bound) -> Self {
        Self {
            what: what.into(),
            figure,
            bound,
            by_the_clock: false,
        }
    }

    /// It is a time or a rate, which a busy machine moves.
    #[must_use]
    pub fn by_the_clock(self) -> Self {
        Self {
            by_the_clock: true,
            ..self
        }
    }

    fn verdict(&self, deciding: Deciding) -> Verdict {
        let met = match self.bound {
            Bound::AtLeast(bound) => self.figure >= bound,
            Bound::AtMost(bound) => self.figure <= bound,
        };
        let decides = match deciding {
            Deciding::All => true,
            Deciding::NotByTheClock => !self.by_the_clock,
            Deciding::None => false,
        };
        match (met, decides) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::Missed,
            (false, false) => Verdict::MissedAndDecidesNothing,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound:.3}"),
            Self::AtMost(bound) => write!(f, "<= {bound:.3}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "**not met**",
            Self::MissedAndDecidesNothing => "not met, decides nothing",
        })
    }
}

/// Prints the goals as a table.
///
/// # Errors
///
/// One that decides is missed. It is what the program ends with, once it has said everything.
pub fn print(goals: impl IntoIterator<Item = Goal>, deciding: Deciding) -> io::Result<()> {
    println!("\n## Goals\n");
    match deciding {
        Deciding::All => {}
        Deciding::NotByTheClock => {
            println!("Times and rates are no evidence in this run, and decide nothing.\n");
        }
        Deciding::None => {
            println!("The run is short: its figures are no evidence, and decide nothing.\n");
        }
    }
    println!("| goal | bound | figure | |");
    println!("|---|---|---|---|");
    let mut missed = 0;
    for goal in goals {
        let verdict = goal.verdict(deciding);
        println!(
            "| {} | {} | {:.3} | {verdict} |",
            goal.what, goal.bound, goal.figure
        );
        missed += usize::from(verdict == Verdict::Missed);
    }
    match missed {
        0 => Ok(()),
        missed => Err(io::Error::other(format!("goals not met: {missed}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Bound::{AtLeast, AtMost},
        *,
    };

    #[test]
    fn a_bound_is_reached_by_what_is_equal_to_it_and_not_by_what_is_missing() {
        for (figure, bound, met) in [
            (2.0, AtLeast(2.0), true),
            (1.9, AtLeast(2.0), false),
            (2.0, AtMost(2.0), true),
            (2.1, AtMost(2.0), false),
            (f64::NAN, AtLeast(0.0), false),
            (f64::NAN, AtMost(0.0), false),
        ] {
            let verdict = Goal::new("it", figure, bound).verdict(Deciding::All);
            assert_eq!(verdict == Verdict::Met, met, "{figure} {bound}");
        }
    }

    #[test]
    fn a_run_fails_by_the_goals_that_decide() {
        let met = || Goal::new("met", 0.0, AtMost(0.0));
        let count = || Goal::new("a count", 1.0, AtMost(0.0));
        let time = || Goal::new("a time", 1.0, AtMost(0.0)).by_the_clock();
        let outcome =
            |goals: Vec<Goal>, deciding| print(goals, deciding).map_err(|it| it.to_string());
        for deciding in [Deciding::All, Deciding::NotByTheClock, Deciding::None] {
            assert_eq!(outcome(vec![met()], deciding), Ok(()));
        }
        let all = || vec![met(), count(), time()];
        let missed = |number: usize| Err(format!("goals not met: {number}"));
        assert_eq!(outcome(all(), Deciding::All), missed(2));
        assert_eq!(outcome(all(), Deciding::NotByTheClock), missed(1));
        assert_eq!(outcome(all(), Deciding::None), Ok(()));
        assert_eq!(outcome(vec![time()], Deciding::NotByTheClock), Ok(()));
    }
}
