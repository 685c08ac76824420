//! How the demo speaks: a line for each step, with a ✓ or a ✗.

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
