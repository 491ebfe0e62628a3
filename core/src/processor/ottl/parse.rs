//! Words to expressions.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::call::call;
use super::expression::Expression;
use super::path::{Index, Path, named};
use super::value::{Comparison, Operator};
use super::words::{Word, words};
use super::{InvalidOttl, OttlContext};

/// How deep parentheses, `not`s and calls may nest.
const MAX_DEPTH: u32 = 64;

pub(super) fn condition(text: &str, context: OttlContext) -> Result<Expression, InvalidOttl> {
    let mut parser = Parser {
        words: words(text)?.into_iter(),
        context,
        depth: 0,
    };
    let whole = parser.any()?;
    match parser.peek() {
        Word::End => parser.condition(1, whole),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser {
    words: alloc::vec::IntoIter<(usize, Word)>,
    context: OttlContext,
    depth: u32,
}

type Parsed = Result<Expression, InvalidOttl>;

impl Parser {
    fn any(&mut self) -> Parsed {
        self.joined("or", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Parsed {
        self.joined("and", Self::negated, Expression::All)
    }

    /// Parts joined by a word; a part alone is itself.
    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Parsed,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed {
        let mut column = self.column();
        let first = part(self)?;
        if !self.is_name(word) {
            return Ok(first);
        }
        let mut parts = Vec::from([self.condition(column, first)?]);
        while self.is_name(word) {
            self.next();
            column = self.column();
            let next = part(self)?;
            parts.push(self.condition(column, next)?);
        }
        Ok(join(parts))
    }

    fn negated(&mut self) -> Parsed {
        if !self.is_name("not") {
            return self.compared();
        }
        self.next();
        let column = self.column();
        let inner = self.deeper(Self::negated)?;
        Ok(Expression::Not(Box::new(self.condition(column, inner)?)))
    }

    fn compared(&mut self) -> Parsed {
        let column = self.column();
        let this = self.summed()?;
        let how = match self.peek() {
            Word::Sign("==") => Comparison::Equal,
            Word::Sign("!=") => Comparison::NotEqual,
            Word::Sign("<") => Comparison::Less,
            Word::Sign("<=") => Comparison::LessOrEqual,
            Word::Sign(">") => Comparison::Greater,
            Word::Sign(">=") => Comparison::GreaterOrEqual,
            _ => return Ok(this),
        };
        self.next();
        let this = self.value(column, this)?;
        let column = self.column();
        let other = self.summed()?;
        let other = self.value(column, other)?;
        Ok(Expression::Compare(how, Box::new(this), Box::new(other)))
    }

    fn summed(&mut self) -> Parsed {
        let signs = [("+", Operator::Plus), ("-", Operator::Minus)];
        self.computed(&signs, Self::multiplied)
    }

    fn multiplied(&mut self) -> Parsed {
        let signs = [("*", Operator::Times), ("/", Operator::Over)];
        self.computed(&signs, Self::single)
    }

    fn computed(&mut self, signs: &[(&str, Operator)], part: fn(&mut Self) -> Parsed) -> Parsed {
        let column = self.column();
        let mut this = part(self)?;
        // Each step nests the result so far.
        let mut steps = 0;
        loop {
            let Word::Sign(sign) = self.peek() else {
                return Ok(this);
            };
            let Some((_, how)) = signs.iter().find(|(known, _)| known == sign) else {
                return Ok(this);
            };
            steps += 1;
            if steps > MAX_DEPTH {
                return Err(self.expected("fewer operators in a row"));
            }
            self.next();
            this = self.value(column, this)?;
            let column = self.column();
            let other = part(self)?;
            let other = self.value(column, other)?;
            this = Expression::Compute(*how, Box::new(this), Box::new(other));
        }
    }

    fn single(&mut self) -> Parsed {
        let column = self.column();
        let invalid = |message| InvalidOttl { column, message };
        match self.peek().clone() {
            Word::Text(text) => self.take(Expression::Text(text)),
            Word::Int(value) => self.take(Expression::Int(value)),
            Word::Float(value) => self.take(Expression::Float(value)),
            Word::Bytes(bytes) => self.take(Expression::Bytes(bytes)),
            Word::Sign("(") => {
                self.next();
                let inner = self.deeper(Self::any)?;
                self.sign(")")?;
                Ok(inner)
            }
            Word::Sign("[") => Ok(Expression::List(self.values("[", "]")?)),
            Word::Sign("{") => Err(invalid("maps are not supported".into())),
            Word::Name(name) => match name.as_str() {
                "true" => self.take(Expression::Bool(true)),
                "false" => self.take(Expression::Bool(false)),
                "nil" => self.take(Expression::Nil),
                "and" | "or" | "not" => Err(self.expected("a value")),
                _ => self.path(),
            },
            Word::Capital(name) => {
                self.next();
                if *self.peek() == Word::Sign("(") {
                    let arguments = self.values("(", ")")?;
                    return call(&name, arguments.into_iter()).map_err(invalid);
                }
                let number = named(&name).ok_or_else(|| {
                    invalid(format!(
                        "expected SPAN_KIND_.., STATUS_CODE_.. or a call, found `{name}`"
                    ))
                })?;
                Ok(Expression::Int(number))
            }
            Word::Sign(_) | Word::End => Err(self.expected("a value")),
        }
    }

    /// Values between two signs, with commas between them.
    fn values(
        &mut self,
        open: &'static str,
        close: &'static str,
    ) -> Result<Vec<Expression>, InvalidOttl> {
        self.sign(open)?;
        let mut values = Vec::new();
        while *self.peek() != Word::Sign(close) {
            if !values.is_empty() {
                self.sign(",")?;
            }
            let column = self.column();
            let value = self.deeper(Self::summed)?;
            values.push(self.value(column, value)?);
        }
        self.sign(close)?;
        Ok(values)
    }

    fn path(&mut self) -> Parsed {
        let column = self.column();
        let mut names = Vec::from([self.name()?]);
        while *self.peek() == Word::Sign(".") {
            self.next();
            names.push(self.name()?);
        }
        let mut indexes = Vec::new();
        while *self.peek() == Word::Sign("[") {
            self.next();
            indexes.push(match self.peek().clone() {
                Word::Text(key) => Index::Key(key),
                Word::Int(at) if at >= 0 => Index::At(at as usize),
                _ => return Err(self.expected("a key in quotes, or an index from 0")),
            });
            self.next();
            self.sign("]")?;
        }
        let path = Path::new(&names, indexes, self.context);
        path.map(Expression::Path)
            .map_err(|message| InvalidOttl { column, message })
    }

    fn name(&mut self) -> Result<String, InvalidOttl> {
        match self.peek().clone() {
            Word::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => Err(self.expected("the name of a field")),
        }
    }

    fn condition(&self, column: usize, what: Expression) -> Parsed {
        if what.is_condition() {
            return Ok(what);
        }
        let message = "expected a condition, found a value: compare it with something".into();
        Err(InvalidOttl { column, message })
    }

    fn value(&self, column: usize, what: Expression) -> Parsed {
        if what.is_value() {
            return Ok(what);
        }
        let message = "expected a value, found a condition".into();
        Err(InvalidOttl { column, message })
    }

    fn deeper(&mut self, inner: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth == MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    fn sign(&mut self, sign: &'static str) -> Result<(), InvalidOttl> {
        if *self.peek() == Word::Sign(sign) {
            self.next();
            return Ok(());
        }
        Err(self.expected(&format!("`{sign}`")))
    }

    fn take(&mut self, what: Expression) -> Parsed {
        self.next();
        Ok(what)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Word::Name(found) if found == name)
    }

    fn peek(&self) -> &Word {
        self.words
            .as_slice()
            .first()
            .map_or(&Word::End, |(_, word)| word)
    }

    fn column(&self) -> usize {
        self.words
            .as_slice()
            .first()
            .map_or(1, |(column, _)| *column)
    }

    /// The end stays: it is where everything that is missing is missed.
    fn next(&mut self) {
        if self.words.len() > 1 {
            self.words.next();
        }
    }

    fn expected(&self, what: &str) -> InvalidOttl {
        InvalidOttl {
            column: self.column(),
            message: format!("expected {what}, found {}", self.peek()),
        }
    }
}
