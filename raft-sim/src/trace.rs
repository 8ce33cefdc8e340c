//! What happened, event by event: as lines for people, as JSON for programs, and as one number.

use serde_json::json;

/// What to write down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Lines for people.
    pub text: bool,
    /// One JSON object an event.
    pub json: bool,
}

/// What was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    options: TraceOptions,
    /// Lines for people.
    pub text: Vec<String>,
    /// JSON objects `{"v":1,"i":event,"t":microseconds,"node":n,"kind":"...","message":"..."}`; no node where none is
    /// concerned.
    pub json: Vec<String>,
    /// With `text`, for each line: how many of a fuzzer's bytes had been asked for when it was written
    /// ([`Choices::bytes_asked`](crate::choices::Choices::bytes_asked)). The line depends on no later byte.
    pub bytes_asked: Vec<usize>,
}

/// The version of the JSON objects' schema.
const SCHEMA: u32 = 1;

impl Trace {
    pub(crate) fn new(options: TraceOptions) -> Trace {
        Trace { options, ..Trace::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.options.text || self.options.json
    }

    /// Writes down what happened to a node, or to none; `asked` is what goes to [`bytes_asked`](Trace::bytes_asked).
    pub(crate) fn add(
        &mut self,
        (event, time): (u64, u64),
        node: Option<usize>,
        kind: &str,
        message: &str,
        asked: usize,
    ) {
        if self.options.text {
            self.bytes_asked.push(asked);
            let who = node.map_or_else(|| "  ".to_owned(), |node| format!("n{}", node + 1));
            self.text.push(format!(
                "{event:>7} {:>6}.{:06} {who} {kind:<10} {message}",
                time / 1_000_000,
                time % 1_000_000
            ));
        }
        if self.options.json {
            let mut object = json!({ "v": SCHEMA, "i": event, "t": time, "kind": kind, "message": message });
            if let Some(node) = node {
                object["node"] = json!(node + 1);
            }
            self.json.push(object.to_string());
        }
    }
}

/// A rolling hash over everything that happens: equal runs have equal fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub u64);

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(0x9e37_79b9_7f4a_7c15)
    }
}

impl Fingerprint {
    /// Mixes in one word.
    pub fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xa076_1d64_78bd_642f;
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.0 = folded.rotate_left(23) ^ word;
    }
}
