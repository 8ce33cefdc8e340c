//! Work beside the journal: one thread writes snapshots, one writes those that come in, one reads back what was let go from
//! memory.

use std::io;
use std::sync::mpsc;
use std::thread;

use raft_core::journal::{ReceiveJob, SnapshotWriteError, WrittenSnapshot};
use raft_core::replica::{LoadJob, LoadOutcome, RestoreJob, RestoredState, SnapshotJob, StateMachine};
use raft_core::snapshot::SourceError;
use tokio::sync::mpsc as answers;

use super::files::{DataFiles, DataReader};
use super::{describe, perform_one};

/// What became of a job.
pub(crate) enum JobDone<S: StateMachine> {
    /// A snapshot is complete and synced.
    Written(WrittenSnapshot),
    /// It could not be written: the disk is at fault.
    DiskFailed(String),
    /// It could not be written: the state machine is at fault.
    Unwritable(String),
    /// What was asked for incoming snapshots is done.
    Received,
    /// There is no room for the one that comes in: what, and how many operations were performed before.
    NoRoom(String, usize),
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

/// The event loop's end of these threads. The replica bounds how many jobs are open.
pub(crate) struct Jobs<S: StateMachine> {
    snapshots: mpsc::Sender<SnapshotJob<S::Image>>,
    incoming: mpsc::Sender<ReceiveJob>,
    reads: mpsc::Sender<Read>,
    done: answers::UnboundedReceiver<JobDone<S>>,
}

impl<S> Jobs<S>
where
    S: StateMachine + Send + 'static,
{
    /// Starts the threads. The writers keep the directory locked for as long as they have it open.
    pub(crate) fn start(mut files: DataFiles, reader: DataReader) -> io::Result<Jobs<S>> {
        let mut incoming_files = files.for_another_thread()?;
        let (snapshots, to_write) = mpsc::channel();
        let (incoming, to_receive) = mpsc::channel();
        let (reads, to_read) = mpsc::channel();
        let (outbox, done) = answers::unbounded_channel();
        let (written, received) = (outbox.clone(), outbox.clone());
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
        thread::Builder::new().name(String::from("raft-incoming")).spawn(move || {
            let _alarm = Alarm(received.clone());
            while let Ok(job) = to_receive.recv() {
                if received.send(receive::<S>(&mut incoming_files, &job)).is_err() {
                    break;
                }
            }
            drop(incoming_files);
            drop(received);
        })?;
        thread::Builder::new().name(String::from("raft-reads")).spawn(move || {
            let _alarm = Alarm(outbox.clone());
            while let Ok(job) = to_read.recv() {
                if outbox.send(read(&reader, job)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Jobs { snapshots, incoming, reads, done })
    }
}

impl<S: StateMachine> Jobs<S> {
    /// Writes a snapshot. Like the rest of these, it says nothing if the thread is gone: then the node is stopping.
    pub(crate) fn write(&self, job: SnapshotJob<S::Image>) {
        let _ = self.snapshots.send(job);
    }

    /// Works on incoming snapshots.
    pub(crate) fn receive(&self, job: ReceiveJob) {
        let _ = self.incoming.send(job);
    }

    /// Reads a snapshot into a state.
    pub(crate) fn restore(&self, job: RestoreJob) {
        let _ = self.reads.send(Read::Restore(Box::new(job)));
    }

    /// Reads something back.
    pub(crate) fn load(&self, job: LoadJob) {
        let _ = self.reads.send(Read::Load(Box::new(job)));
    }

    /// The next job that ended; none once all threads have died. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<JobDone<S>> {
        self.done.recv().await
    }

    /// The same, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<JobDone<S>> {
        self.done.try_recv().ok()
    }

    /// Ends the threads and waits for them. What they were at is given up where it stands.
    pub(crate) async fn close(self) {
        let Jobs { snapshots, incoming, reads, mut done } = self;
        drop((snapshots, incoming, reads));
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

fn receive<S: StateMachine>(files: &mut DataFiles, job: &ReceiveJob) -> JobDone<S> {
    for (performed, op) in job.ops.iter().enumerate() {
        match files.perform_if_room(op) {
            Ok(true) => {}
            Ok(false) => return JobDone::NoRoom(describe(op, files), performed),
            Err(error) => return JobDone::DiskFailed(format!("{}: {error}", describe(op, files))),
        }
    }
    JobDone::Received
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
