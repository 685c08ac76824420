//! `Retry-After` on the first line, the answer's `Date` on the second.
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
    let (value, date) = text.split_once('\n').map_or((text, None), |(value, date)| (value, Some(date)));
    let parsed = retry_after::parse(value, date, NOW);
    assert_eq!(parsed.map(|time| until(NOW, time)), expected(value, date));
    let Some(time) = parsed else { return };
    assert!(time >= NOW && time <= later(NOW, LONGEST), "{time}");
    // The same wait in seconds is the same time.
    let seconds = until(NOW, time).as_secs().to_string();
    assert_eq!(retry_after::parse(&seconds, None, NOW), Some(time), "{seconds}");
});

/// The wait, reckoned on the system's time.
fn expected(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim_ascii();
    if value.chars().all(|digit| digit.is_ascii_digit()) && !value.is_empty() {
        let day = LONGEST.as_secs().to_string();
        let significant = value.trim_start_matches('0');
        let longer = significant.len() > day.len() || (significant.len() == day.len() && *significant > *day);
        return Some(if longer { LONGEST } else { Duration::from_secs(significant.parse().unwrap_or(0)) });
    }
    let on = |text: &str| httpdate::parse_http_date(text.trim_ascii()).ok();
    let from =
        date.and_then(on).unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.as_second().cast_unsigned()));
    Some(on(value)?.duration_since(from).unwrap_or_default().min(LONGEST))
}
