//! `Retry-After` (RFC 9110 §10.2.3) as servers really send it, as a time on our clock.
//!
//! By the letter it is seconds or an HTTP date. Servers also send fractions, units, ISO 8601's durations, Unix times
//! (what their framework calls the reset of a limit), RFC 3339, and several values. Promises that seconds and HTTP
//! dates mean what the letter says, and that no value, whatever its form, keeps anybody away for longer than
//! [`LONGEST`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use crate::clock::{later, until};

/// The longest wait that an upstream can impose: what it asks beyond is cut to this. Well below the day in which a lead
/// must be at ALC: a mistaken value must not use it up for every lead of a workspace.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// From here on a number of seconds is a Unix time: as a span it would be more than thirty years.
const UNIX_TIME: f64 = 1e9;

/// When to try again; never before `now`, never more than `longest` (itself at most [`LONGEST`]) after it; `None` if no
/// value is readable. Of several the longest wait counts: it satisfies all of them.
///
/// `date` is the answer's own `Date`: with it a time becomes a span by the upstream's clock, so that a difference
/// between its clock and ours does not matter.
pub fn parse<'a>(
    values: impl IntoIterator<Item = &'a str>,
    date: Option<&str>,
    now: Timestamp,
    longest: Duration,
) -> Option<Timestamp> {
    let theirs = date.and_then(time).unwrap_or(now);
    let wait = values.into_iter().filter_map(|value| longest_of(value, theirs)).max()?;
    Some(later(now, wait.min(longest).min(LONGEST)))
}

/// The longest of the values in one header. A date has a comma of its own, so the header is read whole before in parts.
fn longest_of(value: &str, theirs: Timestamp) -> Option<Duration> {
    let bare = |text: &str| text.trim_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'')).to_owned();
    let whole = bare(value.split(';').next().unwrap_or_default());
    wait(&whole, theirs).or_else(|| whole.split(',').filter_map(|part| wait(&bare(part), theirs)).max())
}

fn wait(text: &str, theirs: Timestamp) -> Option<Duration> {
    span(text, theirs).or_else(|| Some(until(theirs, time(text)?))).or_else(|| {
        // `PT30S` and `1m 30s`.
        let duration = text.parse::<SignedDuration>().ok()?.max(SignedDuration::ZERO);
        let begun = SignedDuration::from_secs(i64::from(duration.subsec_nanos() > 0));
        duration.saturating_add(begun).try_into().ok().map(|wait: Duration| Duration::from_secs(wait.as_secs()))
    })
}

/// A number, perhaps with a unit. What is left of a second counts as one: nobody is to knock too early.
fn span(text: &str, theirs: Timestamp) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite())?;
    let seconds = match unit.as_str() {
        "" => bare_number(number, theirs),
        "ms" | "msec" | "millis" | "milliseconds" => number / 1000.0,
        "s" | "sec" | "secs" | "second" | "seconds" => number,
        "m" | "min" | "mins" | "minute" | "minutes" => number * 60.0,
        "h" | "hr" | "hour" | "hours" => number * 3600.0,
        _ => return None,
    };
    // Beyond any cap, and no more than a duration holds.
    Some(Duration::from_secs_f64(seconds.clamp(0.0, 1e12).ceil()))
}

/// Seconds, unless they are too many: then a Unix time, in seconds, or in milli- or microseconds as some languages have
/// it.
fn bare_number(number: f64, theirs: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for any time of this age")]
    let theirs = theirs.as_second() as f64;
    match number {
        _ if number < UNIX_TIME => number,
        _ if number < UNIX_TIME * 1e2 => number - theirs,
        _ if number < UNIX_TIME * 1e5 => number / 1e3 - theirs,
        _ if number < UNIX_TIME * 1e8 => number / 1e6 - theirs,
        // No time of this age; a span beyond any cap.
        _ => number,
    }
}

