//! What is made of many figures of one thing.

/// The middle one, or the upper of two. Not a number for none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    percentile(figures, 50)
}

/// The one that this many of a hundred are below. Not a number for none.
pub fn percentile(figures: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let at = figures.len() * percent / 100;
    figures.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_is_the_upper_of_two_and_none_is_not_a_number() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([2.0, 1.0]), 2.0);
        assert!(median([]).is_nan());
        let hundred = || (0..100).map(f64::from);
        assert_eq!(percentile(hundred(), 99), 99.0);
        assert_eq!(percentile(hundred(), 50), 50.0);
    }
}
