//! What the machine says of a process: its CPU time, and its memory at its highest.

use std::{fs, time::Duration};

/// `utime` and `stime` of `/proc/PID/stat` count hundredths of a second on every Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// The CPU time of a process and of all its threads, those that have ended included.
pub(crate) fn cpu(pid: u32) -> Result<Duration, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    ticks(&stat).map(|ticks| TICK * ticks).ok_or_else(|| format!("{path} is not as proc(5) says"))
}

/// The second field may hold blanks and brackets itself; it ends with the last bracket.
fn ticks(stat: &str) -> Option<u32> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(field(11)? + field(12)?)
}

/// `VmHWM`: the most memory that a process ever had resident, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| format!("{path} does not say VmHWM"))
}

/// The machine and how busy it is, in a line.
pub(crate) fn described() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo").split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok());
    let memory = memory.map_or(0, |kilobytes| kilobytes / (1024 * 1024));
    let load = read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
    format!("{cores} cores ({model}), {memory} GiB, Linux {release}, load before the run {load}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0 4 0";
        assert_eq!(ticks(stat), Some(100));
        assert_eq!(ticks("42 (short) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = std::process::id();
        assert!(peak_memory(own).expect("known") > 100_000);
        assert!(cpu(own).is_ok());
        assert!(cpu(u32::MAX).is_err());
    }
}