/// A point in time: RFC 9110's three forms, what mail writes (`+0000`, `UTC`), RFC 3339; without a zone in UTC.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii();
    if let Ok(date) = httpdate::parse_http_date(text) {
        // Dates before 1970 are no HTTP dates to the crate; one that jiff cannot hold lies in the last hours of 9999.
        return Some(Timestamp::try_from(date).unwrap_or(Timestamp::MAX));
    }
    let mail = text.strip_suffix("UTC").map(|rest| format!("{rest}GMT"));
    jiff::fmt::rfc2822::parse(mail.as_deref().unwrap_or(text))
        .map(|zoned| zoned.timestamp())
        .or_else(|_| text.parse::<Timestamp>())
        .ok()
        .or_else(|| {
            let date = text.trim_end_matches(['Z', 'z']).parse::<DateTime>().ok()?;
            Some(date.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp()))
        })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0); // Mon, 21 Sep 2026 14:13:20 GMT

    fn after(seconds: u64) -> Option<Timestamp> {
        Some(later(NOW, Duration::from_secs(seconds)))
    }

    fn read(value: &str) -> Option<Timestamp> {
        parse([value], None, NOW, LONGEST)
    }

    #[test]
    fn seconds_and_all_three_forms_of_a_date_are_understood() {
        assert_eq!(read("120"), after(120));
        assert_eq!(read(" 0 "), after(0));
        for date in ["Mon, 21 Sep 2026 14:14:20 GMT", "Monday, 21-Sep-26 14:14:20 GMT", "Mon Sep 21 14:14:20 2026"] {
            assert_eq!(read(date), after(60), "{date}");
        }
    }

    #[test]
    fn a_wait_is_understood_in_every_form() {
        for (value, seconds) in [
            ("4.0", 4),
            ("4.2", 5),
            ("0.001", 1),
            (".5", 1),
            ("+7", 7),
            ("007", 7),
            ("\t12 ", 12),
            ("\"12\"", 12),
            ("-1", 0),
            ("-1.5", 0),
            ("120s", 120),
            ("120 s", 120),
            ("2m", 120),
            ("2 minutes", 120),
            ("1 Second", 1),
            ("1500ms", 2),
            ("0.5h", 1800),
            ("30; by the second", 30),
            ("5, 60", 60),
            ("60, 5", 60),
            ("soon, 9", 9),
            ("1790000060", 60),
            ("1790000060.5", 61),
            ("1790000060000", 60),
            ("1790000060000000", 60),
            ("1789999999", 0),
            ("2026-09-21T14:14:20Z", 60),
            ("2026-09-21T14:14:20.000Z", 60),
            ("2026-09-21T16:14:20+02:00", 60),
            ("2026-09-21 14:14:20Z", 60),
            ("2026-09-21T14:14:20", 60),
            ("Mon, 21 Sep 2026 14:14:20 +0000", 60),
            ("Mon, 21 Sep 2026 14:14:20 UTC", 60),
            ("21 Sep 2026 14:14:20 GMT", 60),
            ("Mon, 21 Sep 2026 16:14:20 +0200", 60),
            ("PT1M", 60),
            ("PT0.5S", 1),
            ("pt1m30s", 90),
            ("1m30s", 90),
            ("1m 30s", 90),
            ("1 minute, 30 seconds", 90),
            ("-PT5S", 0),
        ] {
            assert_eq!(read(value), after(seconds), "{value}");
        }
        assert_eq!(parse(["5", "soon", "Mon, 21 Sep 2026 14:14:20 GMT"], None, NOW, LONGEST), after(60));
        assert_eq!(parse([], None, NOW, LONGEST), None);
    }

    #[test]
    fn a_time_is_measured_from_the_answers_own_date() {
        // The upstream's clock is a day ahead of ours, and still it means a minute.
        let date = Some("Tue, 22 Sep 2026 14:13:20 GMT");
        for value in ["Tue, 22 Sep 2026 14:14:20 GMT", "1790086460", "2026-09-22T14:14:20Z"] {
            assert_eq!(parse([value], date, NOW, LONGEST), after(60), "{value}");
            assert_eq!(parse([value], Some("yesterday"), NOW, LONGEST), after(3600), "{value}");
        }
    }

    #[test]
    fn the_past_is_now_and_no_value_stops_us_for_long() {
        for past in ["Mon, 21 Sep 2026 14:13:19 GMT", "1000000000", "1970-01-01T00:00:00Z", "-99999999999999999999"] {
            assert_eq!(read(past), after(0), "{past}");
        }
        for far in [
            "3601",
            "86400",
            "999999999",
            "99999999999999999999999999",
            "99 hours",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "9999-12-31T23:59:59Z",
            "4000000000",
        ] {
            assert_eq!(read(far), after(3600), "{far}");
            assert_eq!(parse([far], None, NOW, Duration::from_secs(90)), after(90), "{far}");
            assert_eq!(parse([far], None, NOW, Duration::MAX), after(3600), "{far}");
        }
    }

    #[test]
    fn nonsense_is_none() {
        for value in
            ["", " ", "soon", "٣", "-", ".", "1.2.3", "1e3", "NaN", "inf", "12 monkeys", "Mon, 21 Sep 2026", ","]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_answer_lies_within_the_longest_wait_from_now(
            values in proptest::collection::vec(".{0,40}|[0-9]{1,30}|[-+0-9.]{1,20}[a-z]{0,2}|[0-9T:.Z-]{1,30}", 0..3),
            date in proptest::option::of(".{0,40}"), now in -1_000_000_000_i64..10_000_000_000, longest in 0_u64..100_000,
        ) {
            let now = crate::clock::from_micros(now * 1_000_000);
            let longest = Duration::from_secs(longest);
            let read = parse(values.iter().map(String::as_str), date.as_deref(), now, longest);
            if let Some(time) = read {
                prop_assert!(time >= now && time <= later(now, longest.min(LONGEST)));
            }
        }

        #[test]
        fn every_form_of_a_wait_agrees(now in 1_500_000_000_u64..4_000_000_000, wait in 0_u64..100_000, skew in 0_u64..1_000_000) {
            let clock = |seconds: u64| httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            let theirs = now + skew;
            let now = crate::clock::from_micros(i64::try_from(now).expect("small") * 1_000_000);
            let then = i64::try_from(theirs + wait).expect("small");
            let iso = Timestamp::from_second(then).expect("in range").to_string();
            let seconds = parse([wait.to_string().as_str()], None, now, LONGEST);
            for form in [
                clock(theirs + wait), then.to_string(), format!("{then}000"), format!("{then}.0"), iso, format!("{wait}.0"),
                format!("{wait}s"), format!("{wait}000 ms"), format!("0, {wait}"),
            ] {
                prop_assert_eq!(parse([form.as_str()], Some(&clock(theirs)), now, LONGEST), seconds, "{}", form);
            }
        }
    }
}
