//! Reads a Rust source as far as the walls need: its words without comments and strings, the paths that it names, the
//! names that it imports, and which of its parts are tests.

use std::collections::{BTreeMap, BTreeSet};

/// A path as it stands in a source.
pub(crate) struct Found {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// Where it stands, inline modules included.
    pub(crate) module: Vec<String>,
}

impl Found {
    pub(crate) fn is_in_tests(&self) -> bool {
        self.module.iter().any(|name| name == "tests")
    }

    /// The module or item of our own crate that it names; nothing if it begins elsewhere.
    pub(crate) fn target(&self) -> Option<Vec<String>> {
        let mut segments = self.segments.iter();
        let mut target = match segments.next().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            _ => return None,
        };
        for segment in segments {
            if segment == "super" {
                target.pop();
            } else if segment != "self" && segment != "*" {
                target.push(segment.clone());
            }
        }
        Some(target)
    }
}

/// One name that a `use` brings in.
pub(crate) struct Import {
    pub(crate) path: Found,
    /// Whether others may import it from here: `pub use`, also with a restriction.
    pub(crate) is_public: bool,
}

#[derive(Default)]
pub(crate) struct Scan {
    /// The paths in the code, imports left out.
    pub(crate) paths: Vec<Found>,
    /// What is imported, by the name that it has here.
    pub(crate) imports: BTreeMap<String, Vec<Import>>,
    /// The modules that are declared here, inline or as files.
    pub(crate) modules: BTreeSet<String>,
    /// Each name in the code, imports left out.
    pub(crate) words: BTreeSet<String>,
}

impl Scan {
    /// Every path, imports and code.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Found> {
        self.imports.values().flatten().map(|import| &import.path).chain(&self.paths)
    }

    /// Whether a path that begins with this name leads into our own crate.
    pub(crate) fn is_local(&self, name: &str) -> bool {
        let is_ours = |imports: &Vec<Import>| imports.iter().any(|import| import.path.target().is_some());
        self.modules.contains(name) || self.imports.get(name).is_some_and(is_ours)
    }

    fn import(&mut self, name: String, path: Found, is_public: bool) {
        self.imports.entry(name).or_default().push(Import { path, is_public });
    }
}

pub(crate) fn scan(file_module: &[String], tokens: &[Token]) -> Scan {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut scan = Scan::default();
    let mut module = file_module.to_vec();
    // For each open brace, whether it opened a module.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "mod" if is_name(text(at + 1)) => {
                scan.modules.insert(text(at + 1).to_owned());
                if text(at + 2) == "{" {
                    module.push(text(at + 1).to_owned());
                    braces.push(true);
                }
                at += 3;
            }
            "{" => {
                braces.push(false);
                at += 1;
            }
            "}" => {
                if braces.pop() == Some(true) {
                    module.pop();
                }
                at += 1;
            }
            // `use<'a>` is a bound, not an import.
            "use" if text(at + 1) != "<" => {
                let is_public = at > 0 && ["pub", ")"].contains(&text(at - 1));
                at += 1;
                import(tokens, &mut at, &[], (&module, is_public), &mut scan);
            }
            name if is_name(name) && !(at > 0 && text(at - 1) == ".") => {
                at = path(tokens, at, &module, &mut scan);
            }
            _ => at += 1,
        }
    }
    scan
}

/// The path, or the single name, that begins at `at`; where it ends.
fn path(tokens: &[Token], at: usize, module: &[String], scan: &mut Scan) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut end = at;
    while text(end + 1) == "::" && is_name(text(end + 2)) {
        end += 2;
    }
    scan.words.insert(text(at).to_owned());
    // Alone it is a variable, or the `crate` of `pub(crate)`.
    if end > at {
        let segments = tokens[at..=end].iter().map(|token| &token.text).filter(|part| *part != "::");
        let line = tokens[at].line;
        scan.paths.push(Found { segments: segments.cloned().collect(), line, module: module.to_vec() });
    }
    end + 1
}

