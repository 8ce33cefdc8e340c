//! The journal's thread: performs batches on real files, in order, until the first error.

mod faults;
mod files;
mod jobs;

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use raft_core::journal::{Batch, DiskOp};
use tokio::sync::mpsc as answers;

pub use faults::Faults;
pub(crate) use files::{Closer, DataFiles, DataReader};
pub(crate) use jobs::{JobDone, Jobs};

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Everything in it is durable.
    Done(BatchReport),
    /// An operation failed. Nothing after it was tried, and nothing ever will be.
    Failed(String),
}

/// What a batch cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchReport {
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) sync_last: Duration,
    pub(crate) sync_max: Duration,
    pub(crate) elapsed: Duration,
}

/// The event loop's end of the journal's thread.
#[derive(Debug)]
pub(crate) struct Disk {
    batches: mpsc::Sender<Batch>,
    answers: answers::Receiver<Answer>,
    closer: Closer,
}

impl Disk {
    /// Starts the thread. It owns the files, and with them the directory's lock.
    pub(crate) fn start(mut files: DataFiles) -> io::Result<Disk> {
        let closer = files.closer();
        let (batches, inbox) = mpsc::channel();
        // One batch is under way at a time.
        let (outbox, answers) = answers::channel(1);
        thread::Builder::new().name(String::from("raft-journal")).spawn(move || {
            run(&mut files, &inbox, &outbox);
            // The lock goes before the channel: whoever sees it closed may open the directory.
            drop(files);
            drop(outbox);
        })?;
        Ok(Disk { batches, answers, closer })
    }

    /// Hands a batch to the thread. If that is gone, its last answer has said why.
    pub(crate) fn perform(&self, batch: Batch) {
        let _ = self.batches.send(batch);
    }

    /// What became of the batch under way; none once the thread has ended. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// The same, if it is there.
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Ends the thread and waits for it. From here on nothing is written to the directory, by no thread.
    pub(crate) async fn close(self) {
        let Disk { batches, mut answers, closer } = self;
        closer.close();
        drop(batches);
        while answers.recv().await.is_some() {}
    }
}

fn run(files: &mut DataFiles, batches: &mpsc::Receiver<Batch>, answers: &answers::Sender<Answer>) {
    while let Ok(batch) = batches.recv() {
        let (answer, is_last) = match perform(files, &batch.ops) {
            Ok(report) => (Answer::Done(report), false),
            Err(error) => (Answer::Failed(error), true),
        };
        if answers.blocking_send(answer).is_err() || is_last {
            return;
        }
    }
}

/// Performs operations in order. Stops at the first that fails: a second sync after a failed one would prove nothing,
/// because the system may have dropped what it could not write.
pub(crate) fn perform(files: &mut DataFiles, ops: &[DiskOp]) -> Result<BatchReport, String> {
    let began = Instant::now();
    let mut report = BatchReport::default();
    for op in ops {
        let op_began = Instant::now();
        perform_one(files, op)?;
        match op {
            DiskOp::Sync { .. } | DiskOp::SyncDirectory => {
                report.syncs += 1;
                report.sync_last = op_began.elapsed();
                report.sync_max = report.sync_max.max(report.sync_last);
            }
            DiskOp::Write { bytes, .. } => report.bytes += bytes.len() as u64,
            DiskOp::Create { .. } | DiskOp::Remove { .. } => {}
        }
    }
    report.elapsed = began.elapsed();
    Ok(report)
}

/// Performs one operation; an error says what, where and why.
fn perform_one(files: &mut DataFiles, op: &DiskOp) -> Result<(), String> {
    files.perform(op).map_err(|error| format!("{}: {error}", describe(op, files)))
}

fn describe(op: &DiskOp, files: &DataFiles) -> String {
    let path = |file: &str| files.directory().join(file).display().to_string();
    match op {
        DiskOp::Create { file, bytes } => format!("{}: can't create {bytes} bytes", path(file)),
        DiskOp::Write { file, offset, bytes } => {
            format!("{}: can't write {} bytes at {offset}", path(file), bytes.len())
        }
        DiskOp::Sync { file } => format!("{}: can't sync", path(file)),
        DiskOp::Remove { file } => format!("{}: can't remove", path(file)),
        DiskOp::SyncDirectory => format!("{}: can't sync the directory", files.directory().display()),
    }
}
