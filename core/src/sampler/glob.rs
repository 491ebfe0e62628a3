//! Patterns of `*` and `?`.

/// Whether `text` matches `pattern`: `*` stands for any run of characters, also none, `?` for exactly one character,
/// and every other character for itself, in its case.
///
/// Takes time in proportion to the product of both lengths at worst, and no memory.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to resume when a guess was wrong: after the last star, with the star one character longer.
    let mut resume = None;
    loop {
        let before = text.clone();
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = before.clone();
                resume = Some((pattern.clone(), before));
            }
            (Some('?'), Some(_)) => {}
            (Some(expected), Some(found)) if expected == found => {}
            _ => {
                let Some((after_star, mut longer)) = resume else {
                    return false;
                };
                if longer.next().is_none() {
                    return false;
                }
                pattern = after_star.clone();
                text = longer.clone();
                resume = Some((after_star, longer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_by_table() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("GET /pods/*", "GET /pods/a/b", true),
            ("GET /pods/*", "get /pods/a", false),
            ("*/healthz", "GET /healthz", true),
            ("*/healthz", "GET /healthz2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "ac", true),
            ("*?", "", false),
            ("*aab", "aaaaab", true),
            ("[a]", "a", false),
            ("\\*", "*", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((own, rest)) => text.first() == Some(own) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_recursive_definition(pattern in "[abé*?]{0,8}", text in "[abé]{0,10}") {
            let chars: (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), naive(&chars.0, &chars.1));
        }
    }
}
