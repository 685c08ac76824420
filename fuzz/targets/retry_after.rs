//! `Retry-After`, a value on each line; the last line is the answer's `Date`.
#![no_main]

use std::time::{Duration, SystemTime};

use alc_connector::{
    clock::{later, until},
    upstream::retry_after::{self, LONGEST},
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

fuzz_target!(|text: &str| {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let date = if lines.len() > 1 { lines.pop() } else { None };
    let parsed = retry_after::parse(lines.iter().copied(), date, NOW, LONGEST);
    if let [value] = lines.as_slice()
        && let Some(strict) = strictly(value, date)
    {
        assert_eq!(parsed.map(|time| until(NOW, time)), Some(strict), "what the RFC knows means what the RFC says");
    }
    let Some(time) = parsed else { return };
    assert!(time >= NOW && time <= later(NOW, LONGEST), "{time}");
    // The same wait in seconds is the same time, but for a part of a second; no value shortens what another asks.
    let seconds = until(NOW, time).as_secs();
    let again = retry_after::parse([seconds.to_string().as_str()], None, NOW, LONGEST);
    assert_eq!(again, Some(later(NOW, Duration::from_secs(seconds))), "{seconds}");
    let more = lines.iter().copied().chain(["1"]);
    assert!(retry_after::parse(more, date, NOW, LONGEST) >= Some(time));
    let deadline = Duration::from_secs(7);
    assert!(retry_after::parse(lines, date, NOW, deadline).is_some_and(|time| time <= later(NOW, deadline)));
});

/// The wait by the letter of RFC 9110, reckoned on the system's time. Seconds of more than thirty years are left out:
/// those are Unix times.
fn strictly(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim_ascii();
    if value.chars().all(|digit| digit.is_ascii_digit()) && !value.is_empty() {
        let seconds: u64 = value.parse().ok().filter(|seconds| *seconds < 1_000_000_000)?;
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let on = |text: &str| httpdate::parse_http_date(text.trim_ascii()).ok();
    let until = on(value)?;
    let from = match date {
        None => SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_second().cast_unsigned()),
        Some(date) => on(date)?,
    };
    Some(until.duration_since(from).unwrap_or_default().min(LONGEST))
}
