//! YAML 1.2 into nodes that know their lines. Bounded in nesting and in nodes, so that no file can fill the memory or the stack.

pub mod node;

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::error::{Error, Result};
use node::{Data, Key, Mark, Node, cut, place};

/// Lists and maps within each other.
const DEPTH: usize = 40;
/// Nodes, those that aliases repeat included.
const MOST_NODES: usize = 100_000;
/// So many bytes of a text count as a node more, since an alias of three bytes may repeat a text of a megabyte.
const TEXT_OF_A_NODE: usize = 64;

/// The tree of a file called `name`.
///
/// # Errors
/// It is not YAML, holds more than one document, a key twice, an unknown tag, or more than the bounds allow. Each
/// begins with `name:line:column`.
pub fn read(text: &str, name: &str) -> Result<Node> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut tree = Tree { name, open: Vec::new(), anchors: HashMap::new(), done: None, nodes: 0 };
    let mut documents = 0;
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| scan_error(&error, name))?;
        let mark = mark(&span.start);
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(tree.wrong(mark, "expected one document, found another one"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let data = scalar(&text, style, tag.as_ref()).map_err(|what| tree.wrong(mark, &what))?;
                tree.add(Node { mark: Some(mark), data }, anchor, 1 + text.len() / TEXT_OF_A_NODE)?;
            }
            Event::SequenceStart(anchor, tag) => tree.begin(Data::List(Vec::new()), anchor, tag.as_ref(), mark)?,
            Event::MappingStart(anchor, tag) => tree.begin(Data::Map(Vec::new()), anchor, tag.as_ref(), mark)?,
            Event::SequenceEnd | Event::MappingEnd => tree.end()?,
            Event::Alias(anchor) => tree.alias(anchor, mark)?,
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
        }
    }
    Ok(tree.done.unwrap_or(Node { mark: None, data: Data::Null }))
}

/// A list or map that is being filled.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<Key>,
    /// The lines of the keys so far.
    lines: HashMap<String, usize>,
    anchor: usize,
    /// Nodes before it.
    before: usize,
}

struct Tree<'a> {
    name: &'a str,
    open: Vec<Open>,
    /// What an alias repeats, with its number of nodes.
    anchors: HashMap<usize, (Node, usize)>,
    done: Option<Node>,
    nodes: usize,
}

