//! The text form of commands, the same over HTTP (`POST /command`) and the line protocol.
//!
//! ```text
//! [SESSION.SEQUENCE] VERB ARGUMENT...
//!
//! SET k v | PUT k v      v is the rest of the line, so it may have spaces in it
//! GET k
//! DEL k | DELETE k
//! INCR k [n]             n is 1 unless given, and may be negative
//! CAS k old new          a bare `nil` as old means: only if k does not exist
//! SESSION                opens a session
//! ```
//!
//! A request id is told from a verb by its first digit. Verbs may be in any case. A word with spaces, quotes or line
//! breaks in it is written as a JSON string: `CAS k "two words" new`.

use std::fmt;
use std::str::FromStr;

use raft_core::replica::{SessionId, SessionRequest};

use crate::store::{Command, Condition};

/// Bytes of a key at most. Keys are names; data belongs into values.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A change, perhaps one that is safe to repeat.
    Change(Option<RequestId>, Command),
    /// The value of a key.
    Get(String),
    /// A new session.
    OpenSession,
}

/// Names a request of a session, `SESSION.SEQUENCE`, so that repeating it does not repeat its effect.
///
/// A session has one request under way at a time: its sequence numbers only grow, and to use a number says that the
/// answers to all smaller ones have arrived (thesis §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// The number that `POST /session` gave.
    pub(crate) session: u64,
    /// Counts the session's requests.
    pub(crate) sequence: u64,
}

impl RequestId {
    /// As the replica wants it.
    pub(crate) fn request(self) -> SessionRequest {
        SessionRequest {
            session: SessionId(self.session),
            sequence: self.sequence,
            unanswered: self.sequence,
        }
    }
}

impl FromStr for RequestId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<RequestId, ParseError> {
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| is_plain)
        };
        let parsed = text.split_once('.').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        // A session is named by the index of the entry that opened it, and these start at 1.
        let parsed = parsed.filter(|(session, _)| *session > 0);
        let (session, sequence) = parsed.ok_or_else(|| ParseError::RequestId(String::from(text)))?;
        Ok(RequestId { session, sequence })
    }
}

/// Why a text is not a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// Nothing there.
    Empty,
    /// More than one line.
    ManyLines,
    /// A verb that does not exist.
    Verb(String),
    /// Too few or too many arguments, or the wrong ones. How it is used.
    Usage(&'static str),
    /// Not a whole number of 64 bits.
    Number(String),
    /// A quoted word that is not a JSON string.
    Quoted,
    /// A request id of another form.
    RequestId(String),
    /// A request id before something that changes nothing.
    NeedlessRequestId,
    /// An empty key.
    KeyEmpty,
    /// A key that is too long; its bytes.
    KeyTooLong(usize),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Empty => write!(f, "no command"),
            ParseError::ManyLines => write!(f, "more than one line"),
            ParseError::Verb(verb) => write!(f, "unknown command {verb:?}"),
            ParseError::Usage(usage) => write!(f, "usage: {usage}"),
            ParseError::Number(text) => write!(f, "not a whole number of 64 bits: {text:?}"),
            ParseError::Quoted => write!(f, "a quoted word is not a JSON string"),
            ParseError::RequestId(text) => write!(f, "not a request id: {text:?}"),
            ParseError::NeedlessRequestId => write!(f, "a request id before a command that changes nothing"),
            ParseError::KeyEmpty => write!(f, "the key is empty"),
            ParseError::KeyTooLong(bytes) => {
                write!(f, "the key has {bytes} bytes, more than the {KEY_BYTES_MAX} allowed")
            }
        }
    }
}

impl ParseError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            ParseError::Empty | ParseError::Verb(_) | ParseError::Usage(_) => {
                "use one of: SET k v, PUT k v, GET k, DEL k, INCR k [n], CAS k old new, SESSION"
            }
            ParseError::ManyLines => {
                "send one command at a time; write a line break in a value as \"...\\n...\""
            }
            ParseError::Number(_) => "INCR k adds 1, INCR k -5 takes 5 away",
            ParseError::Quoted => "write a word with spaces as \"two words\", a quote in it as \\\"",
            ParseError::RequestId(_) => {
                "write SESSION.SEQUENCE, as 12.1: POST /session gives the first number, which is never 0"
            }
            ParseError::NeedlessRequestId => "leave the request id away: reading twice changes nothing",
            ParseError::KeyEmpty | ParseError::KeyTooLong(_) => "a key has 1 to 1024 bytes",
        }
    }
}

