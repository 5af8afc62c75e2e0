//! Reading Rust sources as text: what is code, what is comment, what is text within quotes, what is test.
//!
//! ```text
//!   raw       use crate::sync; // a "note"      let text = "unsafe {";
//!   literal   use crate::sync;                  let text = "unsafe {";        comments are spaces
//!   code      use crate::sync;                  let text = "        ";        so is what stands in quotes
//!   shipping  as code, and items under #[cfg(test)] are spaces
//! ```
//!
//! All four have the same length and the same lines, so that a place in one is the place in each.

use std::path::{Path, PathBuf};

/// One file, in four forms.
pub(crate) struct Source {
    /// From the root of the repository, with forward slashes.
    pub(crate) path: String,
    pub(crate) raw: String,
    pub(crate) literal: String,
    pub(crate) code: String,
    pub(crate) shipping: String,
}

impl Source {
    /// Takes a text apart.
    pub(crate) fn new(path: &str, raw: &str) -> Self {
        let (literal, code) = blank(raw);
        let shipping = without_tests(&code);
        Self { path: path.to_owned(), raw: raw.to_owned(), literal, code, shipping }
    }

    /// The top-level module of the crate that a file of `src/` belongs to: `engine` for `src/engine/get.rs`.
    pub(crate) fn module(&self) -> Option<&str> {
        let within = self.path.strip_prefix("src/")?;
        let first = within.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// `path:line` of an offset.
    pub(crate) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path, self.line_number(offset))
    }

    /// The line of an offset, from 1.
    pub(crate) fn line_number(&self, offset: usize) -> usize {
        self.raw.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// Every Rust file below some folders of the repository. Files that only tests see have no shipping code.
pub(crate) fn read(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    let mut sources: Vec<Source> = paths.iter().map(|path| load(root, path)).collect();
    let hidden: Vec<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs");
        if hidden.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/"))) {
            source.shipping = spaces(&source.code);
        }
    }
    sources
}

fn load(root: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let within = path.strip_prefix(root).unwrap_or(path);
    Source::new(&within.to_string_lossy().replace('\\', "/"), &text)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            paths.push(path);
        }
    }
}

/// The paths, without `.rs`, of the modules that a file declares for tests alone.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    test_items(&source.code)
        .filter_map(|(start, end)| {
            let item = source.code[start..end].split_once(']')?.1.trim();
            let name = item.strip_prefix("mod ")?.strip_suffix(';')?;
            Some(format!("{folder}/{name}"))
        })
        .collect()
}

fn without_tests(code: &str) -> String {
    let mut shipping = code.to_owned();
    for (start, end) in test_items(code) {
        let blank = spaces(&code[start..end]);
        shipping.replace_range(start..end, &blank);
    }
    shipping
}

/// Start and end of each item under `#[cfg(test)]` or `#[cfg(all(test, …))]`, the attribute included.
fn test_items(code: &str) -> impl Iterator<Item = (usize, usize)> {
    ["#[cfg(test", "#[cfg(all(test"].into_iter().flat_map(|mark| {
        code.match_indices(mark).map(|(start, _)| (start, end_of_item(code, start))).collect::<Vec<_>>()
    })
}

/// Where an item ends: at its `;`, or at the brace that closes its body.
pub(crate) fn end_of_item(code: &str, start: usize) -> usize {
    let (mut braces, mut others) = (0_i32, 0_i32);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && others == 0 {
                    return at + 1;
                }
            }
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn spaces(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The text without comments, and without what stands in quotes besides.
fn blank(raw: &str) -> (String, String) {
    let bytes = raw.as_bytes();
    let (mut literal, mut code) = (bytes.to_vec(), bytes.to_vec());
    let mut at = 0;
    while at < bytes.len() {
        let (end, part) = next_part(bytes, at);
        let inner = match part {
            Part::Comment => at..end,
            Part::Quoted { open, close } => at + open..end.saturating_sub(close).max(at + open),
            Part::Code => at..at,
        };
        let wipe = |text: &mut Vec<u8>| {
            text[inner.clone()].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        };
        wipe(&mut code);
        if matches!(part, Part::Comment) {
            wipe(&mut literal);
        }
        at = end;
    }
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("whole characters were replaced");
    (text(literal), text(code))
}

enum Part {
    Comment,
    /// How many bytes the quotes take in front and behind.
    Quoted {
        open: usize,
        close: usize,
    },
    Code,
}

/// Where the part that begins at `at` ends, and what it is.
fn next_part(bytes: &[u8], at: usize) -> (usize, Part) {
    let rest = &bytes[at..];
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |len| at + len);
        return (end, Part::Comment);
    }
    if rest.starts_with(b"/*") {
        return (end_of_block_comment(bytes, at), Part::Comment);
    }
    if let Some(hashes) = raw_string(rest).filter(|_| !in_word) {
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        let open = rest.iter().position(|byte| *byte == b'"').unwrap_or(0) + 1;
        let len = rest[open..].windows(close.len()).position(|window| window == close);
        let end = len.map_or(bytes.len(), |len| at + open + len + close.len());
        return (end, Part::Quoted { open, close: close.len() });
    }
    match rest[0] {
        b'"' => (end_of_quoted(bytes, at + 1, b'"'), Part::Quoted { open: 1, close: 1 }),
        b'\'' if is_character(rest) => (end_of_quoted(bytes, at + 1, b'\''), Part::Quoted { open: 1, close: 1 }),
        _ => (at + 1, Part::Code),
    }
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// The number of `#` of a raw string that begins here.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let rest = rest.strip_prefix(b"b").unwrap_or(rest).strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
    (rest.get(hashes) == Some(&b'"')).then_some(hashes)
}

/// A quote that opens a character, and not a lifetime.
fn is_character(rest: &[u8]) -> bool {
    match rest.get(1) {
        Some(b'\\') => true,
        Some(first) if first.is_ascii() => rest.get(2) == Some(&b'\''),
        Some(_) => true,
        None => false,
    }
}

fn end_of_quoted(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}
