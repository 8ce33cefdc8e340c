#![allow(missing_docs, dead_code, clippy::todo, unused)]
use super::*;
use crate::load::*;
use crate::membership::Configuration;
use crate::snapshot::*;
use crate::types::LogId;
#[derive(Clone, Debug)]
pub enum ReadFailed {
    Missing,
    Failed(String),
}
#[derive(Clone, Debug)]
pub struct SnapshotPlan;
#[derive(Clone, Debug)]
pub struct LoadPlan;
#[derive(Clone, Debug)]
pub struct RestorePlan;
#[derive(Clone, Debug)]
pub struct WrittenSnapshot;
impl WrittenSnapshot {
    pub fn meta(&self) -> &SnapshotMeta {
        todo!()
    }
}
#[derive(Clone, Debug)]
pub enum SnapshotWriteError<E> {
    Disk(E),
    Content(String),
}
pub struct PlanSource;
impl Source for PlanSource {
    fn read(&mut self, b: &mut [u8]) -> Result<usize, SourceError> {
        todo!()
    }
}
impl PlanSource {
    pub fn finish(self) -> Result<(), SourceError> {
        todo!()
    }
}
impl SnapshotPlan {
    pub fn write<E>(
        &self,
        last: LogId,
        c: &Configuration,
        content: &dyn Fn(&mut dyn Sink),
        perform: &mut dyn FnMut(DiskOp) -> Result<(), E>,
    ) -> Result<WrittenSnapshot, SnapshotWriteError<E>> {
        todo!()
    }
}
impl LoadPlan {
    pub fn run(&self, read: &mut dyn FnMut(&str, u64, u64) -> Result<Vec<u8>, ReadFailed>) -> Loaded {
        todo!()
    }
}
impl RestorePlan {
    pub fn snapshot(&self) -> &SnapshotMeta {
        todo!()
    }
    pub fn open(&self, read: &mut dyn FnMut(&str, u64, u64) -> Result<Vec<u8>, ReadFailed>) -> PlanSource {
        todo!()
    }
}
impl Journal {
    pub fn plan_snapshot(&mut self) -> SnapshotPlan {
        todo!()
    }
    pub fn handle_snapshot_written(&mut self, w: &WrittenSnapshot) {
        todo!()
    }
    pub fn plan_load(&self, r: &LoadRequest) -> LoadPlan {
        todo!()
    }
    pub fn plan_restore(&self) -> Option<RestorePlan> {
        todo!()
    }
}
