//! Makes the derived `Debug` of any vocabulary type short enough for a trace.
//!
//! It reads the text that `Debug` writes, so a new variant or field needs nothing here. Ids print
//! themselves; hosts get the names that people use, and a field's label stays only where the
//! value alone says nothing (`epoch=4`).

use crate::cast;
use courier::id::HostId;
use std::fmt::Debug;

pub fn render(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let mut reader = Reader { rest: &text };
    let tree = reader.value();
    assert!(reader.rest.is_empty(), "{text} was not read to its end: {}", reader.rest);
    tree.short()
}

/// A value as `Debug` shows it.
enum Tree<'a> {
    /// A number, a string, a duration, an id, or a name without fields.
    Word(&'a str),
    /// A name (none for a tuple) and its fields; those of a tuple have no labels.
    Node {
        name: &'a str,
        fields: Vec<(&'a str, Tree<'a>)>,
    },
    List(Vec<Tree<'a>>),
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Tree<'a> {
        if self.skip("[") {
            return Tree::List(self.fields("]").into_iter().map(|(_, tree)| tree).collect());
        }
        let name = self.word();
        if self.skip(" { ") {
            Tree::Node { name, fields: self.fields(" }") }
        } else if self.skip("(") {
            Tree::Node { name, fields: self.fields(")") }
        } else {
            Tree::Word(name)
        }
    }

    fn fields(&mut self, end: &str) -> Vec<(&'a str, Tree<'a>)> {
        let mut fields = Vec::new();
        while !self.skip(end) {
            let before = self.rest;
            let word = self.word();
            let label = if self.skip(": ") { word } else { "" };
            if label.is_empty() {
                self.rest = before;
            }
            fields.push((label, self.value()));
            assert!(self.rest.len() < before.len(), "cannot read {before}");
            self.skip(", ");
        }
        fields
    }

    /// Up to the next punctuation. An id may have spaces in it (`u2 e4 at h11 i1`), a string may
    /// have anything but quotes.
    fn word(&mut self) -> &'a str {
        let ends = |(at, char)| match char {
            ',' | ':' | '(' | ')' | '[' | ']' => true,
            ' ' => self.rest[at..].starts_with(" {") || self.rest[at..].starts_with(" }"),
            _ => false,
        };
        let end = match self.rest.strip_prefix('"') {
            Some(text) => text.find('"').map(|at| at + 2),
            None => self.rest.char_indices().find(|place| ends(*place)).map(|(at, _)| at),
        };
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn skip(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

impl Tree<'_> {
    fn short(&self) -> String {
        match self {
            Tree::Word("None") => "none".into(),
            Tree::Word(word) => word.split(' ').map(called).collect::<Vec<_>>().join(" "),
            Tree::List(items) => format!("[{}]", join(items, ", ")),
            Tree::Node { name, fields } => {
                let values: Vec<String> = fields.iter().map(|(_, tree)| tree.short()).collect();
                match (*name, &values[..]) {
                    ("", values) => values.join(":"),
                    ("Some", [value]) => value.clone(),
                    ("Message", [id, conversation, body, answers, _clock]) => {
                        match answers.as_str() {
                            "none" => format!("{id} {body} in {conversation}"),
                            answered => {
                                format!("{id} {body} in {conversation}, answers {answered}")
                            }
                        }
                    }
                    ("Entry", [message, stamp]) => format!("{stamp} {message}"),
                    // Its head is worth a word only if the batch does not reach it.
                    ("Batch", [entries, holes, head, renumbered]) => {
                        let reached = entries.contains(&format!("{head} "));
                        let told = [("holes", holes), ("renumbered", renumbered)];
                        let told = told.iter().filter(|(_, v)| *v != "[]" && *v != "none");
                        let told: String = told.map(|(l, v)| format!(" {l}={v}")).collect();
                        let head = if reached { String::new() } else { format!(" head={head}") };
                        format!("{entries}{told}{head}")
                    }
                    (name, _) => fields.iter().fold(name.to_owned(), |line, (label, tree)| {
                        match label.is_empty() || tree.tells_its_kind() {
                            true => format!("{line} {}", tree.short()),
                            false => format!("{line} {label}={}", tree.short()),
                        }
                    }),
                }
            }
        }
    }

    /// Whether the value can be read without its label.
    fn tells_its_kind(&self) -> bool {
        match self {
            Tree::Word("None" | "true" | "false") => false,
            Tree::Word(word) => {
                word.starts_with(|first: char| first.is_alphabetic() || first == '#')
            }
            Tree::List(items) => !items.is_empty(),
            Tree::Node { name: "Some", fields } => fields[0].1.tells_its_kind(),
            Tree::Node { .. } => true,
        }
    }
}

fn join(items: &[Tree], with: &str) -> String {
    items.iter().map(Tree::short).collect::<Vec<_>>().join(with)
}

/// What people call a host (`h11`) or a connection (`c102.4`); anything else stays as it is.
fn called(word: &str) -> String {
    let host = |digits: &str| digits.parse().ok().map(|number| cast::name(HostId(number)));
    let named = match (word.strip_prefix('h'), word.strip_prefix('c')) {
        (Some(digits), _) => host(digits),
        (_, Some(rest)) => rest
            .split_once('.')
            .and_then(|(opener, number)| Some(format!("{}:{number}", host(opener)?))),
        _ => None,
    };
    named.unwrap_or_else(|| word.to_owned())
}

#[test]
fn a_value_is_shown_as_people_write_it() {
    use courier::wire::Wire;
    let session = cast::session(2, 4, 1);
    let (conversation, term) = (cast::group(), cast::term(5));
    let batch = cast::batch_of(vec![cast::entry(8, cast::message(1, 3, conversation))]);
    assert_eq!(
        render(&Wire::Offer { session, conversation, term, batch }),
        r#"Offer u2 e4 at server-1 i1 g1 t1.5 [#8 m1.3 "hi" in g1]"#
    );
    assert_eq!(render(&Wire::Placed { epoch: 4, gateway: None }), "Placed epoch=4 gateway=none");
    assert_eq!(
        render(&Wire::CatchUp {
            session,
            epoch: 1,
            next: vec![(cast::pair(1, 2), cast::stamp(9))],
            all: true
        }),
        "CatchUp u2 e4 at server-1 i1 epoch=1 [u1~u2:#9] all=true"
    );
    assert_eq!(render(&cast::conn(2, 4)), "u2:4");
}
