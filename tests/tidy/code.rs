//! Rust, read as far as these tests need it: what is code and what is not, and which paths it
//! names.

/// The text with comments and the contents of strings and characters blanked out. Every line
/// keeps its number and every character its column.
pub fn only_code(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let end = end_of_other(&text, at);
        if end == at {
            code.push(text[at]);
            at += 1;
        } else {
            let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            code.extend(text[at..end].iter().map(blank));
            at = end;
        }
    }
    code
}

/// Where the comment, string or character that begins at `at` ends; `at` itself if none does.
fn end_of_other(text: &[char], at: usize) -> usize {
    let starts = |with: &str| text[at..].iter().copied().zip(with.chars()).all(|(a, b)| a == b);
    let rest = text.len() - at;
    if starts("//") && rest > 1 {
        return find(text, at, |i| text[i] == '\n');
    }
    if starts("/*") && rest > 1 {
        let mut depth = 0;
        let mut i = at;
        while i + 1 < text.len() {
            match (text[i], text[i + 1]) {
                ('/', '*') => (depth, i) = (depth + 1, i + 2),
                ('*', '/') => (depth, i) = (depth - 1, i + 2),
                _ => i += 1,
            }
            if depth == 0 {
                return i;
            }
        }
        return text.len();
    }
    let follows_a_word = at > 0 && is_word(text[at - 1]);
    if text[at] == 'r' && !follows_a_word || text[at] == 'r' && at > 0 && text[at - 1] == 'b' {
        let hashes = text[at + 1..].iter().take_while(|c| **c == '#').count();
        let open = at + 1 + hashes;
        if text.get(open) == Some(&'"') {
            let closes = |i: usize| {
                text[i] == '"'
                    && text[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            };
            return (find(text, open + 1, closes) + 1 + hashes).min(text.len());
        }
    }
    if text[at] == '"' {
        return (end_of_escaped(text, at + 1, '"') + 1).min(text.len());
    }
    if text[at] == '\'' {
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        if text.get(at + 1) == Some(&'\\') {
            return (end_of_escaped(text, at + 1, '\'') + 1).min(text.len());
        }
        if text.get(at + 2) == Some(&'\'') {
            return at + 3;
        }
    }
    at
}

fn end_of_escaped(text: &[char], mut at: usize, closing: char) -> usize {
    while at < text.len() && text[at] != closing {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at
}

fn find(text: &[char], from: usize, is: impl Fn(usize) -> bool) -> usize {
    (from..text.len()).find(|i| is(*i)).unwrap_or(text.len())
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in this line by itself, not as part of a longer word.
pub fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The names that stand right after a prefix like `crate::`, with their lines: from
/// `crate::{wire::{Claim, Wire}, node}` come `wire` and `node`.
pub fn named_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].chars().next_back().is_some_and(|c| is_word(c) || c == ':') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(members(group, line)),
            None => found.push((line, rest.chars().take_while(|c| is_word(*c)).collect())),
        }
    }
    found
}

/// The first word of every member of a group that has just been opened.
fn members(group: &str, mut line: usize) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut depth, mut expecting) = (0, true);
    let mut inside = false;
    for c in group.chars() {
        match c {
            '\n' => line += 1,
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            _ => {}
        }
        if is_word(c) && inside {
            found.last_mut().expect("a word has begun").1.push(c);
        } else if is_word(c) && expecting && depth == 0 {
            found.push((line, c.to_string()));
            (inside, expecting) = (true, false);
        } else {
            inside = false;
        }
    }
    found
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "a /* b /* c */ */ d // e\n\"f \\\" g\" r#\"h \" i\"# 'j' '\\'' 'k: &'l str";
    let code = only_code(text);
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "d", "'k:", "&'l", "str"]);
    assert_eq!(code.matches('\n').count(), 1);
    assert_eq!(code.chars().count(), text.chars().count());
}

#[test]
fn paths_are_found_alone_and_in_groups() {
    let code =
        "use crate::wire::Wire;\nuse crate::{node::{Event, Role}, id,\n    limits};\nmycrate::x";
    let found = named_after(code, "crate::");
    let expected = [(1, "wire"), (2, "node"), (2, "id"), (3, "limits")];
    assert_eq!(found, expected.map(|(line, name)| (line, name.to_owned())));
}
