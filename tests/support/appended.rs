//! What a Redis server has written to its append-only files: with `appendfsync always`, all that it acknowledged.

use std::{fs, path::Path};

/// The commands of one write: several where a script or a transaction made it. Each is its words.
pub type Write = Vec<Vec<String>>;

/// The writes of the server whose files are in that folder since it wrote `mark`, oldest first; none: that is not
/// there.
pub fn since(folder: &Path, mark: &str) -> Option<Vec<Write>> {
    let mut files: Vec<_> = fs::read_dir(folder.join("appendonlydir"))
        .ok()?
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            let number: u64 = name.strip_suffix(".incr.aof")?.rsplit('.').next()?.parse().ok()?;
            Some((number, file.path()))
        })
        .collect();
    files.sort();
    let bytes: Vec<u8> = files.iter().flat_map(|(_, path)| fs::read(path).unwrap_or_default()).collect();
    let writes = writes(&bytes);
    let at = writes.iter().rposition(|write| write.iter().flatten().any(|word| word == mark))?;
    Some(writes[at + 1..].to_vec())
}

/// A last one that is cut off, as a kill leaves it, does not count.
fn writes(mut bytes: &[u8]) -> Vec<Write> {
    let (mut writes, mut open): (Vec<Write>, Option<Write>) = (Vec::new(), None);
    while let Some(command) = command(&mut bytes) {
        match (command.first().map(|word| word.to_ascii_uppercase()).as_deref(), &mut open) {
            // Which database is spoken of: each file says so for itself.
            (Some("SELECT"), _) => {}
            (Some("MULTI"), _) => open = Some(Vec::new()),
            (Some("EXEC"), _) => writes.extend(open.take()),
            (_, Some(write)) => write.push(command),
            (_, None) => writes.push(vec![command]),
        }
    }
    writes
}

fn command(bytes: &mut &[u8]) -> Option<Vec<String>> {
    let count = number(bytes, b'*')?;
    (0..count)
        .map(|_| {
            let length = number(bytes, b'$')?;
            let word = bytes.get(..length)?;
            *bytes = bytes.get(length + 2..)?;
            Some(String::from_utf8_lossy(word).into_owned())
        })
        .collect()
}

fn number(bytes: &mut &[u8], sign: u8) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b'\r')?;
    let digits = bytes.get(..end)?.strip_prefix(&[sign])?;
    *bytes = bytes.get(end + 2..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
