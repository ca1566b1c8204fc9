//! Predicates over what can be observed: `node(1).logged > node(1).durable && commits >= 20` (simulation brief §6).
//!
//! Parsed once into a tree. There is no user code.

use super::nearest;
use super::units::{Span, Unit};

/// Something that can be observed, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the vocabulary itself
pub enum Observable {
    Logged,
    Durable,
    Committed,
    Applied,
    SessionCount,
    Snapshotting,
    Up,
    Role,
    Phase,
    Round,
    AcceptedEpoch,
    CurrentEpoch,
    SyncKind,
}

const OBSERVABLES: &[(&str, Observable)] = &[
    ("logged", Observable::Logged),
    ("durable", Observable::Durable),
    ("committed", Observable::Committed),
    ("applied", Observable::Applied),
    ("session_count", Observable::SessionCount),
    ("snapshotting", Observable::Snapshotting),
    ("up", Observable::Up),
    ("role", Observable::Role),
    ("phase", Observable::Phase),
    ("round", Observable::Round),
    ("accepted_epoch", Observable::AcceptedEpoch),
    ("current_epoch", Observable::CurrentEpoch),
    ("sync_kind", Observable::SyncKind),
];

/// Something of the whole world, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the vocabulary itself
pub enum Global {
    Commits,
    Quorum,
    Leaders,
    EpochMax,
    HealedFor,
    UnknownOutcomes,
    Expired,
    Now,
}

const GLOBALS: &[(&str, Global)] = &[
    ("commits", Global::Commits),
    ("quorum", Global::Quorum),
    ("leaders", Global::Leaders),
    ("epoch_max", Global::EpochMax),
    ("healed_for", Global::HealedFor),
    ("unknown_outcomes", Global::UnknownOutcomes),
    ("expired", Global::Expired),
    ("now", Global::Now),
];

/// Words for what roles, phases and kinds of synchronisation are: `leader.phase == broadcast`.
const WORDS: &[(&str, i64)] = &[
    ("looking", 1),
    ("following", 2),
    ("observing", 3),
    ("leading", 4),
    ("election", 1),
    ("discovery", 2),
    ("synchronization", 3),
    ("broadcast", 4),
    ("diff", 1),
    ("trunc", 2),
    ("snap", 3),
];

/// Whose observable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The leader's.
    Leader,
    /// This node's.
    Node(u32),
}

/// A number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A constant; durations are in ns.
    Number(i64),
    /// `leader.logged`, `node(2).applied`.
    Of(Whose, Observable),
    /// `commits`.
    Global(Global),
    /// `acks(leader.logged)`: servers that acknowledged this zxid to the leader.
    Acks(Box<Self>),
    /// `durable_count(leader.logged)`: servers whose disk holds this zxid.
    DurableCount(Box<Self>),
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Comparison {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

impl Comparison {
    /// Compares.
    pub const fn holds(self, a: i64, b: i64) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterEqual => a >= b,
            Self::Equal => a == b,
            Self::NotEqual => a != b,
        }
    }
}

/// True or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// Two numbers.
    Compare(Value, Comparison, Value),
    /// A number that is not 0.
    Truth(Value),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
    /// Not.
    Not(Box<Self>),
    /// It has held for this long.
    Held(Box<Self>, Span),
}

