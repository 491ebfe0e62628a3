//! The first rule that applies decides.

use core::fmt;
use core::ops::Deref;

use super::condition::Predicate;
use super::{
    ComposableSampler, Sampler, Sampling, SamplingInput, SamplingIntent, TraceStateChange,
};
use crate::attribute::KeyValue;
use crate::context::TraceState;

/// Who decides about the spans to which a condition applies.
///
/// ```
/// use spanwire_core::sampler::{AlwaysOff, Condition, Rule};
///
/// let rule = Rule { when: Condition { names: &["GET /healthz"], ..Condition::ANY }, then: AlwaysOff };
/// # let _ = rule;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<P, S> {
    /// To which spans the rule applies.
    pub when: P,
    /// Who decides about them.
    pub then: S,
}

/// Asks the sampler of the first rule that applies; a span to which none applies is dropped.
///
/// The rules are a slice, or anything that derefs to one: without a heap `&[Rule<..>]`, with one also a `Vec` or an
/// `Arc<[..]>`. Rules with different samplers take `&dyn Sampler` or `Box<dyn Sampler>`. It is a [`Sampler`] if its
/// rules' samplers are, and a [`ComposableSampler`] if they are. Rule schema of opentelemetry-configuration,
/// `schema/tracer_provider.yaml`; OpenTelemetry trace SDK specification, "ComposableRuleBased".
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{
///     AlwaysOff, Condition, PerMillion, Rule, RuleBased, Sampler, Sampling, SamplingInput,
/// };
///
/// let rules: [Rule<Condition<'_>, &dyn Sampler>; 2] = [
///     Rule { when: Condition { names: &["GET /healthz"], ..Condition::ANY }, then: &AlwaysOff },
///     Rule { when: Condition::ANY, then: &PerMillion::ALWAYS },
/// ];
/// let sampler = RuleBased::new(&rules[..]);
/// let ask = |name| sampler.sample(&SamplingInput::root(TraceId::from_bytes([1; 16]), name), &mut |_| ());
/// assert_eq!(ask("GET /healthz"), Sampling::DROP);
/// assert_eq!(ask("GET /pods"), Sampling::SAMPLE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleBased<L>(L);

impl<L, P, S> RuleBased<L>
where
    L: Deref<Target = [Rule<P, S>]>,
    P: Predicate,
{
    /// Asks these rules, in their order.
    pub const fn new(rules: L) -> Self {
        Self(rules)
    }

    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        describe: impl Fn(&S, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        f.write_str("RuleBased{")?;
        for (at, rule) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            rule.when.describe(f)?;
            f.write_str(":")?;
            describe(&rule.then, f)?;
        }
        f.write_str("}")
    }
}

/// The sampler of the first rule that applies.
fn first<'r, P: Predicate, S>(rules: &'r [Rule<P, S>], input: &SamplingInput<'_>) -> Option<&'r S> {
    rules
        .iter()
        .find(|rule| rule.when.matches(input))
        .map(|rule| &rule.then)
}

impl<L, P, S> Sampler for RuleBased<L>
where
    L: Deref<Target = [Rule<P, S>]> + Send + Sync,
    P: Predicate,
    S: Sampler,
{
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        first(&self.0, input).map_or(Sampling::DROP, |sampler| sampler.sample(input, add))
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, S::description)
    }

    fn needs_moment(&self) -> bool {
        self.0.iter().any(|rule| rule.then.needs_moment())
    }
}

impl<L, P, S> ComposableSampler for RuleBased<L>
where
    L: Deref<Target = [Rule<P, S>]> + Send + Sync,
    P: Predicate,
    S: ComposableSampler,
{
    fn intent(
        &self,
        input: &SamplingInput<'_>,
        add: &mut dyn FnMut(KeyValue<'_>),
    ) -> SamplingIntent {
        first(&self.0, input).map_or(SamplingIntent::DROP, |sampler| sampler.intent(input, add))
    }

    fn update_trace_state(
        &self,
        input: &SamplingInput<'_>,
        state: &TraceState,
    ) -> TraceStateChange {
        first(&self.0, input).map_or(TraceStateChange::Keep, |sampler| {
            sampler.update_trace_state(input, state)
        })
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, S::describe)
    }

    fn reads_moment(&self) -> bool {
        self.0.iter().any(|rule| rule.then.reads_moment())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::id::TraceId;
    use crate::sampler::{
        AlwaysOff, AlwaysOn, CompositeSampler, Condition, Description, ParentKind, PerMillion,
        RateLimiting, Threshold,
    };

    const ID: TraceId = TraceId::from_bytes([255; 16]);

    fn named<'a, S>(names: &'a [&'a str], then: S) -> Rule<Condition<'a>, S> {
        Rule {
            when: Condition {
                names,
                ..Condition::ANY
            },
            then,
        }
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let rules: [Rule<Condition<'_>, &dyn Sampler>; 3] = [
            named(&["a"], &AlwaysOff),
            named(&["a", "b"], &AlwaysOn),
            named(&["c*"], &PerMillion::NEVER),
        ];
        let sampler = RuleBased::new(&rules[..]);
        for (name, expected) in [
            ("a", Sampling::DROP),
            ("b", Sampling::SAMPLE),
            ("cc", Sampling::DROP),
            // None applies.
            ("d", Sampling::DROP),
        ] {
            assert_eq!(
                sampler.sample(&SamplingInput::root(ID, name), &mut |_| ()),
                expected,
                "{name}"
            );
        }
        assert!(!sampler.needs_moment());
        assert_eq!(
            Description(&sampler).to_string(),
            "RuleBased{[[\"a\"]]:AlwaysOffSampler,[[\"a\", \"b\"]]:AlwaysOnSampler,[[\"c*\"]]:AlwaysOffSampler}"
        );
        let none: [Rule<Condition<'_>, AlwaysOn>; 0] = [];
        assert_eq!(
            RuleBased::new(&none[..]).sample(&SamplingInput::root(ID, "a"), &mut |_| ()),
            Sampling::DROP
        );
    }

    #[test]
    fn rules_compose() {
        let limit = RateLimiting::new(0.0).unwrap();
        let roots = Condition {
            parents: &[ParentKind::None],
            ..Condition::ANY
        };
        let rules: [Rule<Condition<'_>, &dyn ComposableSampler>; 2] = [
            named(&["a"], &limit),
            Rule {
                when: roots,
                then: &AlwaysOn,
            },
        ];
        let sampler = RuleBased::new(&rules[..]);
        let intent = |name| sampler.intent(&SamplingInput::root(ID, name), &mut |_| ());
        assert_eq!(intent("a"), SamplingIntent::DROP);
        assert_eq!(intent("b"), SamplingIntent::reliable(Threshold::ALWAYS));
        assert!(sampler.reads_moment());
        assert!(CompositeSampler::new(sampler).needs_moment());
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn rules_may_be_owned() {
        use alloc::boxed::Box;
        use alloc::sync::Arc;

        use crate::sampler::OwnedCondition;

        let rules = alloc::vec![
            Rule {
                when: OwnedCondition::new().name("a"),
                then: Box::new(AlwaysOff) as Box<dyn Sampler>
            },
            Rule {
                when: OwnedCondition::new(),
                then: Box::new(AlwaysOn)
            },
        ];
        let sampler: Arc<dyn Sampler> = Arc::new(RuleBased::new(rules));
        let ask = |name| sampler.sample(&SamplingInput::root(ID, name), &mut |_| ());
        assert_eq!((ask("a"), ask("b")), (Sampling::DROP, Sampling::SAMPLE));
    }
}