/// Reads one line.
pub(crate) fn parse(text: &str) -> Result<Ask, ParseError> {
    let text = text.trim_matches(|letter: char| letter.is_ascii_whitespace());
    if text.contains(['\n', '\r']) {
        return Err(ParseError::ManyLines);
    }
    let (id, text) = if text.starts_with(|first: char| first.is_ascii_digit()) {
        let (id, rest) = split_word(text);
        (Some(id.parse::<RequestId>()?), rest)
    } else {
        (None, text)
    };
    let (verb, rest) = split_word(text);
    let verb_upper = verb.to_ascii_uppercase();
    match verb_upper.as_str() {
        "" => Err(ParseError::Empty),
        "SET" | "PUT" => {
            let usage = if verb_upper == "PUT" { "PUT key value" } else { "SET key value" };
            let (key, rest) = word(rest, usage)?;
            let value = last_word(rest, usage)?;
            Ok(Ask::Change(id, set(checked(key)?, value)))
        }
        "GET" => {
            let [key] = words(rest, "GET key")?;
            let key = checked(key)?;
            id.map_or(Ok(Ask::Get(key)), |_| Err(ParseError::NeedlessRequestId))
        }
        "DEL" | "DELETE" => {
            let [key] = words(rest, "DEL key")?;
            Ok(Ask::Change(id, Command::Delete { key: checked(key)?, condition: Condition::Always }))
        }
        "INCR" => {
            let (key, rest) = word(rest, "INCR key [number]")?;
            let by = if rest.is_empty() { String::from("1") } else { last_word(rest, "INCR key [number]")? };
            let by = by.parse::<i64>().map_err(|_| ParseError::Number(by))?;
            Ok(Ask::Change(id, Command::Increment { key: checked(key)?, by }))
        }
        "CAS" => {
            let usage = "CAS key old new";
            let (key, rest) = word(rest, usage)?;
            let is_nil = split_word(rest).0 == "nil";
            let (old, rest) = word(rest, usage)?;
            let new = last_word(rest, usage)?;
            let expected = (!is_nil).then_some(old);
            Ok(Ask::Change(id, Command::CompareAndSet { key: checked(key)?, expected, new }))
        }
        "SESSION" => {
            let [] = words(rest, "SESSION")?;
            id.map_or(Ok(Ask::OpenSession), |_| Err(ParseError::NeedlessRequestId))
        }
        _ => Err(ParseError::Verb(verb.chars().take(40).collect())),
    }
}

/// The command that sets a key, whatever it has.
pub(crate) fn set(key: String, value: String) -> Command {
    Command::Set { key, value, condition: Condition::Always }
}

/// A key that may be used.
pub(crate) fn checked(key: String) -> Result<String, ParseError> {
    match key.len() {
        0 => Err(ParseError::KeyEmpty),
        1..=KEY_BYTES_MAX => Ok(key),
        bytes => Err(ParseError::KeyTooLong(bytes)),
    }
}

/// Writes a value on one line, so that it can be read back: as it is, or as a JSON string.
pub(crate) fn quoted(value: &str) -> String {
    let is_plain = !value.is_empty()
        && !value.starts_with('"')
        && !value.contains(char::is_control)
        && value.trim() == value;
    if is_plain { String::from(value) } else { serde_json::Value::from(value).to_string() }
}

/// A command as text, for people who read logs: what [`parse`] reads, but for conditions, which have no text form.
pub(crate) fn describe(command: &Command) -> String {
    let with = |text: String, condition: &Condition| match condition {
        Condition::Always => text,
        Condition::Version(version) => format!("{text} (if version {version})"),
        Condition::Present => format!("{text} (if present)"),
        Condition::Absent => format!("{text} (if absent)"),
    };
    match command {
        Command::Set { key, value, condition } => {
            with(format!("SET {} {}", word_of(key), short(value)), condition)
        }
        Command::Delete { key, condition } => with(format!("DEL {}", word_of(key)), condition),
        Command::CompareAndSet { key, expected, new } => {
            let expected = expected.as_deref().map_or(String::from("nil"), word_of);
            format!("CAS {} {expected} {}", word_of(key), short(new))
        }
        Command::Increment { key, by } => format!("INCR {} {by}", word_of(key)),
    }
}

/// A word as it is written where other words follow.
fn word_of(text: &str) -> String {
    let is_word = !text.contains(char::is_whitespace) && text != "nil";
    if is_word { quoted(text) } else { serde_json::Value::from(text).to_string() }
}

/// A value, cut where it is too long to be looked at.
fn short(value: &str) -> String {
    const CHARS_MAX: usize = 80;
    match value.char_indices().nth(CHARS_MAX) {
        None => quoted(value),
        Some((end, _)) => format!("{} ... ({} bytes)", quoted(&value[..end]), value.len()),
    }
}

/// Cuts at the first white space; both parts without it at the cut.
fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| letter.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_ascii_start())
}

/// The next word, bare or quoted, and the rest.
fn word<'a>(text: &'a str, usage: &'static str) -> Result<(String, &'a str), ParseError> {
    if !text.starts_with('"') {
        let (word, rest) = split_word(text);
        return if word.is_empty() { Err(ParseError::Usage(usage)) } else { Ok((String::from(word), rest)) };
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let Some(Ok(word)) = values.next() else { return Err(ParseError::Quoted) };
    let rest = &text[values.byte_offset()..];
    if !rest.is_empty() && !rest.starts_with(|letter: char| letter.is_ascii_whitespace()) {
        return Err(ParseError::Quoted);
    }
    Ok((word, rest.trim_ascii_start()))
}

/// The last word: a quoted one, or all that is left.
fn last_word(text: &str, usage: &'static str) -> Result<String, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Usage(usage));
    }
    if !text.starts_with('"') {
        return Ok(String::from(text));
    }
    let (word, rest) = word(text, usage)?;
    if rest.is_empty() { Ok(word) } else { Err(ParseError::Usage(usage)) }
}

