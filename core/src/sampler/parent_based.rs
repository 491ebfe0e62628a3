//! As the parent, so the child.

use core::fmt;

use super::{AlwaysOff, AlwaysOn, Case, Foresight, Sampler, Sampling, SamplingInput};
use crate::attribute::KeyValue;

/// Decides about roots by one sampler, and follows the parent otherwise: kept parents have kept children.
///
/// Each of the four kinds of parent (remote or local, sampled or not) may have its own sampler; it sees the same input.
/// OpenTelemetry trace SDK specification, "ParentBased". `ParentBased<PerMillion>` is what Kubernetes components use
/// for `samplingRatePerMillion`, also when the rate is 0: sampled parents still have sampled children then.
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{AlwaysOff, ParentBased, PerMillion, Sampler, Sampling, SamplingInput};
///
/// let sampler = ParentBased::new(PerMillion::from_config(None)?).with_remote_sampled(AlwaysOff);
/// let root = SamplingInput::root(TraceId::from_bytes([1; 16]), "sync pod");
/// assert_eq!(sampler.sample(&root, &mut |_| ()), Sampling::DROP);
/// # Ok::<(), spanwire_core::sampler::InvalidRate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentBased<
    Root,
    RemoteSampled = AlwaysOn,
    RemoteNotSampled = AlwaysOff,
    LocalSampled = AlwaysOn,
    LocalNotSampled = AlwaysOff,
> {
    root: Root,
    remote_sampled: RemoteSampled,
    remote_not_sampled: RemoteNotSampled,
    local_sampled: LocalSampled,
    local_not_sampled: LocalNotSampled,
}

impl<Root> ParentBased<Root> {
    /// Asks `root` about roots. Children follow their parents.
    pub const fn new(root: Root) -> Self {
        Self {
            root,
            remote_sampled: AlwaysOn,
            remote_not_sampled: AlwaysOff,
            local_sampled: AlwaysOn,
            local_not_sampled: AlwaysOff,
        }
    }
}

impl<Root, RS, RN, LS, LN> ParentBased<Root, RS, RN, LS, LN> {
    /// Asks `sampler` about children of sampled spans of other processes. Default: [`AlwaysOn`].
    #[must_use]
    pub fn with_remote_sampled<S>(self, sampler: S) -> ParentBased<Root, S, RN, LS, LN> {
        ParentBased {
            root: self.root,
            remote_sampled: sampler,
            remote_not_sampled: self.remote_not_sampled,
            local_sampled: self.local_sampled,
            local_not_sampled: self.local_not_sampled,
        }
    }

    /// Asks `sampler` about children of spans of other processes that are not sampled. Default: [`AlwaysOff`].
    #[must_use]
    pub fn with_remote_not_sampled<S>(self, sampler: S) -> ParentBased<Root, RS, S, LS, LN> {
        ParentBased {
            root: self.root,
            remote_sampled: self.remote_sampled,
            remote_not_sampled: sampler,
            local_sampled: self.local_sampled,
            local_not_sampled: self.local_not_sampled,
        }
    }

    /// Asks `sampler` about children of sampled spans of this process. Default: [`AlwaysOn`].
    #[must_use]
    pub fn with_local_sampled<S>(self, sampler: S) -> ParentBased<Root, RS, RN, S, LN> {
        ParentBased {
            root: self.root,
            remote_sampled: self.remote_sampled,
            remote_not_sampled: self.remote_not_sampled,
            local_sampled: sampler,
            local_not_sampled: self.local_not_sampled,
        }
    }

    /// Asks `sampler` about children of spans of this process that are not sampled. Default: [`AlwaysOff`].
    #[must_use]
    pub fn with_local_not_sampled<S>(self, sampler: S) -> ParentBased<Root, RS, RN, LS, S> {
        ParentBased {
            root: self.root,
            remote_sampled: self.remote_sampled,
            remote_not_sampled: self.remote_not_sampled,
            local_sampled: self.local_sampled,
            local_not_sampled: sampler,
        }
    }
}