impl Tree<'_> {
    fn wrong(&self, mark: Mark, what: &str) -> Error {
        Error::value(format!("{}: {what}", place(self.name, Some(mark))))
    }

    fn begin(&mut self, data: Data, anchor: usize, tag: Option<&Cow<'_, Tag>>, mark: Mark) -> Result<()> {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            return Err(self.wrong(mark, &format!("unknown tag {}", cut(&tag.to_string()))));
        }
        if self.open.len() >= DEPTH {
            return Err(self.wrong(mark, &format!("nested deeper than {DEPTH} lists and mappings")));
        }
        let node = Node { mark: Some(mark), data };
        self.open.push(Open { node, key: None, lines: HashMap::new(), anchor, before: self.nodes });
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let size = self.nodes - open.before + 1;
        self.nodes = open.before;
        self.add(open.node, open.anchor, size)
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Result<()> {
        // An alias within what it names is not in the table yet.
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(self.wrong(mark, "an alias for what it is a part of"));
        };
        if self.nodes + size > MOST_NODES {
            return Err(self.wrong(mark, &format!("more than {MOST_NODES} values, repeated ones included")));
        }
        let (mut node, size) = (node.clone(), *size);
        if height(&node) + self.open.len() > DEPTH {
            return Err(self.wrong(mark, &format!("nested deeper than {DEPTH} lists and mappings")));
        }
        node.mark = Some(mark);
        self.add(node, 0, size)
    }

    /// Puts a node of `size` nodes where the next one belongs.
    fn add(&mut self, node: Node, anchor: usize, size: usize) -> Result<()> {
        let mark = node.mark.unwrap_or(Mark { line: 1, column: 1 });
        self.nodes += size;
        if self.nodes > MOST_NODES {
            return Err(self.wrong(mark, &format!("more than {MOST_NODES} values")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let name = self.name;
        let Some(top) = self.open.last_mut() else {
            self.done = Some(node);
            return Ok(());
        };
        match (&mut top.node.data, top.key.take()) {
            (Data::List(items), _) => items.push(node),
            (Data::Map(entries), Some(key)) => entries.push((key, node)),
            (Data::Map(_), None) => {
                let text = match node.data {
                    Data::Text(text) | Data::Number(text) => text,
                    Data::Bool(flag) => flag.to_string(),
                    _ => return Err(self.wrong(mark, "expected a key that is a text")),
                };
                if let Some(line) = top.lines.insert(text.clone(), mark.line) {
                    let what = format!("'{}' is already there, in line {line}", cut(&text));
                    return Err(Error::value(format!("{}: {what}", place(name, Some(mark)))));
                }
                top.key = Some(Key { mark: Some(mark), text });
            }
            _ => {}
        }
        Ok(())
    }
}

/// Lists and maps within each other.
fn height(node: &Node) -> usize {
    match &node.data {
        Data::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Data::Map(entries) => 1 + entries.iter().map(|(_, value)| height(value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// A scalar by YAML 1.2's core schema, in which `no` is a text.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Cow<'_, Tag>>) -> Result<Data, String> {
    if let Some(tag) = tag {
        if tag.is_yaml_core_schema() && tag.suffix == "str" {
            return Ok(Data::Text(text.to_owned()));
        }
        if !tag.is_yaml_core_schema() {
            return Err(format!("unknown tag {}", cut(&tag.to_string())));
        }
    } else if style != ScalarStyle::Plain {
        return Ok(Data::Text(text.to_owned()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        number if is_number(number) => Data::Number(number.to_owned()),
        text => Data::Text(text.to_owned()),
    })
}

/// Whether it is a decimal number; those in other bases are none of ours.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.parse::<f64>().is_ok()
}

fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

fn scan_error(error: &ScanError, name: &str) -> Error {
    Error::value(format!("{}: not YAML: {}", place(name, Some(mark(error.marker()))), error.info()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> String {
        read(text, "x.yaml").map(|node| node.to_json()).unwrap_err().message().to_owned()
    }

    #[test]
    fn scalars_are_those_of_the_core_schema() {
        let text = "a: [1, -2.5, 1e3, 007, 1.10, no, yes, 'no', true, ~, '', !!str 5, 1.2.3, 0x1f, .]";
        let found = read(text, "x.yaml").unwrap().to_json();
        let expected =
            json!({"a": [1, -2.5, 1e3, "007", 1.10, "no", "yes", "no", true, null, "", "5", "1.2.3", "0x1f", "."]});
        assert_eq!(found, expected);
    }

    #[test]
    fn nodes_know_their_lines() {
        let node = read("\u{feff}# a comment\nrules:\n  - when: {task: none}\n", "x.yaml").unwrap();
        let Data::Map(entries) = &node.data else { unreachable!() };
        assert_eq!(entries[0].0.mark, Some(Mark { line: 2, column: 1 }));
        let Data::List(items) = &entries[0].1.data else { unreachable!() };
        assert_eq!(items[0].mark.unwrap().line, 3);
    }

    #[test]
    fn bad_yaml_is_refused_with_its_line() {
        assert!(refused("a: [1\nb: 2").starts_with("x.yaml:2:"), "{}", refused("a: [1\nb: 2"));
        assert_eq!(refused("a: 1\na: 2"), "x.yaml:2:1: 'a' is already there, in line 1");
        assert_eq!(refused("a: 1\n---\nb: 2"), "x.yaml:2:1: expected one document, found another one");
        assert_eq!(refused("a: !me 1"), "x.yaml:1:4: unknown tag !me");
        assert_eq!(refused("? [a, b]\n: 1"), "x.yaml:1:3: expected a key that is a text");
        assert!(refused(&"[".repeat(60)).ends_with("nested deeper than 40 lists and mappings"));
        assert!(refused(&"- ".repeat(100_000)).ends_with("nested deeper than 40 lists and mappings"));
        // The scanner, which reads ahead, has a bound of its own.
        assert!(refused(&"[".repeat(100_000)).ends_with("recursion limit exceeded"));
        let deep = (0..60).map(|n| " ".repeat(n) + "a:\n").collect::<String>();
        assert!(refused(&deep).ends_with("nested deeper than 40 lists and mappings"));
    }

    #[test]
    fn aliases_repeat_within_bounds() {
        let node = read("a: &x [1, 2]\nb: *x", "x.yaml").unwrap().to_json();
        assert_eq!(node, json!({"a": [1, 2], "b": [1, 2]}));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let last = n - 1;
            let line = vec![format!("*a{last}"); 10].join(", ");
            bomb.extend([format!("a{n}: &a{n} [{line}]\n")]);
        }
        assert!(refused(&bomb).ends_with("more than 100000 values, repeated ones included"));
        assert!(refused("a: &x [*x]").contains("x.yaml:1:8"), "{}", refused("a: &x [*x]"));
    }

    #[test]
    fn long_texts_count_for_what_they_take() {
        let aliases = vec!["*x"; 50_000].join(",");
        let long = "x".repeat(500_000);
        assert!(refused(&format!("a: &x {long}\nb: [{aliases}]")).ends_with("values, repeated ones included"));
        assert!(read(&format!("a: &x short\nb: [{aliases}]"), "x.yaml").is_ok());
        assert!(read(&format!("a: &x {long}\nb: [*x, *x]"), "x.yaml").is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn random_text_never_panics(text in "[-a-c:#&*!|>'\"%@`\\[\\]{},? \n\t0-9]{0,120}") {
            let _ = read(&text, "x.yaml");
        }

        #[test]
        fn any_text_never_panics(text in any::<String>()) {
            let _ = read(&text, "x.yaml");
        }
    }
}
