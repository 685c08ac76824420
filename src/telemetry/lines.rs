//! Where log lines go: standard output, as long as it takes them.
//!
//! Promises that a line which cannot be written is counted and costs nothing else. Where a shell has put the output
//! into a file, or a program reads it from a pipe, its disk is full or its reader gone one day; the service has leads
//! and callbacks to take all the same.

use std::io;

/// Standard output, for one line.
pub(super) struct Output;

impl io::Write for Output {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        io::stdout().write(part)
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        io::stdout()
            .write_all(line)
            .inspect_err(|_| metrics::counter!("alc_connector_log_lines_lost_total").increment(1))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