impl<Root, RS, RN, LS, LN> Sampler for ParentBased<Root, RS, RN, LS, LN>
where
    Root: Sampler,
    RS: Sampler,
    RN: Sampler,
    LS: Sampler,
    LN: Sampler,
{
    #[inline]
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        let Some(parent) = input.parent else {
            return self.root.sample(input, add);
        };
        match (parent.is_remote(), parent.is_sampled()) {
            (true, true) => self.remote_sampled.sample(input, add),
            (true, false) => self.remote_not_sampled.sample(input, add),
            (false, true) => self.local_sampled.sample(input, add),
            (false, false) => self.local_not_sampled.sample(input, add),
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: [(&str, &dyn Sampler); 5] = [
            ("ParentBased{root:", &self.root),
            (",remoteParentSampled:", &self.remote_sampled),
            (",remoteParentNotSampled:", &self.remote_not_sampled),
            (",localParentSampled:", &self.local_sampled),
            (",localParentNotSampled:", &self.local_not_sampled),
        ];
        for (label, sampler) in parts {
            f.write_str(label)?;
            sampler.description(f)?;
        }
        f.write_str("}")
    }

    fn needs_moment(&self) -> bool {
        self.root.needs_moment()
            || self.remote_sampled.needs_moment()
            || self.remote_not_sampled.needs_moment()
            || self.local_sampled.needs_moment()
            || self.local_not_sampled.needs_moment()
    }

    fn foresee(&self, case: Case) -> Foresight {
        match case {
            Case::Root => self.root.foresee(case),
            Case::RemoteSampled => self.remote_sampled.foresee(case),
            Case::RemoteNotSampled => self.remote_not_sampled.foresee(case),
            Case::LocalSampled => self.local_sampled.foresee(case),
            Case::LocalNotSampled => self.local_not_sampled.foresee(case),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::context::{SpanContext, TraceFlags, TraceState};
    use crate::id::{SpanId, TraceId};
    use crate::sampler::{Decision, Description, PerMillion};

    const TRACE: TraceId = TraceId::from_bytes([7; 16]);

    /// Says which of five branches was asked.
    #[derive(Clone, Copy)]
    struct Branch(&'static str, bool);

    impl Sampler for Branch {
        fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
            assert_eq!(input.name, "x");
            add(KeyValue::new("branch", self.0));
            Sampling::new(Decision::RecordOnly)
        }

        fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn needs_moment(&self) -> bool {
            self.1
        }
    }

    fn parent(trace: TraceId, span: u8, sampled: bool, remote: bool) -> SpanContext {
        SpanContext::new(
            trace,
            SpanId::from_bytes([span; 8]),
            TraceFlags::NONE.with_sampled(sampled),
            remote,
            TraceState::EMPTY,
        )
    }

    fn five(needs: Option<usize>) -> ParentBased<Branch, Branch, Branch, Branch, Branch> {
        let branch = |at, name| Branch(name, needs == Some(at));
        ParentBased::new(branch(0, "root"))
            .with_remote_sampled(branch(1, "remote sampled"))
            .with_remote_not_sampled(branch(2, "remote not sampled"))
            .with_local_sampled(branch(3, "local sampled"))
            .with_local_not_sampled(branch(4, "local not sampled"))
    }

    /// Checks that follow directly, (4): valid, invalid, remote and local parents.
    #[test]
    fn each_kind_of_parent_has_its_branch() {
        for (parent, expected) in [
            (parent(TRACE, 1, true, true), "remote sampled"),
            (parent(TRACE, 1, false, true), "remote not sampled"),
            (parent(TRACE, 1, true, false), "local sampled"),
            (parent(TRACE, 1, false, false), "local not sampled"),
            (parent(TRACE, 0, true, true), "root"),
            (parent(TraceId::INVALID, 1, true, false), "root"),
            (SpanContext::INVALID, "root"),
        ] {
            let mut asked = None;
            let sampling =
                five(None).sample(&SamplingInput::child(&parent, "x"), &mut |attribute| {
                    asked = Some(std::format!("{:?}", attribute.value));
                });
            assert_eq!(asked, Some(std::format!("{expected:?}")));
            assert_eq!(sampling.decision, Decision::RecordOnly);
        }
    }

    /// Kubernetes sampling table: roots by the rate, children as their parents, remote and local alike.
    #[test]
    fn the_kubelets_table() {
        let dropped = "0000000000000000ffffffffffffffff".parse().unwrap();
        let kept = "ffffffffffffffff0000000000000000".parse().unwrap();
        for (rate, root_kept, root_dropped) in [
            (None, Sampling::DROP, Sampling::DROP),
            (Some(0), Sampling::DROP, Sampling::DROP),
            (Some(500_000), Sampling::SAMPLE, Sampling::DROP),
            (Some(1_000_000), Sampling::SAMPLE, Sampling::SAMPLE),
        ] {
            let sampler = ParentBased::new(PerMillion::from_config(rate).unwrap());
            let ask = |input: &SamplingInput<'_>| sampler.sample(input, &mut |_| ());
            assert_eq!(ask(&SamplingInput::root(kept, "x")), root_kept);
            assert_eq!(ask(&SamplingInput::root(dropped, "x")), root_dropped);
            for remote in [true, false] {
                let sampled = parent(dropped, 1, true, remote);
                assert_eq!(ask(&SamplingInput::child(&sampled, "x")), Sampling::SAMPLE);
                let not_sampled = parent(kept, 1, false, remote);
                assert_eq!(
                    ask(&SamplingInput::child(&not_sampled, "x")),
                    Sampling::DROP
                );
            }
        }
    }

    #[test]
    fn one_branch_that_needs_the_moment_is_enough() {
        assert!(!five(None).needs_moment());
        for at in 0..5 {
            assert!(five(Some(at)).needs_moment());
        }
    }

    /// The form of the Go SDK.
    #[test]
    fn the_description_lists_all_branches() {
        assert_eq!(
            Description(&ParentBased::new(PerMillion::new(123_456).unwrap())).to_string(),
            "ParentBased{root:TraceIDRatioBased{0.123456},remoteParentSampled:AlwaysOnSampler,\
             remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,\
             localParentNotSampled:AlwaysOffSampler}"
        );
    }
}
