//! One pass over a body that copies what is fine and writes what is not in another way.

use std::borrow::Cow;

use super::word::{self, Word};

/// What becomes of a text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// U+FFFD stands for it.
    Replaced,
    /// In a value, the escape of half a character, which parsers skip but do not read. In a key U+FFFD: a key that is
    /// broken is none that we know.
    Kept,
}

/// Parsers of ours follow nesting so far; what lies deeper becomes `null`.
const DEEPEST: usize = 127;
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
const HALF: &[u8] = br"\udfff";

/// `input` as strict JSON, as far as it can be made so.
pub(super) fn repaired(input: &[u8], broken: Broken) -> Cow<'_, str> {
    let mut pass = Pass { input, at: 0, copied: 0, out: Vec::new(), broken, depth: 0, pruned: None };
    while let Some(byte) = pass.peek(0) {
        pass.token(byte);
    }
    pass.finish()
}

struct Pass<'a> {
    input: &'a [u8],
    at: usize,
    /// How much of the input the output accounts for.
    copied: usize,
    out: Vec<u8>,
    broken: Broken,
    depth: usize,
    /// Where in the output that began which lies too deep.
    pruned: Option<usize>,
}

impl<'a> Pass<'a> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.input.get(self.at + ahead).copied()
    }

    /// Brings the output up to here.
    fn catch_up(&mut self) {
        self.out.extend_from_slice(&self.input[self.copied..self.at]);
        self.copied = self.at;
    }

    /// Writes `text` for the next `length` bytes.
    fn replace(&mut self, length: usize, text: &[u8]) {
        self.catch_up();
        self.out.extend_from_slice(text);
        self.at = self.input.len().min(self.at + length);
        self.copied = self.at;
    }

    fn finish(mut self) -> Cow<'a, str> {
        if self.copied == 0 && self.out.is_empty() {
            return String::from_utf8_lossy(self.input);
        }
        self.catch_up();
        Cow::Owned(String::from_utf8_lossy(&self.out).into_owned())
    }

    fn token(&mut self, byte: u8) {
        match byte {
            b'"' | b'\'' => self.string(byte),
            b'{' | b'[' => self.open(),
            b'}' | b']' => self.close(),
            b',' if matches!(self.significant(1), Some(b'}' | b']')) => self.replace(1, b""),
            b'/' if self.comment(self.at).is_some() => {
                let end = self.comment(self.at).unwrap_or(self.input.len());
                self.replace(end - self.at, b" ");
            }
            _ if word::continues(byte) => self.word(),
            b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
            // Zeros at the end, for example: what a C program pads with.
            0..0x20 => self.replace(1, b" "),
            0x80.. => self.foreign(),
            _ => self.at += 1,
        }
    }

    fn open(&mut self) {
        if self.depth == DEEPEST {
            self.catch_up();
            self.pruned = Some(self.out.len());
        }
        self.depth += 1;
        self.at += 1;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
        if self.depth == DEEPEST
            && let Some(start) = self.pruned.take()
        {
            self.catch_up();
            self.out.truncate(start);
            self.out.extend_from_slice(b"null");
        }
    }

    /// Blanks that JSON does not know, or what the parser will refuse.
    fn foreign(&mut self) {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
        let text = String::from_utf8_lossy(&rest[..length]);
        let blank = |character: char| character.is_whitespace() || matches!(character, '\u{feff}' | '\u{200b}');
        if text.chars().all(blank) {
            self.replace(length, b" ");
        } else {
            self.replace(length, text.as_bytes());
        }
    }

    fn word(&mut self) {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|byte| !word::continues(*byte)).unwrap_or(rest.len());
        let word = &rest[..length];
        if self.significant(length) == Some(b':') {
            let quoted = [b"\"", word, b"\""].concat();
            self.replace(length, &quoted);
            return;
        }
        match word::read(word) {
            Word::Means(text) => self.replace(length, text.as_bytes()),
            Word::Fine | Word::Unknown => self.at += length,
        }
    }

    /// The first byte that is neither blank nor of a comment, `ahead` of here.
    fn significant(&self, ahead: usize) -> Option<u8> {
        let mut at = self.at + ahead;
        loop {
            match self.input.get(at)? {
                b'/' => match self.comment(at) {
                    Some(end) => at = end,
                    None => return Some(b'/'),
                },
                0..=b' ' => at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Where the comment that begins at `at` ends.
    fn comment(&self, at: usize) -> Option<usize> {
        let text = &self.input[at..];
        let end = match text.get(..2)? {
            b"//" => text.iter().position(|byte| *byte == b'\n'),
            b"/*" => text[2..].windows(2).position(|pair| pair == b"*/").map(|found| found + 4),
            _ => return None,
        };
        Some(end.map_or(self.input.len(), |end| at + end))
    }

    fn string(&mut self, quote: u8) {
        let opened = self.at;
        if quote == b'"' {
            self.at += 1;
        } else {
            self.replace(1, b"\"");
        }
        // Found only for a text that has a fault: nearly none has.
        let mut mark = None;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' if quote == b'\'' => self.replace(1, br#"\""#),
                _ if byte == quote => {
                    if quote == b'"' {
                        self.at += 1;
                    } else {
                        self.replace(1, b"\"");
                    }
                    return;
                }
                b'\\' => {
                    if let Some(length) = self.escape() {
                        let mark = *mark.get_or_insert_with(|| self.mark(opened, quote));
                        self.replace(length, mark);
                    }
                }
                0..0x20 => {
                    let escape = format!("\\u{byte:04x}");
                    self.replace(1, escape.as_bytes());
                }
                0x80.. => {
                    let rest = &self.input[self.at..];
                    let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                    for chunk in rest[..length].utf8_chunks() {
                        self.at += chunk.valid().len();
                        if !chunk.invalid().is_empty() {
                            let mark = *mark.get_or_insert_with(|| self.mark(opened, quote));
                            self.replace(chunk.invalid().len(), mark);
                        }
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// What stands for what is no text in the string that opened there.
    fn mark(&self, opened: usize, quote: u8) -> &'static [u8] {
        if self.broken == Broken::Replaced {
            return REPLACEMENT;
        }
        let mut at = opened + 1;
        while let Some(byte) = self.input.get(at) {
            match *byte {
                b'\\' => at += 2,
                byte if byte == quote => break,
                _ => at += 1,
            }
        }
        let is_key = at < self.input.len() && self.significant(at + 1 - self.at) == Some(b':');
        if is_key { REPLACEMENT } else { HALF }
    }

    /// Passes an escape, or says how much of the input is none.
    fn escape(&mut self) -> Option<usize> {
        match self.peek(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                match (self.unit(2), self.unit(8).filter(|_| self.input[self.at + 6..].starts_with(b"\\u"))) {
                    (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => self.at += 12,
                    (Some(0xd800..0xe000), _) => return Some(6),
                    (Some(_), _) => self.at += 6,
                    (None, _) => return Some(2),
                }
            }
            Some(b'x') => match self.input.get(self.at + 2..self.at + 4).filter(|digits| are_hex(digits)) {
                Some(digits) => {
                    let escape = [br"\u00", digits].concat();
                    self.replace(4, &escape);
                }
                None => return Some(2),
            },
            Some(b'v') => self.replace(2, br"\u000b"),
            Some(b'0') => self.replace(2, br"\u0000"),
            // A line that goes on in the next.
            Some(b'\n') => self.replace(2, b""),
            // Would end a text in single quotes, were it left for the next round.
            Some(b'\'') => self.replace(2, b"'"),
            // What was needlessly escaped is meant as it stands.
            Some(_) => self.replace(1, b""),
            None => self.at += 1,
        }
        None
    }

    /// The code unit in four hexadecimal digits, `ahead` of here.
    fn unit(&self, ahead: usize) -> Option<u16> {
        let digits = self.input.get(self.at + ahead..self.at + ahead + 4).filter(|digits| are_hex(digits))?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}

fn are_hex(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_hexdigit)
}
