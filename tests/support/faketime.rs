//! The wall clock of one process, shifted by libfaketime (`scripts/ensure-faketime` installs it).
//!
//! What a process measures time by (the monotonic clock) goes on as it does: so it is when an operator puts a machine's
//! clock right.

use std::{fs, io::Write as _, path::PathBuf};

/// Shifts a process that was started with [`Self::exports`].
pub struct FakeTime {
    library: PathBuf,
    by: tempfile::NamedTempFile,
}

impl FakeTime {
    /// None: the machine has no libfaketime.
    pub fn found() -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").ok()?;
        let libraries = folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|library| library.exists())?;
        let clock = Self { library, by: tempfile::NamedTempFile::new().expect("a file") };
        clock.shift(0);
        Some(clock)
    }

    /// What a shell has to do before it becomes the process.
    pub fn exports(&self) -> String {
        format!(
            "export LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_CACHE_DURATION=1",
            self.library.display(),
            self.by.path().display()
        )
    }

    /// From the next second on the process believes it to be so many seconds later; less than none: earlier.
    pub fn shift(&self, seconds: i64) {
        // In place of the file, so that no reader sees half of it.
        let mut next = tempfile::NamedTempFile::new_in(self.by.path().parent().expect("a folder")).expect("a file");
        next.write_all(format!("{seconds:+}").as_bytes()).expect("it can be written");
        let (_, path) = next.keep().expect("it stays");
        fs::rename(path, self.by.path()).expect("it takes its place");
    }
}
