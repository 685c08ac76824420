//! W3C Trace Context: which trace a caller's request belongs to, and the same as it is written down and sent on.
//!
//! Promises that what is not exactly as the specification has it (<https://www.w3.org/TR/trace-context/>) counts as not
//! said: the request is served all the same, as the begin of a trace of its own.

use std::str::FromStr as _;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Version, trace, span and flags, with the dashes between them.
const LENGTH: usize = 55;
/// The longest `tracestate` that is taken: it is copied into each span.
const LONGEST_STATE: usize = 512;

/// What a request says of the trace that it belongs to.
pub(crate) struct Caller<'a> {
    /// Each `traceparent` header that it has.
    pub(crate) traceparent: &'a [&'a str],
    /// Its first `tracestate` header.
    pub(crate) tracestate: Option<&'a str>,
}

/// The span that a caller says its request belongs to.
pub(super) fn of_caller(caller: &Caller<'_>) -> Option<SpanContext> {
    // Two of them contradict each other.
    let [traceparent] = caller.traceparent else { return None };
    let (trace, span, flags) = parts(traceparent.trim())?;
    let state = caller.tracestate.filter(|state| state.len() <= LONGEST_STATE);
    let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    Some(SpanContext::new(trace, span, flags, true, state))
}

/// The span that [`written`] wrote down.
pub(super) fn of_text(text: &str) -> Option<SpanContext> {
    let (trace, span, flags) = parts(text)?;
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

/// A span as `traceparent` names it.
pub(super) fn written(span: &SpanContext) -> Option<String> {
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    span.is_valid().then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), flags.to_u8()))
}

/// A version after ours may say more behind what ours says.
fn parts(text: &str) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (head, rest) = text.split_at_checked(LENGTH)?;
    let [version, trace, span, flags] = *head.split('-').collect::<Vec<_>>() else { return None };
    let lengths = [version, trace, span, flags].map(str::len);
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let may_go_on = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    if lengths != [2, 32, 16, 2] || ![version, trace, span, flags].into_iter().all(is_hex) {
        return None;
    }
    if version == "ff" || !may_go_on {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    (trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span, flags))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(traceparent: &[&str], tracestate: Option<&str>) -> Option<SpanContext> {
        of_caller(&Caller { traceparent, tracestate })
    }

    #[test]
    fn a_callers_trace_is_taken_as_it_is_said() {
        let span = of(&[GOOD], Some("vendor=1,other=x")).expect("it is valid");
        assert_eq!(span.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.span_id().to_string(), "b7ad6b7169203331");
        assert!(span.is_sampled() && span.is_remote());
        assert_eq!(span.trace_state().header(), "vendor=1,other=x");
        assert!(!of(&[&GOOD.replace("-01", "-02")], None).expect("an unknown flag").is_sampled());
        let later = format!("cc{}-what-comes-later", &GOOD[2..]);
        assert_eq!(of(&[&later], None).expect("a later version").trace_id(), span.trace_id());
    }

    #[test]
    fn nonsense_is_no_trace() {
        let zeroes = |part: &str| GOOD.replace(part, &"0".repeat(part.len()));
        let of_nothing = [zeroes("0af7651916cd43dd8448eb211c80319c"), zeroes("b7ad6b7169203331")];
        let nonsense = [
            "",
            "1",
            &of_nothing[0],
            &of_nothing[1],
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &format!("ff{}", &GOOD[2..]),
            &format!("cc{}more", &GOOD[2..]),
            &GOOD.replace("0af", "+af"),
            &GOOD.replace('-', "_"),
            &GOOD[..54],
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "ää-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for text in nonsense {
            assert!(of(&[text], None).is_none(), "{text}");
        }
        assert!(of(&[GOOD, GOOD], None).is_none(), "two of them");
        assert!(of(&[], None).is_none());
        let long: Vec<_> = (0..30).map(|n| format!("vendor{n}={}", "x".repeat(20))).collect();
        for state in ["no equals sign", &long.join(",")] {
            assert_eq!(of(&[GOOD], Some(state)).expect("the parent stands").trace_state().header(), "", "{state}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_judged_and_what_is_taken_is_written_the_same(text in "(00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])|\\PC*") {
            if let Some(span) = of_text(&text) {
                let written = written(&span).expect("it is valid");
                prop_assert_eq!(&written[2..], &text[2..LENGTH]);
            }
        }
    }
}