/// One branch of a `use`, from `at` to where it ends. `place`: the module that it stands in, and whether it is public.
fn import(tokens: &[Token], at: &mut usize, prefix: &[String], place: (&[String], bool), scan: &mut Scan) {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut segments = prefix.to_vec();
    loop {
        match text(*at) {
            "::" => *at += 1,
            "{" => {
                *at += 1;
                while !["}", ""].contains(&text(*at)) {
                    import(tokens, at, &segments, place, scan);
                    if text(*at) == "," {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            part if part == "*" || is_name(part) => {
                segments.push(part.to_owned());
                *at += 1;
                if text(*at) == "::" {
                    continue;
                }
                let line = tokens[*at - 1].line;
                let mut name = segments.iter().rfind(|part| *part != "self").cloned().unwrap_or_default();
                if text(*at) == "as" {
                    text(*at + 1).clone_into(&mut name);
                    *at += 2;
                }
                scan.import(name, Found { segments, line, module: place.0.to_vec() }, place.1);
                return;
            }
            _ => {
                *at += 1;
                return;
            }
        }
    }
}

/// The tokens without what is compiled for tests alone: each item under `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_mark = |at: usize| MARK.iter().enumerate().all(|(n, word)| is(tokens, at + n, word));
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_mark(at) {
            at = end_of_item(tokens, at + MARK.len());
        } else {
            kept.push(Token { text: tokens[at].text.clone(), line: tokens[at].line });
            at += 1;
        }
    }
    kept
}

/// Where the item that begins at `start` ends: behind its `;`, behind its block, or before the brace that it stands in.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    let mut imports = false;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "use" if depth == 0 => imports = true,
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 0 => return at,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && token.text == "}" && !imports {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is(tokens: &[Token], at: usize, word: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == word)
}

pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single signs; comments, strings, characters and lifetimes are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    read(source).tokens
}

/// The lines that hold a comment, or a part of one, with what of it stands there.
pub(crate) fn comments(source: &str) -> Vec<(usize, String)> {
    let lines = |(line, text): (usize, String)| -> Vec<_> {
        text.lines().enumerate().map(|(n, text)| (line + n, text.to_owned())).collect()
    };
    read(source).comments.into_iter().flat_map(lines).collect()
}

fn read(source: &str) -> Reader {
    let mut reader = Reader { chars: source.chars().collect(), at: 0, tokens: Vec::new(), comments: Vec::new() };
    let mut line = 1;
    while reader.at < reader.chars.len() {
        let start = reader.at;
        reader.piece(line);
        reader.at = reader.at.min(reader.chars.len());
        line += reader.chars[start..reader.at].iter().filter(|c| **c == '\n').count();
    }
    reader
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    tokens: Vec<Token>,
    comments: Vec<(usize, String)>,
}

impl Reader {
    fn ahead(&self, by: usize) -> char {
        self.chars.get(self.at + by).copied().unwrap_or('\0')
    }

    fn skip_while(&mut self, more: impl Fn(char) -> bool) {
        while self.at < self.chars.len() && more(self.ahead(0)) {
            self.at += 1;
        }
    }

    /// Reads one token, or one thing that is none.
    fn piece(&mut self, line: usize) {
        let start = self.at;
        match (self.ahead(0), self.ahead(1)) {
            ('/', '/') => {
                self.skip_while(|c| c != '\n');
                self.comments.push((line, self.chars[start..self.at].iter().collect()));
            }
            ('/', '*') => {
                self.block_comment();
                self.comments.push((line, self.chars[start..self.at].iter().collect()));
            }
            ('"', _) => {
                self.at += 1;
                self.quoted('"');
            }
            ('\'', '\\') => {
                self.at += 1;
                self.quoted('\'');
            }
            ('\'', _) if self.ahead(2) == '\'' => self.at += 3,
            ('\'', _) => {
                self.at += 1;
                self.skip_while(is_of_word);
            }
            (c, _) if is_of_word(c) => self.word(line),
            (':', ':') => {
                self.tokens.push(Token { text: "::".to_owned(), line });
                self.at += 2;
            }
            (c, _) => {
                if !c.is_whitespace() {
                    self.tokens.push(Token { text: c.to_string(), line });
                }
                self.at += 1;
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.ahead(0), self.ahead(1)) {
                ('/', '*') => (depth, self.at) = (depth + 1, self.at + 2),
                ('*', '/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 || self.at >= self.chars.len() {
                return;
            }
        }
    }

    /// The rest of a string or character, whose opening sign has been read.
    fn quoted(&mut self, sign: char) {
        while self.at < self.chars.len() && self.ahead(0) != sign {
            self.at += if self.ahead(0) == '\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    /// A name, a keyword, a number; or the raw string that it begins.
    fn word(&mut self, line: usize) {
        let start = self.at;
        self.skip_while(is_of_word);
        let word: String = self.chars[start..self.at].iter().collect();
        let hashes = self.chars[self.at..].iter().take_while(|c| **c == '#').count();
        if ["r", "br", "cr"].contains(&word.as_str()) && self.ahead(hashes) == '"' {
            let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            self.at += hashes + 1;
            while self.at < self.chars.len() && !self.chars[self.at..].starts_with(&closing) {
                self.at += 1;
            }
            self.at += closing.len();
        } else if word == "r" && hashes == 1 {
            self.at += 1; // a raw name: `r#type`
        } else {
            self.tokens.push(Token { text: word, line });
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
