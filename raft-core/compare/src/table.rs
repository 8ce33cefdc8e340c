//! Medians, spreads and lines for people.

/// Repeated measurements of one thing, in ascending order. Never empty.
#[derive(Clone, Debug)]
pub struct Samples(Vec<f64>);

/// Pairs of measurements, ours and theirs, each pair taken one right after the other.
#[derive(Clone, Debug, Default)]
pub struct Pairs(pub Vec<(f64, f64)>);

impl Pairs {
    pub fn ours(&self) -> Samples {
        Samples::new(self.0.iter().map(|pair| pair.0).collect())
    }

    pub fn theirs(&self) -> Samples {
        Samples::new(self.0.iter().map(|pair| pair.1).collect())
    }

    /// How many times better ours is, pair by pair: what slows the machine down for a while slows both of a pair.
    pub fn ratios(&self, unit: Unit) -> Samples {
        let ratio = |&(ours, theirs): &(f64, f64)| match unit {
            Unit::ThousandsPerSecond => ours / theirs,
            Unit::Nanoseconds => theirs / ours,
        };
        Samples::new(self.0.iter().map(ratio).collect())
    }
}

impl Samples {
    /// # Panics
    /// Without values there is no median.
    pub fn new(mut values: Vec<f64>) -> Samples {
        assert!(!values.is_empty(), "a measurement was repeated at least once");
        values.sort_by(f64::total_cmp);
        Samples(values)
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

/// What stands above the lines.
pub fn heading() -> String {
    format!("{:<34} {:<30} {:<30} {}", "", "raft-core", "raft-rs", "times better")
}

/// One line: both sides, and how many times better ours is.
pub fn line(name: &str, unit: Unit, pairs: &Pairs) -> String {
    let show = |s: &Samples| format!("{:>9.1} ({:.1} to {:.1})", s.median(), s.min(), s.max());
    let ratios = pairs.ratios(unit);
    format!(
        "{name:<34} {:<30} {:<30} {:>5.2} ({:.2} to {:.2})",
        show(&pairs.ours()),
        show(&pairs.theirs()),
        ratios.median(),
        ratios.min(),
        ratios.max()
    )
}

/// The same as one JSON object.
pub fn json(name: &str, unit: Unit, pairs: &Pairs) -> String {
    let show = |s: &Samples| format!("{{\"median\":{},\"min\":{},\"max\":{}}}", s.median(), s.min(), s.max());
    let unit_name = match unit {
        Unit::ThousandsPerSecond => "thousands per second",
        Unit::Nanoseconds => "nanoseconds",
    };
    format!(
        "{{\"name\":\"{name}\",\"unit\":\"{unit_name}\",\"raft_core\":{},\"raft_rs\":{},\"times_better\":{}}}",
        show(&pairs.ours()),
        show(&pairs.theirs()),
        show(&pairs.ratios(unit))
    )
}
