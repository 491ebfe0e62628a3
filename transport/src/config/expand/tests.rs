use std::path::Path;

use super::*;

struct Fixed;

impl Surroundings for Fixed {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(match name {
            "NUMBER" => Some("123".into()),
            "OCTAL" => Some("0123".into()),
            "QUOTED" => Some("\"0123\"".into()),
            "EMPTY" => Some(String::new()),
            "LOOP" => Some("x${LOOP}".into()),
            "INNER" => Some("${NUMBER}".into()),
            "BOMB" => Some("${BOMB}${BOMB}${BOMB}".into()),
            "LINE" => Some("abc\n".into()),
            "BROKEN" => Some("[\"a\",".into()),
            "DOLLARS" => Some("$$x".into()),
            _ => None,
        })
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("list") => Ok("[a, 1]".into()),
            _ => Err("no such file".into()),
        }
    }
}

fn expanded(text: &str) -> Result<Node, String> {
    let mut node = Node::new(
        Value::Text(text.into()),
        crate::config::Position {
            text: 0,
            line: 1,
            column: 1,
        },
    );
    expand(&mut node, &Fixed).map_err(|error| error.to_string())?;
    Ok(node)
}

#[test]
fn references_keep_type_and_text() {
    let text = |text: &str| Value::Text(text.into());
    for (from, value, raw) in [
        ("${NUMBER}", Value::Int(123), Some("123")),
        ("${env:OCTAL}", Value::Int(83), Some("0123")),
        ("${env:QUOTED}", text("\"0123\""), Some("\"0123\"")),
        ("${env:EMPTY:-x}", Value::Null, Some("")),
        (
            "${env:UNSET:-127.0.0.2}",
            text("127.0.0.2"),
            Some("127.0.0.2"),
        ),
        ("${env:UNSET:-}", Value::Null, Some("")),
        ("${env:UNSET}", Value::Null, Some("")),
        ("${env:LINE}", text("abc\n"), Some("abc\n")),
        ("${env:BROKEN}", text("[\"a\","), Some("[\"a\",")),
        ("${INNER}", Value::Int(123), Some("123")),
        ("${env:UNSET:-${NUMBER}}", Value::Int(123), Some("123")),
        ("a${NUMBER}b${OCTAL}", text("a123b0123"), None),
        ("a${UNSET}b", text("ab"), None),
        ("$NUMBER", text("$NUMBER"), None),
        ("$$NUMBER", text("$NUMBER"), None),
        ("$${NUMBER}", text("${NUMBER}"), None),
        ("$$${NUMBER}", text("$123"), None),
        ("${DOLLARS}", text("$x"), Some("$x")),
        ("} ${NUMBER}", text("} 123"), None),
        ("${", text("${"), None),
    ] {
        let node = expanded(from).unwrap();
        assert_eq!((node.value, node.raw.as_deref()), (value, raw), "{from}");
    }
    assert!(
        matches!(expanded("${file:list}").unwrap().value, Value::List(nodes) if nodes.len() == 2)
    );
}

#[test]
fn references_that_lead_nowhere_are_named() {
    for (from, wanted) in [
        (
            "${http://x}",
            "1:1: scheme \"http\" is not supported for uri",
        ),
        ("${1x}", "invalid name"),
        (
            "${file:none}",
            "unable to read the file `none`: no such file",
        ),
        ("${LOOP}", "too many recursive expansions"),
        ("${BOMB}", "bring more than 1048576 bytes"),
        ("${A$B}", "unsupported characters ('$')"),
    ] {
        let error = expanded(from).unwrap_err();
        assert!(error.contains(wanted), "{from}: {error}");
    }
}
