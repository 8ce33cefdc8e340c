//! Medians, spreads and lines for people.

/// Repeated measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    pub fn min(&self) -> f64 {
        self.0[0]
    }

    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// What a value is counted in, and which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Thousands a second; more is better.
    ThousandsPerSecond,
    /// Nanoseconds; fewer is better.
    Nanoseconds,
}

/// One line: both sides and how many times better ours is.
pub fn line(name: &str, unit: Unit, ours: &Samples, theirs: &Samples) -> String {
    let show = |s: &Samples| format!("{:>9.1} ({:.1} to {:.1})", s.median(), s.min(), s.max());
    format!("{name:<34} {:<30} {:<30} {:>5.2}x", show(ours), show(theirs), ratio(unit, ours, theirs))
}

/// The same as one JSON object.
pub fn json(name: &str, unit: Unit, ours: &Samples, theirs: &Samples) -> String {
    let side = |s: &Samples| format!("{{\"median\":{},\"min\":{},\"max\":{}}}", s.median(), s.min(), s.max());
    let unit_name = match unit {
        Unit::ThousandsPerSecond => "thousands per second",
        Unit::Nanoseconds => "nanoseconds",
    };
    format!(
        "{{\"name\":\"{name}\",\"unit\":\"{unit_name}\",\"raft_core\":{},\"raft_rs\":{},\"times_better\":{:.3}}}",
        side(ours),
        side(theirs),
        ratio(unit, ours, theirs)
    )
}

fn ratio(unit: Unit, ours: &Samples, theirs: &Samples) -> f64 {
    match unit {
        Unit::ThousandsPerSecond => ours.median() / theirs.median(),
        Unit::Nanoseconds => theirs.median() / ours.median(),
    }
}
