//! Reads the sources of a crate as rooms with walls, and says where a wall is broken.
//!
//! Shared by the crates that keep such walls.

use std::fs;
use std::path::Path;

/// Lines a file may have, its tests not counted.
pub(crate) const MOST_LINES: usize = 700;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "types",
];

pub(crate) struct Door {
    pub(crate) tokens: &'static [&'static str],
    pub(crate) rooms: &'static [&'static str],
    pub(crate) why: &'static str,
}

pub(crate) struct Rules {
    pub(crate) unsafe_rooms: &'static [&'static str],
    pub(crate) doors: &'static [Door],
}

/// The source files of one crate: path below `src` with `/` between the parts, and text.
pub(crate) struct House {
    pub(crate) files: Vec<(String, String)>,
}

impl House {
    pub(crate) fn read(src: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![src.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let parts = path.strip_prefix(src).unwrap().iter();
                    let name = parts
                        .map(|p| p.to_str().unwrap())
                        .collect::<Vec<_>>()
                        .join("/");
                    files.push((name, fs::read_to_string(&path).unwrap()));
                }
            }
        }
        files.sort();
        Self { files }
    }

    /// The modules of `lib.rs`, in order.
    pub(crate) fn rooms(&self) -> Vec<String> {
        let root = self
            .files
            .iter()
            .find(|(name, _)| name == "lib.rs")
            .map_or("", |(_, text)| text.as_str());
        let blank = blank(root);
        let tokens = tokens(&blank);
        let mut depth = 0_usize;
        let mut rooms = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            match token.text {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "mod" if depth == 0 => rooms.extend(tokens.get(at + 1).map(|t| t.text.to_string())),
                _ => {}
            }
        }
        rooms
    }

    /// Everything that is wrong, a line each, with the file and line where it stands.
    pub(crate) fn faults(&self, rules: &Rules) -> Vec<String> {
        let rooms = self.rooms();
        let mut faults = Vec::new();
        let mut test_stems = Vec::new();
        for (name, text) in &self.files {
            test_stems.extend(Code::new(&tokens(&blank(text))).test_stems(name));
        }
        let only_tests_see = |name: &str| {
            test_stems
                .iter()
                .filter_map(|stem: &String| name.strip_prefix(stem.as_str()))
                .any(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        for (name, text) in &self.files {
            let blank = blank(text);
            let all = tokens(&blank);
            let code = Code::new(&all);
            let room = room_of(name);
            let mut fault =
                |line: usize, what: String| faults.push(format!("{name}:{line}: {what}"));

            for part in name.trim_end_matches(".rs").split('/') {
                if EMPTY_NAMES.contains(&part) {
                    fault(1, format!("`{part}` says nothing about what is inside"));
                }
            }
            for pair in all.windows(2) {
                if pair[0].text == "mod" && EMPTY_NAMES.contains(&pair[1].text) {
                    fault(
                        pair[0].line,
                        format!("`mod {}` says nothing about what is inside", pair[1].text),
                    );
                }
            }
            for token in &all {
                if token.text == "unsafe" && !rules.unsafe_rooms.contains(&room) {
                    fault(
                        token.line,
                        format!("`unsafe` outside of {:?}", rules.unsafe_rooms),
                    );
                }
            }
            if only_tests_see(name) || code.is_test {
                continue;
            }
            let lines = text.lines().count() - code.test_lines;
            if lines > MOST_LINES {
                fault(
                    lines,
                    format!(
                        "{lines} lines without tests: more than {MOST_LINES} hide a second reason to change"
                    ),
                );
            }
            for door in rules.doors {
                for line in code.find(door.tokens) {
                    if !door.rooms.contains(&room) {
                        fault(
                            line,
                            format!(
                                "`{}` outside of {:?}: {}",
                                door.tokens.concat(),
                                door.rooms,
                                door.why
                            ),
                        );
                    }
                }
            }
            if name == "lib.rs" {
                continue;
            }
            let Some(own) = rooms.iter().position(|r| r == room) else {
                fault(1, format!("`{room}` is not a module of lib.rs"));
                continue;
            };
            for (line, target) in code.roots(depth_of(name)) {
                match rooms.iter().position(|r| *r == target) {
                    None => fault(
                        line,
                        format!("`crate::{target}` is no module of lib.rs: name where it lives"),
                    ),
                    Some(other) if other > own => {
                        fault(
                            line,
                            format!("back edge: `{room}` names `{target}`, which stands below it"),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
        faults
    }
}

/// The top module a file belongs to.
fn room_of(name: &str) -> &str {
    let first = name.split('/').next().unwrap_or(name);
    first.trim_end_matches(".rs")
}

/// How many `super` lead from the module of a file to the crate's root.
fn depth_of(name: &str) -> usize {
    let parts = name.trim_end_matches(".rs").split('/').count();
    if name.ends_with("/mod.rs") {
        parts - 1
    } else {
        parts
    }
}

/// One word or sign of code.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// The tokens of a file without those only tests see.
struct Code<'a> {
    tokens: Vec<Token<'a>>,
    test_lines: usize,
    /// Modules declared for tests only, whose bodies are other files.
    test_modules: Vec<&'a str>,
    /// The file says `#![cfg(test)]`.
    is_test: bool,
}

impl<'a> Code<'a> {
    fn new(all: &[Token<'a>]) -> Self {
        let mut code = Self {
            tokens: Vec::new(),
            test_lines: 0,
            test_modules: Vec::new(),
            is_test: false,
        };
        let mut at = 0;
        while at < all.len() {
            if let Some(end) = test_attribute(all, at, &["#", "!", "["]) {
                code.is_test = true;
                at = end;
            } else if let Some(body) = test_attribute(all, at, &["#", "["]) {
                let end = item_end(all, body);
                let item = &all[body..end];
                code.test_lines += all[end - 1].line - all[at].line + 1;
                if let [.., word, name, last] = item
                    && word.text == "mod"
                    && last.text == ";"
                {
                    code.test_modules.push(name.text);
                }
                at = end;
            } else {
                code.tokens.push(all[at]);
                at += 1;
            }
        }
        code
    }

    /// Where the modules that only tests see have their files: `stem.rs`, and all below `stem/`.
    fn test_stems(&self, name: &str) -> Vec<String> {
        let folder = match name.rsplit_once('/') {
            Some((folder, "mod.rs")) => format!("{folder}/"),
            _ if name == "lib.rs" => String::new(),
            _ => format!("{}/", name.trim_end_matches(".rs")),
        };
        self.test_modules
            .iter()
            .map(|module| format!("{folder}{module}"))
            .collect()
    }

    /// The lines where a run of tokens stands.
    fn find(&self, run: &[&str]) -> Vec<usize> {
        let same = |w: &&[Token<'_>]| w.iter().map(|t| t.text).eq(run.iter().copied());
        self.tokens
            .windows(run.len())
            .filter(same)
            .map(|w| w[0].line)
            .collect()
    }

    /// Every name that follows the crate's root in a path, with its line: `crate::a`, `crate::{a, b::c}`, and `super::a`
    /// where `super` is the root. A file `depth` modules below the root starts the count there.
    fn roots(&self, depth: usize) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        // Braces open around here; true for those of an inline module, in which `super` reaches one less far.
        let mut braces = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text(at) {
                "{" => braces.push(at >= 2 && self.text(at - 2) == "mod"),
                "}" => drop(braces.pop()),
                "crate" if self.text(at + 1) == "::" => self.names(at + 2, &mut found),
                // `use crate as house` would hide every edge behind it.
                "crate" if self.text(at + 1) == "as" => {
                    found.push((self.tokens[at].line, "as".to_string()))
                }
                "super" => {
                    let mut steps = 1;
                    while self.text(at + 1) == "::" && self.text(at + 2) == "super" {
                        steps += 1;
                        at += 2;
                    }
                    let inline = braces.iter().filter(|is_module| **is_module).count();
                    if steps >= depth + inline && self.text(at + 1) == "::" {
                        self.names(at + 2, &mut found);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    /// The first name of the path at `at`, or of each path of the group there.
    fn names(&self, at: usize, found: &mut Vec<(usize, String)>) {
        if self.text(at) != "{" {
            found.extend(self.tokens.get(at).map(|t| (t.line, t.text.to_string())));
            return;
        }
        let mut depth = 0_usize;
        for (i, token) in self.tokens.iter().enumerate().skip(at) {
            match token.text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
            let starts = depth == 1 && matches!(token.text, "{" | ",");
            if starts && !matches!(self.text(i + 1), "}" | "") {
                self.names(i + 1, found);
            }
        }
    }

    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |t| t.text)
    }
}

/// If `opening` and a `cfg` that only tests satisfy stand at `at`: where the attribute ends.
fn test_attribute(all: &[Token<'_>], at: usize, opening: &[&str]) -> Option<usize> {
    let text = |i: usize| all.get(i).map_or("", |t| t.text);
    let cfg = at + opening.len();
    if !opening.iter().enumerate().all(|(i, o)| text(at + i) == *o) || text(cfg) != "cfg" {
        return None;
    }
    let end = group_end(all, cfg - 1);
    // `cfg(test)` and `cfg(all(test, ..))`; `any` and `not` leave the item to others as well.
    let inner = if text(cfg + 2) == "all" {
        cfg + 4
    } else {
        cfg + 2
    };
    let mut depth = 0_usize;
    for token in all.get(inner..end)? {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "test" if depth == 0 => return Some(end),
            _ => {}
        }
    }
    None
}

/// Where the item at `at`, attributes and all, ends.
fn item_end(all: &[Token<'_>], mut at: usize) -> usize {
    while at + 1 < all.len() && all[at].text == "#" {
        at = group_end(all, at + 1);
    }
    if all.get(at).is_some_and(|t| t.text == "pub") {
        at += 1;
        if all.get(at).is_some_and(|t| t.text == "(") {
            at = group_end(all, at);
        }
    }
    let word = all.get(at).map_or("", |t| t.text);
    let is_use = word == "use";
    // A field or a variant ends at its comma; an item may hold commas.
    let words = [
        "mod", "use", "fn", "struct", "enum", "trait", "impl", "const", "static", "type", "unsafe",
        "extern",
    ];
    let is_item = words.contains(&word);
    while at < all.len() {
        match all[at].text {
            "{" if !is_use => return group_end(all, at),
            "(" | "[" | "{" => at = group_end(all, at),
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "}" => return at,
            _ => at += 1,
        }
    }
    all.len()
}

/// Past the bracket that closes the one at `at`.
fn group_end(all: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in all.iter().enumerate().skip(at) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    all.len()
}

/// The text with comments, strings and characters turned into blanks; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let get = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let next = |from: usize, c: char| {
        (from..chars.len())
            .find(|i| chars[*i] == c)
            .unwrap_or(chars.len())
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match get(at) {
            '/' if get(at + 1) == '/' => next(at, '\n'),
            '/' if get(at + 1) == '*' => comment_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' | 'b' | 'c' if at == 0 || !is_word(get(at - 1)) => prefixed_end(&chars, at),
            '\'' if get(at + 1) == '\\' => (next(at + 3, '\'') + 1).min(chars.len()),
            '\'' if get(at + 2) == '\'' => at + 3,
            _ => at,
        };
        if end == at {
            out.push(get(at));
            at += 1;
        } else {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// Past the string whose opening quote stands at `quote`.
fn string_end(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Past the string with a prefix (`b"`, `c"`, `r"`, `br#"` ..) at `start`, or `start` if there is none.
fn prefixed_end(chars: &[char], start: usize) -> usize {
    let get = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut at = start;
    if matches!(get(at), 'b' | 'c') {
        at += 1;
    }
    if get(at) == '"' {
        return string_end(chars, at);
    }
    if get(at) != 'r' {
        return start;
    }
    at += 1;
    let hashes = (at..chars.len()).take_while(|i| chars[*i] == '#').count();
    at += hashes;
    if get(at) != '"' {
        return start;
    }
    at += 1;
    while at < chars.len() {
        if chars[at] == '"' && (1..=hashes).all(|h| get(at + h) == '#') {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(blank: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = blank;
    while let Some(c) = rest.chars().next() {
        let len = if is_word(c) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        let (text, after) = rest.split_at(len);
        if c == '\n' {
            line += 1;
        } else if !c.is_whitespace() {
            tokens.push(Token { text, line });
        }
        rest = after;
    }
    tokens
}

/// The rooms that have a paragraph under this heading of the map: lines that start with the name in bold.
pub(crate) fn captions(map: &str, heading: &str) -> Vec<String> {
    let caption = |line: &str| Some(line.strip_prefix("**")?.split_once("** ")?.0.to_string());
    let lines = map.lines().skip_while(|line| *line != heading).skip(1);
    let until_the_next = lines.take_while(|line| !line.starts_with('#'));
    until_the_next.filter_map(caption).collect()
}
