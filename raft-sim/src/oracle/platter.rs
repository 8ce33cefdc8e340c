//! From the bytes on a platter to what they say, a sync at a time.

use super::image::{HardRecord, Image, LogChange};

/// What survives a power loss in every case: files whose names are durable, with their synced bytes.
pub trait Platter {
    /// The files, in order.
    fn files(&self) -> Vec<String>;
    /// A file's bytes.
    fn bytes(&self, file: &str) -> Option<&[u8]>;
}

/// Where the reader of a member's files stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {}

impl Follower {
    /// What a file says that it did not say before.
    pub(crate) fn follow(&mut self, _file: &str, _bytes: &[u8]) -> (Vec<HardRecord>, Vec<LogChange>) {
        (Vec::new(), Vec::new())
    }

    /// What all files say, and where their reader stands then.
    pub(crate) fn whole(_platter: &impl Platter) -> (Follower, Image) {
        (Follower::default(), Image::default())
    }
}