impl Predicate {
    /// Reads one. The error says what is wrong and at which column of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        let predicate = parser.or()?;
        parser.skip();
        if parser.at < text.len() { Err(parser.fail("an operator or the end")) } else { Ok(predicate) }
    }

    /// The values in it.
    pub fn values(&self) -> Vec<&Value> {
        match self {
            Self::Compare(a, _, b) => vec![a, b],
            Self::Truth(value) => vec![value],
            Self::And(a, b) | Self::Or(a, b) => [a.values(), b.values()].concat(),
            Self::Not(inner) | Self::Held(inner, _) => inner.values(),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn skip(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn fail(&self, expected: &str) -> String {
        let found: String = self.text[self.at..].chars().take(12).collect();
        format!("at column {}: expected {expected}, found \"{found}\"", self.at + 1)
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip();
        let there = self.text[self.at..].starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn word(&mut self) -> &'a str {
        self.skip();
        let rest = &self.text[self.at..];
        let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn or(&mut self) -> Result<Predicate, String> {
        let mut left = self.and()?;
        while self.eat("||") {
            left = Predicate::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Predicate, String> {
        let mut left = self.unary()?;
        while self.eat("&&") {
            left = Predicate::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Predicate, String> {
        self.skip();
        if self.text[self.at..].starts_with('!') && !self.text[self.at..].starts_with("!=") {
            self.at += 1;
            return Ok(Predicate::Not(Box::new(self.unary()?)));
        }
        if self.eat("(") {
            let inner = self.or()?;
            if !self.eat(")") {
                return Err(self.fail("\")\""));
            }
            return self.held(inner);
        }
        let left = self.value()?;
        let comparisons = [
            ("<=", Comparison::LessEqual),
            (">=", Comparison::GreaterEqual),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        for (token, comparison) in comparisons {
            if self.eat(token) {
                let compare = Predicate::Compare(left, comparison, self.value()?);
                return self.held(compare);
            }
        }
        self.held(Predicate::Truth(left))
    }

    fn held(&mut self, inner: Predicate) -> Result<Predicate, String> {
        self.skip();
        if !self.text[self.at..].starts_with("held(") {
            return Ok(inner);
        }
        self.at += "held(".len();
        let rest = &self.text[self.at..];
        let end = rest.find(')').ok_or_else(|| self.fail("\")\" behind a duration"))?;
        let span =
            Span::parse(rest[..end].trim().trim_matches('"')).ok_or_else(|| self.fail(Span::EXPECTED))?;
        self.at += end + 1;
        Ok(Predicate::Held(Box::new(inner), span))
    }

    fn value(&mut self) -> Result<Value, String> {
        self.skip();
        let start = self.at;
        let rest = &self.text[start..];
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '.')).unwrap_or(rest.len());
            self.at += len;
            return number(&rest[..len]).ok_or_else(|| {
                self.at = start;
                self.fail("a number or a duration")
            });
        }
        let word = self.word();
        match word {
            "leader" => self.observable(Whose::Leader),
            "node" => {
                let number = if self.eat("(") { self.word().parse::<u32>().ok() } else { None };
                let node = number.filter(|_| self.eat(")")).ok_or_else(|| self.fail("node(N)"))?;
                self.observable(Whose::Node(node))
            }
            "acks" | "durable_count" => {
                if !self.eat("(") {
                    return Err(self.fail("\"(\""));
                }
                let inner = Box::new(self.value()?);
                if !self.eat(")") {
                    return Err(self.fail("\")\""));
                }
                Ok(if word == "acks" { Value::Acks(inner) } else { Value::DurableCount(inner) })
            }
            _ if WORDS.iter().any(|(name, _)| *name == word) => {
                let number = WORDS.iter().find(|(name, _)| *name == word).map_or(0, |(_, number)| *number);
                Ok(Value::Number(number))
            }
            _ => match GLOBALS.iter().find(|(name, _)| *name == word) {
                Some((_, global)) => Ok(Value::Global(*global)),
                None => {
                    let mut known: Vec<&str> = GLOBALS.iter().map(|(name, _)| *name).collect();
                    known.extend(["leader", "node", "acks", "durable_count"]);
                    known.extend(WORDS.iter().map(|(name, _)| *name));
                    self.at = start;
                    Err(format!("{}{}", self.fail("something observable"), nearest::hint(word, &known)))
                }
            },
        }
    }

    fn observable(&mut self, whose: Whose) -> Result<Value, String> {
        if !self.eat(".") {
            return Err(self.fail("\".\" and something observable of a node"));
        }
        let start = self.at;
        let word = self.word();
        match OBSERVABLES.iter().find(|(name, _)| *name == word) {
            Some((_, observable)) => Ok(Value::Of(whose, *observable)),
            None => {
                let known: Vec<&str> = OBSERVABLES.iter().map(|(name, _)| *name).collect();
                self.at = start;
                Err(format!("{}{}", self.fail("something observable of a node"), nearest::hint(word, &known)))
            }
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let value = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok().or_else(|| Span::parse(text).and_then(|span| i64::try_from(span.0).ok())),
    };
    value.map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_s_own_examples_are_read() {
        let text = "leader.logged > leader.committed && acks(leader.logged) < quorum";
        let Predicate::And(left, right) = Predicate::parse(text).unwrap() else { panic!("an and") };
        let leader = |observable| Value::Of(Whose::Leader, observable);
        let logged = leader(Observable::Logged);
        assert_eq!(
            *left,
            Predicate::Compare(logged.clone(), Comparison::Greater, leader(Observable::Committed))
        );
        let acks = Value::Acks(Box::new(logged));
        assert_eq!(*right, Predicate::Compare(acks, Comparison::Less, Value::Global(Global::Quorum)));
        assert!(Predicate::parse("!(node(1).up) || commits >= 20 held(\"2s\")").is_ok());
        assert!(Predicate::parse("now > 1.5s && node(2).snapshotting").is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        let wrong = |text| Predicate::parse(text).expect_err("it is wrong");
        assert_eq!(
            wrong("leader.loged > 1"),
            "at column 8: expected something observable of a node, found \"loged > 1\"; did you mean \"logged\"?"
        );
        assert_eq!(
            wrong("comits > 3"),
            "at column 1: expected something observable, found \"comits > 3\"; did you mean \"commits\"?"
        );
        assert_eq!(
            wrong("leader.phase == brodcast"),
            "at column 17: expected something observable, found \"brodcast\"; did you mean \"broadcast\"?"
        );
        assert_eq!(wrong("commits > 3 5"), "at column 13: expected an operator or the end, found \"5\"");
        assert_eq!(wrong("(commits > 3"), "at column 13: expected \")\", found \"\"");
        assert!(wrong("node(x).up").starts_with("at column 7: expected node(N)"));
    }
}