/// Exactly so many words.
fn words<const COUNT: usize>(mut text: &str, usage: &'static str) -> Result<[String; COUNT], ParseError> {
    let mut all: [String; COUNT] = std::array::from_fn(|_| String::new());
    for slot in &mut all {
        (*slot, text) = word(text, usage)?;
    }
    if text.is_empty() { Ok(all) } else { Err(ParseError::Usage(usage)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(command: Command) -> Result<Ask, ParseError> {
        Ok(Ask::Change(None, command))
    }

    fn swap(expected: Option<&str>, new: &str) -> Result<Ask, ParseError> {
        let expected = expected.map(String::from);
        change(Command::CompareAndSet { key: "k".into(), expected, new: new.into() })
    }

    #[test]
    fn the_forms_of_the_documentation() {
        assert_eq!(parse("SET k v"), change(set("k".into(), "v".into())));
        assert_eq!(parse("  put k  two  words \n"), change(set("k".into(), "two  words".into())));
        assert_eq!(parse("SET k \"a\\nb\""), change(set("k".into(), "a\nb".into())));
        assert_eq!(parse("SET \"a key\" v"), change(set("a key".into(), "v".into())));
        assert_eq!(parse("get k"), Ok(Ask::Get("k".into())));
        assert_eq!(parse("INCR k"), change(Command::Increment { key: "k".into(), by: 1 }));
        assert_eq!(parse("INCR k -5"), change(Command::Increment { key: "k".into(), by: -5 }));
        assert_eq!(parse("CAS k old new"), swap(Some("old"), "new"));
        assert_eq!(parse("CAS k \"nil\" new"), swap(Some("nil"), "new"));
        assert_eq!(parse("CAS k nil new value"), swap(None, "new value"));
        assert_eq!(parse("CAS k \"two words\" \"\""), swap(Some("two words"), ""));
        assert_eq!(parse("session"), Ok(Ask::OpenSession));
        let id = RequestId { session: 12, sequence: 3 };
        assert_eq!(parse("12.3 SET k v"), Ok(Ask::Change(Some(id), set("k".into(), "v".into()))));
    }

    #[test]
    fn what_is_not_a_command_is_told_so() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        let lines = [
            "",
            "SET",
            "SET k",
            "put k",
            "GET",
            "GET a b",
            "DEL",
            "INCR",
            "INCR k x",
            "INCR k 1 2",
            "CAS k",
            "CAS k a",
            "FLY k",
            "SET k v\nSET k w",
            "SET k \"v",
            "SET k \"v\"w",
            "SET \"\" v",
            "1 SET k v",
            "1.+2 SET k v",
            "0.0 SET k v",
            "0.1 SET k v",
            "1.2 GET k",
            "1.2",
            "INCR k 9223372036854775808",
            "SESSION now",
        ];
        let told: Vec<String> = lines.iter().map(|line| format!("{line:?}: {}", refused(line))).collect();
        insta::assert_snapshot!(told.join("\n"));
        assert_eq!(parse(&format!("GET {}", "k".repeat(1025))), Err(ParseError::KeyTooLong(1025)));
        assert!(parse(&format!("GET {}", "k".repeat(1024))).is_ok());
    }

    proptest! {
        /// Lines come from anybody.
        #[test]
        fn no_line_is_too_odd(line in "[@0-9. \"\\\\a-c\u{e9}\n]{0,12}|(SET|GET|CAS|INCR|DEL) ?[\"\\\\ a-c\u{e9}]{0,12}|.{0,40}") {
            if let Ok(Ask::Change(None, command)) = parse(&line) {
                prop_assert_eq!(parse(&describe(&command)), Ok(Ask::Change(None, command)));
            }
        }
    }

    #[test]
    fn a_described_command_reads_back() {
        let lines = [
            "SET k v w",
            "SET \"a key\" v",
            "DEL k",
            "INCR k -2",
            "CAS k nil v",
            "CAS k \"nil\" v",
            "CAS k \"a b\" c d",
        ];
        for line in lines {
            let Ok(Ask::Change(None, command)) = parse(line) else { panic!("{line}") };
            assert_eq!(describe(&command), line);
        }
        let long = describe(&set("k".into(), "x".repeat(100)));
        assert!(long.ends_with("x ... (100 bytes)"), "{long}");
    }

    #[test]
    fn a_quoted_value_reads_back_as_itself() {
        for value in
            ["plain", "two words", "", " lead", "trail ", "a\nb", "\"q\"", "ü", "\u{7}", "back\\slash"]
        {
            let line = format!("SET k {}", quoted(value));
            assert!(!line.contains('\n'));
            assert_eq!(parse(&line), change(set("k".into(), value.into())), "{line}");
        }
    }
}
