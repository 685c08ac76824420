//! How the demo speaks: a line for each step, with a ✓ or a ✗; and how long it looks for what it is to tell.

use std::time::Duration;

/// A step that did not happen; it has been told already.
#[derive(Debug)]
pub(super) struct Failed;

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the demo's whole point is to print; it does so here only")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Tells a step: ✓ with what was found, or ✗ with what was expected and what was found.
pub(super) fn told(happened: bool, step: &str, expected: &str, found: &str) -> Result<(), Failed> {
    if happened {
        say(&format!("✓ {step:<46} {found}"));
        return Ok(());
    }
    say(&format!("✗ {step}\n    expected: {expected}\n    found:    {found}"));
    Err(Failed)
}

/// Asks `look` again and again until it gives something, for at most ten seconds.
pub(super) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.ok()
}
