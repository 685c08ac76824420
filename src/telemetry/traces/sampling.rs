//! Which traces are told.
//!
//! Promises that what its parent decided counts for a span, that the share asked for is taken of all others, and that a
//! span which is linked to a send that is told is told as well: else the answer to "what became of it" would be left
//! out of the traces by chance.

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// The sampler of all spans.
#[derive(Debug, Clone)]
pub(super) struct Linked(Sampler);

impl Linked {
    pub(super) fn new(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
    }
}

impl ShouldSample for Linked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace, name, kind, attributes, links);
        if links.iter().any(|link| link.span_context.is_sampled()) {
            result.decision = SamplingDecision::RecordAndSample;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, TraceContextExt as _};

    use super::{super::parent::of_text, *};

    const TOLD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNTOLD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn is_told(ratio: f64, parent: Option<&str>, link: Option<&str>) -> bool {
        let span = |text: &str| -> SpanContext { of_text(text).expect("it is valid") };
        let parent = parent.map(|parent| Context::new().with_remote_span_context(span(parent)));
        let links: Vec<_> = link.map(|link| Link::with_context(span(link))).into_iter().collect();
        let trace = TraceId::from_hex("7f000000000000007f00000000000000").expect("an id");
        let sampler = Linked::new(ratio);
        let result = sampler.should_sample(parent.as_ref(), trace, "x", &SpanKind::Internal, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn the_parent_decides_and_without_one_the_share() {
        assert!(is_told(0.0, Some(TOLD), None));
        assert!(!is_told(1.0, Some(UNTOLD), None));
        assert!(is_told(1.0, None, None));
        assert!(!is_told(0.0, None, None));
    }

    #[test]
    fn what_a_told_send_led_to_is_told() {
        assert!(is_told(0.0, None, Some(TOLD)));
        assert!(is_told(0.0, Some(UNTOLD), Some(TOLD)), "its callback was left out by chance");
        assert!(!is_told(0.0, None, Some(UNTOLD)));
    }
}
