//! `Retry-After` (RFC 9110 §10.2.3): seconds or an HTTP date, as a time on our clock.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{later, until};

/// The longest wait that an upstream can impose: what it asks beyond is cut to this.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When to try again; never before `now`, never more than [`LONGEST`] after it; `None` if the value is neither.
///
/// `date` is the answer's own `Date`: with it a date becomes a span by the upstream's clock, so that a difference
/// between its clock and ours does not matter.
pub fn parse(value: &str, date: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    let value = value.trim_ascii();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits and yet no u64: more than any cap.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        until(date.and_then(http_date).unwrap_or(now), http_date(value)?)
    };
    Some(later(now, wait.min(LONGEST)))
}

/// All three forms of RFC 9110 §5.6.7.
fn http_date(text: &str) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text.trim_ascii()).ok()?;
    // Dates before 1970 are no HTTP dates to the crate; one that jiff cannot hold lies in the last hours of 9999.
    Some(Timestamp::try_from(date).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(784_111_777, 0); // Sun, 06 Nov 1994 08:49:37 GMT

    fn after(seconds: u64) -> Option<Timestamp> {
        Some(later(NOW, Duration::from_secs(seconds)))
    }

    #[test]
    fn seconds_and_all_three_forms_of_a_date_are_understood() {
        assert_eq!(parse("120", None, NOW), after(120));
        assert_eq!(parse(" 0 ", None, NOW), after(0));
        for date in ["Sun, 06 Nov 1994 08:50:37 GMT", "Sunday, 06-Nov-94 08:50:37 GMT", "Sun Nov  6 08:50:37 1994"] {
            assert_eq!(parse(date, None, NOW), after(60), "{date}");
        }
    }

    #[test]
    fn a_date_is_measured_from_the_answers_own_date() {
        // The upstream's clock is a day ahead of ours, and still it means a minute.
        let (until, date) = ("Mon, 07 Nov 1994 08:50:37 GMT", "Mon, 07 Nov 1994 08:49:37 GMT");
        assert_eq!(parse(until, Some(date), NOW), after(60));
        assert_eq!(parse(until, Some("yesterday"), NOW), after(24 * 60 * 60));
    }

    #[test]
    fn the_past_is_now_and_the_far_future_is_a_day() {
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:36 GMT", None, NOW), after(0));
        assert_eq!(parse("86401", None, NOW), after(86_400));
        assert_eq!(parse("99999999999999999999999999", None, NOW), after(86_400));
        assert_eq!(parse("Fri, 31 Dec 9999 23:59:59 GMT", None, NOW), after(86_400));
    }

    #[test]
    fn nonsense_is_none() {
        for value in ["", " ", "-1", "+1", "1.5", "soon", "1s", "٣", "Sun, 06 Nov 1994 08:49:37 CET"] {
            assert_eq!(parse(value, None, NOW), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_answer_lies_within_a_day_from_now(
            value in ".{0,40}|[0-9]{1,30}", date in proptest::option::of(".{0,40}"), now in -1_000_000_000_i64..10_000_000_000,
        ) {
            let now = crate::clock::from_micros(now * 1_000_000);
            if let Some(time) = parse(&value, date.as_deref(), now) {
                prop_assert!(time >= now && time <= later(now, LONGEST));
            }
        }

        #[test]
        fn a_date_and_its_seconds_agree(now in 0_u64..4_000_000_000, wait in 0_u64..100_000, skew in 0_u64..1_000_000) {
            let clock = |seconds: u64| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            let theirs = now + skew;
            let now = crate::clock::from_micros(i64::try_from(now).expect("small") * 1_000_000);
            prop_assert_eq!(
                parse(&clock(theirs + wait), Some(&clock(theirs)), now),
                parse(&wait.to_string(), None, now)
            );
        }
    }
}
