//! Work beside the journal: one thread writes snapshots, one reads back what was let go from memory.

use std::io;
use std::sync::mpsc;
use std::thread;

use raft_core::journal::{SnapshotWriteError, WrittenSnapshot};
use raft_core::replica::{LoadJob, LoadOutcome, RestoreJob, RestoredState, SnapshotJob, StateMachine};
use raft_core::snapshot::SourceError;
use tokio::sync::mpsc as answers;

use super::files::{DataFiles, DataReader};
use super::perform_one;

/// What became of a job.
pub(crate) enum JobDone<S: StateMachine> {
    /// A snapshot is complete and synced.
    Written(WrittenSnapshot),
    /// It could not be written: the disk is at fault.
    DiskFailed(String),
    /// It could not be written: the state machine is at fault.
    Unwritable(String),
    /// A snapshot was read, or could not be.
    Restored(Box<RestoreJob>, Result<Box<RestoredState<S>>, SourceError>),
    /// Something was read back.
    Loaded(LoadOutcome),
    /// A thread panicked, most likely in the state machine.
    Died,
}

/// Tells of a thread that dies: nobody else would notice, as the other one keeps the channel open.
struct Alarm<S: StateMachine>(answers::UnboundedSender<JobDone<S>>);

impl<S: StateMachine> Drop for Alarm<S> {
    fn drop(&mut self) {
        if thread::panicking() {
            // Nobody listens once the node has stopped.
            let _ = self.0.send(JobDone::Died);
        }
    }
}

/// What the reading thread is asked.
enum Read {
    Restore(Box<RestoreJob>),
    Load(Box<LoadJob>),
}

/// The event loop's end of both threads. The replica bounds how many jobs are open.
pub(crate) struct Jobs<S: StateMachine> {
    snapshots: mpsc::Sender<SnapshotJob<S::Image>>,
    reads: mpsc::Sender<Read>,
    done: answers::UnboundedReceiver<JobDone<S>>,
}

impl<S> Jobs<S>
where
    S: StateMachine + Send + 'static,
{
    /// Starts both threads. The writer keeps the directory locked for as long as it has it open.
    pub(crate) fn start(mut files: DataFiles, reader: DataReader) -> io::Result<Jobs<S>> {
        let (snapshots, to_write) = mpsc::channel();
        let (reads, to_read) = mpsc::channel();
        let (outbox, done) = answers::unbounded_channel();
        let written = outbox.clone();
        thread::Builder::new().name(String::from("raft-snapshots")).spawn(move || {
            let _alarm = Alarm(written.clone());
            while let Ok(job) = to_write.recv() {
                if written.send(write::<S>(&mut files, &job)).is_err() {
                    break;
                }
            }
            // The lock goes before the channel: whoever sees it closed may open the directory.
            drop(files);
            drop(written);
        })?;
        thread::Builder::new().name(String::from("raft-reads")).spawn(move || {
            let _alarm = Alarm(outbox.clone());
            while let Ok(job) = to_read.recv() {
                if outbox.send(read(&reader, job)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Jobs { snapshots, reads, done })
    }
}

impl<S: StateMachine> Jobs<S> {
    /// Writes a snapshot. Like the rest of these, it says nothing if the thread is gone: then the node is stopping.
    pub(crate) fn write(&self, job: SnapshotJob<S::Image>) {
        let _ = self.snapshots.send(job);
    }

    /// Reads a snapshot into a state.
    pub(crate) fn restore(&self, job: RestoreJob) {
        let _ = self.reads.send(Read::Restore(Box::new(job)));
    }

    /// Reads something back.
    pub(crate) fn load(&self, job: LoadJob) {
        let _ = self.reads.send(Read::Load(Box::new(job)));
    }

    /// The next job that ended; none once both threads have died. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<JobDone<S>> {
        self.done.recv().await
    }

    /// The same, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<JobDone<S>> {
        self.done.try_recv().ok()
    }

    /// Ends both threads and waits for them. What they were at is given up where it stands.
    pub(crate) async fn close(self) {
        let Jobs { snapshots, reads, mut done } = self;
        drop((snapshots, reads));
        while done.recv().await.is_some() {}
    }
}

fn write<S: StateMachine>(files: &mut DataFiles, job: &SnapshotJob<S::Image>) -> JobDone<S> {
    match job.write(&mut |op| perform_one(files, &op)) {
        Ok(written) => JobDone::Written(written),
        Err(SnapshotWriteError::Disk(what)) => JobDone::DiskFailed(what),
        Err(SnapshotWriteError::Content(what)) => JobDone::Unwritable(what),
    }
}

fn read<S: StateMachine>(reader: &DataReader, job: Read) -> JobDone<S> {
    let mut bytes = |file: &str, offset, count| reader.bytes(file, offset, count);
    match job {
        Read::Restore(job) => {
            let restored = job.read(&mut bytes).map(Box::new);
            JobDone::Restored(job, restored)
        }
        Read::Load(job) => JobDone::Loaded(job.run(&mut bytes)),
    }
}
