//! From the bytes on a platter to what they say, a sync at a time.

/// What survives a power loss in every case: files whose names are durable, with their synced bytes.
pub trait Platter {
    /// The files, in order.
    fn files(&self) -> Vec<String>;
    /// A file's bytes.
    fn bytes(&self, file: &str) -> Option<Vec<u8>>;
}

/// Where the reader of a member's files stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Follower {}
