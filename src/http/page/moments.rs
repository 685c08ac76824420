//! Times as a person reads them: when, and how far that is from now.

use std::time::Duration;

use crate::clock::{Timestamp, until};

/// Tells times as of the moment in which a page is made.
pub(super) struct Moments {
    pub(super) now: Timestamp,
}

impl Moments {
    /// `2026-11-20 12:00:01`; UTC, as every page says once.
    pub(super) fn stamp(&self, time: &Timestamp) -> String {
        time.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `3 min ago`, `in 2 h 5 min`, `now`.
    pub(super) fn away(&self, time: &Timestamp) -> String {
        if *time > self.now {
            return match span(until(self.now, *time)).as_str() {
                "0 s" => "now".to_owned(),
                span => format!("in {span}"),
            };
        }
        match span(until(*time, self.now)).as_str() {
            "0 s" => "now".to_owned(),
            span => format!("{span} ago"),
        }
    }
}

/// In its two biggest units.
fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (big, small) = match (days, hours, minutes) {
        (0, 0, 0) => return format!("{seconds} s"),
        (0, 0, _) => return format!("{minutes} min"),
        (0, _, _) => (format!("{hours} h"), (minutes % 60, "min")),
        _ => (format!("{days} d"), (hours % 24, "h")),
    };
    if small.0 == 0 { big } else { format!("{big} {} {}", small.0, small.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_by_its_distance() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
        let moments = Moments { now };
        for (time, told) in [
            ("2026-11-20T12:00:00Z", "now"),
            ("2026-11-20T11:59:59.5Z", "now"),
            ("2026-11-20T11:59:48Z", "12 s ago"),
            ("2026-11-20T12:00:31Z", "in 31 s"),
            ("2026-11-20T11:57:00Z", "3 min ago"),
            ("2026-11-20T09:55:00Z", "2 h 5 min ago"),
            ("2026-11-20T14:00:00Z", "in 2 h"),
            ("2026-11-17T07:00:00Z", "3 d 5 h ago"),
        ] {
            assert_eq!(moments.away(&time.parse().expect("a time")), told, "{time}");
        }
        assert_eq!(moments.stamp(&now), "2026-11-20 12:00:00");
    }
}
