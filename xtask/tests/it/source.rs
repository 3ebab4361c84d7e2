//! The sources of this repository as words with their lines: comments and the insides of texts are
//! not words, so that a rule about code never trips over prose.

use std::path::Path;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A Rust file.
pub(crate) struct Source {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    words: Vec<Word>,
}

/// An identifier, a punctuation mark or a bracket. A literal is the word `""`.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// Takes a file apart; fails if it is not Rust.
    pub(crate) fn new(path: &str, text: &str) -> Result<Self, String> {
        let tokens = TokenStream::from_str(text).map_err(|error| format!("{path}: {error}"))?;
        let mut words = vec![];
        flatten(tokens, &mut words);
        Ok(Self { path: path.to_owned(), text: text.to_owned(), words })
    }

    /// Every file of the repository.
    pub(crate) fn all() -> Vec<Self> {
        let read = |(path, text): (String, String)| Self::new(&path, &text);
        let found = files(&["rs"]).into_iter().map(read).collect::<Result<_, _>>();
        found.expect("every file of the repository is Rust")
    }

    /// Words that are not in an item under `#[cfg(test)]`.
    pub(crate) fn product(&self) -> Vec<Word> {
        let mut kept = vec![];
        let mut at = 0;
        while at < self.words.len() {
            match self.test_item(at) {
                Some(end) => at = end,
                None => {
                    kept.push(self.words[at].clone());
                    at += 1;
                }
            }
        }
        kept
    }

    /// Lines of the file without the items under `#[cfg(test)]`.
    pub(crate) fn product_lines(&self) -> usize {
        let mut lines = self.text.lines().count();
        let mut at = 0;
        while at < self.words.len() {
            match self.test_item(at) {
                Some(end) => {
                    lines -= self.words[end - 1].line - self.words[at].line + 1;
                    at = end;
                }
                None => at += 1,
            }
        }
        lines
    }

    /// Every function with a body, those inside macros too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let words = &self.words;
        let is_fn = |at: &usize| words[*at].text == "fn" && named(words.get(at + 1));
        let function = |at: usize| {
            let mut open = at;
            while !matches!(words.get(open)?.text.as_str(), "{" | ";") {
                open = if matches!(words[open].text.as_str(), "(" | "[") {
                    close(words, open) + 1
                } else {
                    open + 1
                };
            }
            let (name, line) = (words[at + 1].text.clone(), words[at].line);
            let end = close(words, open);
            (words[open].text == "{").then(|| Function {
                name,
                line,
                lines: words[end].line - line + 1,
            })
        };
        (0..words.len()).filter(is_fn).filter_map(function).collect()
    }

    /// Names of the tests, those inside macros too.
    pub(crate) fn tests(&self) -> Vec<String> {
        let mut found = vec![];
        let mut attribute = false;
        for (at, word) in self.words.iter().enumerate() {
            match word.text.as_str() {
                "test" if self.follows(at + 1, &["]"]) || self.follows(at + 1, &["("]) => {
                    attribute = true
                }
                "fn" if attribute => {
                    found.extend(self.words.get(at + 1).map(|name| name.text.clone()));
                    attribute = false;
                }
                "{" | ";" => attribute = false,
                _ => {}
            }
        }
        found
    }

    /// Lines on which these words stand one after the other.
    pub(crate) fn lines_with(&self, wanted: &[&str]) -> Vec<usize> {
        let hits = (0..self.words.len()).filter(|at| self.follows(*at, wanted));
        hits.map(|at| self.words[at].line).collect()
    }

    /// Whether the word stands anywhere in the file.
    pub(crate) fn names(&self, word: &str) -> bool {
        self.words.iter().any(|found| found.text == word)
    }

    /// Whether the whole file is a test.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    pub(crate) fn is_generated(&self) -> bool {
        self.path.ends_with("/generated.rs")
    }

    fn follows(&self, at: usize, wanted: &[&str]) -> bool {
        let found = self.words.iter().skip(at).map(|word| word.text.as_str());
        wanted.iter().copied().eq(found.take(wanted.len()))
    }

    /// Where the item under `#[cfg(test)]` that begins here ends.
    fn test_item(&self, at: usize) -> Option<usize> {
        if !self.follows(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            return None;
        }
        let mut end = at;
        while !matches!(self.words.get(end)?.text.as_str(), "{" | ";") {
            end += 1;
        }
        Some(close(&self.words, end) + 1)
    }
}

/// Text files of the repository with one of these endings, by path.
pub(crate) fn files(endings: &[&str]) -> Vec<(String, String)> {
    let root = xtask::root();
    let mut found = vec![];
    collect(&root, &root, endings, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &Path, endings: &[&str], found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository can be read") {
        let path = entry.expect("a folder of the repository can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                collect(root, &path, endings, found);
            }
            continue;
        }
        let ending = name.rsplit('.').next().unwrap_or_default();
        if endings.contains(&ending) {
            let text = std::fs::read_to_string(&path).expect("a text file of the repository");
            let path = path.strip_prefix(root).expect("found under the root");
            found.push((path.to_string_lossy().replace('\\', "/"), text));
        }
    }
}

fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let word = |text: &str, line| Word { text: text.to_owned(), line };
                words.push(word(open, group.span_open().start().line));
                flatten(group.stream(), words);
                words.push(word(close, group.span_close().end().line));
            }
            TokenTree::Literal(literal) => {
                words.push(Word { text: "\"\"".to_owned(), line: literal.span().start().line });
            }
            TokenTree::Ident(ident) => {
                words.push(Word { text: ident.to_string(), line: ident.span().start().line });
            }
            TokenTree::Punct(punct) => {
                words.push(Word { text: punct.to_string(), line: punct.span().start().line });
            }
        }
    }
}

fn named(word: Option<&Word>) -> bool {
    word.is_some_and(|word| word.text.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

/// Where the bracket that opens here closes; the place itself for any other word.
fn close(words: &[Word], open: usize) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    words.len() - 1
}
