//! What a sync promises and a crash leaves: by hand, and beside a naive disk.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn sector(byte: u8) -> Vec<u8> {
    vec![byte; SECTOR]
}

fn disk_with(name: &str, sectors: u64) -> VirtualDisk {
    let mut disk = VirtualDisk::default();
    disk.create(name, sectors * SECTOR as u64);
    disk.sync(name).unwrap();
    disk.sync_directory();
    disk
}

#[test]
fn a_killed_process_leaves_its_writes_in_the_cache_and_a_power_loss_takes_them() {
    let mut disk = disk_with("a", 2);
    disk.write("a", 0, &sector(1)).unwrap();
    assert_eq!(
        disk.read("a").unwrap()[..SECTOR],
        sector(1),
        "nothing happens to the cache when a process dies"
    );
    assert_eq!(disk.durable("a").unwrap()[..SECTOR], sector(0));
    let loss = disk.power_loss(&mut || false);
    assert_eq!(loss, Loss { sectors: 1, names: 0 });
    assert_eq!(disk.read("a").unwrap()[..SECTOR], sector(0));
}

#[test]
fn each_unsynced_sector_is_old_or_new() {
    let mut disk = disk_with("a", 3);
    disk.write("a", 0, &[sector(1), sector(2), sector(3)].concat()).unwrap();
    let mut answers = [true, false, true].into_iter();
    disk.power_loss(&mut || answers.next().unwrap());
    assert_eq!(disk.read("a").unwrap(), [sector(1), sector(0), sector(3)].concat());
}

#[test]
fn an_unsynced_name_may_be_lost() {
    let mut disk = disk_with("a", 1);
    disk.create("b", 512);
    disk.write("b", 0, &sector(1)).unwrap();
    disk.sync("b").unwrap();
    disk.remove("a").unwrap();
    assert_eq!(disk.durable("b"), None, "synced bytes without a durable name are not there");
    let mut answers = [false, true].into_iter();
    let loss = disk.power_loss(&mut || answers.next().unwrap());
    assert_eq!(loss.names, 1);
    assert_eq!(disk.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(disk.read("b").unwrap(), sector(1));
}

#[test]
fn a_file_that_was_never_synced_may_be_empty() {
    let mut disk = VirtualDisk::default();
    disk.create("a", 1024);
    disk.write("a", 0, &sector(1)).unwrap();
    disk.sync_directory();
    let mut empty = disk.clone();
    empty.power_loss(&mut || false);
    assert_eq!(empty.read("a"), Some(&[][..]));
    disk.power_loss(&mut || true);
    assert_eq!(disk.read("a").unwrap()[..SECTOR], sector(1));
}

#[test]
fn after_a_failed_sync_reads_see_what_no_later_sync_writes() {
    let mut disk = disk_with("a", 1);
    disk.write("a", 0, &sector(1)).unwrap();
    assert_eq!(disk.fail_sync("a", &mut || false), Ok(1));
    disk.sync("a").unwrap();
    assert_eq!(disk.read("a").unwrap(), sector(1));
    assert_eq!(disk.durable("a").unwrap(), sector(0));
    let mut rewritten = disk.clone();
    disk.power_loss(&mut || true);
    assert_eq!(
        disk.read("a").unwrap(),
        sector(0),
        "they were clean, so nothing can bring them to the platter"
    );
    rewritten.write("a", 0, &sector(1)).unwrap();
    rewritten.sync("a").unwrap();
    assert_eq!(rewritten.durable("a").unwrap(), sector(1));
}

#[test]
fn rot_is_on_the_platter_and_in_the_cache() {
    let mut disk = disk_with("a", 2);
    assert!(disk.rot("a", 1, &mut |bytes| bytes[7] ^= 4));
    assert_eq!(disk.read("a").unwrap()[SECTOR + 7], 4);
    assert_eq!(disk.durable("a").unwrap()[SECTOR + 7], 4);
    assert!(!disk.rot("a", 2, &mut |bytes| bytes[0] = 1), "no such sector");
    disk.write("a", 0, &sector(1)).unwrap();
    assert!(
        !disk.rot("a", 0, &mut |bytes| bytes[0] = 9),
        "an unsynced sector is not damaged, it may be lost"
    );
}

#[test]
fn writes_are_of_whole_sectors_inside_the_file_or_at_its_end() {
    let mut disk = disk_with("a", 1);
    assert_eq!(disk.write("a", 1, &sector(1)), Err(DiskError::OutOfBounds));
    assert_eq!(disk.write("a", 1_024, &sector(1)), Err(DiskError::OutOfBounds), "no gaps");
    let two: Vec<u8> = [sector(1), sector(1)].concat();
    assert_eq!(disk.write("a", 0, &two), Err(DiskError::OutOfBounds), "half inside");
    assert_eq!(disk.write("a", 0, &[1]), Err(DiskError::OutOfBounds));
    assert_eq!(disk.write("b", 0, &sector(1)), Err(DiskError::NoSuchFile));
    assert!(disk.is_end("a", 512) && !disk.is_end("a", 0) && !disk.is_end("b", 0));
    assert_eq!(disk.write("a", 512, &two), Ok(()));
    assert_eq!((disk.read("a").unwrap().len(), disk.durable("a").unwrap().len()), (1_536, 512));
}

/// What was written at the end and not synced may be there in part after a power loss, and then the file is as long as that.
#[test]
fn a_file_that_grew_may_be_shorter_after_a_power_loss() {
    let mut disk = disk_with("a", 1);
    let more: Vec<u8> = [sector(1), sector(2), sector(3)].concat();
    disk.write("a", 512, &more).unwrap();
    let after = |mask: u64| {
        let mut disk = disk.clone();
        disk.power_loss(&mut bits(mask << 1));
        disk.read("a").unwrap().chunks(SECTOR).map(|sector| sector[0]).collect::<Vec<u8>>()
    };
    assert_eq!(after(0b000), [0]);
    assert_eq!(after(0b001), [0, 1]);
    assert_eq!(after(0b010), [0, 0, 2], "what is missing before it reads as zeros");
    assert_eq!(after(0b111), [0, 1, 2, 3]);
    disk.sync("a").unwrap();
    assert_eq!(disk.durable("a").unwrap().len(), 2_048);
}

/// Said once more, without sharing or dirty sets: each sector of each file as three values.
#[derive(Clone, Debug, Default)]
struct Naive {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// (what reads see, what the platter has if anything, whether a sync would write it)
    files: Vec<Vec<(u8, Option<u8>, bool)>>,
    synced: Vec<bool>,
}

#[derive(Clone, Debug)]
enum Op {
    Create(u8, u8),
    Write(u8, u8, Vec<u8>, u8),
    Sync(u8),
    FailSync(u8, u8),
    Remove(u8),
    SyncDirectory,
    PowerLoss(u64),
}

const SECTORS: u8 = 4;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..3u8, 0..=SECTORS).prop_map(|(file, sectors)| Op::Create(file, sectors)),
        (0..3u8, 0..SECTORS, prop::collection::vec(any::<u8>(), 1..4), 0..5u8)
            .prop_map(|(file, at, bytes, kept)| Op::Write(file, at, bytes, kept)),
        (0..3u8).prop_map(Op::Sync),
        (0..3u8, any::<u8>()).prop_map(|(file, written)| Op::FailSync(file, written)),
        (0..3u8).prop_map(Op::Remove),
        Just(Op::SyncDirectory),
        any::<u64>().prop_map(Op::PowerLoss),
    ]
}

fn bits(mut mask: u64) -> impl FnMut() -> bool {
    move || {
        mask = mask.rotate_right(1);
        mask & 1 == 1
    }
}

impl Naive {
    fn perform(&mut self, op: &Op) {
        let name = |file: &u8| format!("f{file}");
        match op {
            Op::Create(file, sectors) => {
                self.names.insert(name(file), self.files.len());
                self.files.push(vec![(0, Some(0), false); usize::from(*sectors)]);
                self.synced.push(false);
            }
            Op::Write(file, at, bytes, kept) => {
                let Some(number) = self.names.get(&name(file)) else { return };
                let (at, file) = (usize::from(*at), &mut self.files[*number]);
                if at == file.len() {
                    file.extend(bytes.iter().take((*kept).into()).map(|byte| (*byte, None, true)));
                } else if at + bytes.len() <= file.len() {
                    for (place, byte) in bytes.iter().enumerate().take((*kept).into()) {
                        let cell = &mut file[at + place];
                        (cell.0, cell.2) = (*byte, true);
                    }
                }
            }
            Op::Sync(file) => {
                if let Some(number) = self.names.get(&name(file)) {
                    self.synced[*number] = true;
                }
                self.settle(&name(file), &mut || true);
            }
            Op::FailSync(file, mask) => self.settle(&name(file), &mut bits((*mask).into())),
            Op::Remove(file) => {
                self.names.remove(&name(file));
            }
            Op::SyncDirectory => self.durable_names = self.names.clone(),
            Op::PowerLoss(mask) => self.power_loss(&mut bits(*mask)),
        }
    }

    fn settle(&mut self, name: &str, written: &mut dyn FnMut() -> bool) {
        let Some(number) = self.names.get(name) else { return };
        for cell in self.files[*number].iter_mut().filter(|cell| cell.2) {
            if written() {
                cell.1 = Some(cell.0);
            }
            cell.2 = false;
        }
    }

    fn power_loss(&mut self, survives: &mut dyn FnMut() -> bool) {
        for file in 0..3 {
            let name = format!("f{file}");
            let new = self.names.get(&name).copied();
            if new != self.durable_names.get(&name).copied() && survives() {
                match new {
                    Some(number) => self.durable_names.insert(name, number),
                    None => self.durable_names.remove(&name),
                };
            }
        }
        self.names = self.durable_names.clone();
        let mut used: Vec<usize> = self.names.values().copied().collect();
        used.sort_unstable();
        for number in used {
            if !std::mem::replace(&mut self.synced[number], true) && !survives() {
                self.files[number].clear();
            }
            for cell in &mut self.files[number] {
                if cell.2 && survives() {
                    cell.1 = Some(cell.0);
                }
            }
            self.files[number] =
                platter(&self.files[number]).into_iter().map(|byte| (byte, Some(byte), false)).collect();
        }
    }
}

/// The platter ends with the last sector that it has; what is missing before it reads as zeros.
fn platter(cells: &[(u8, Option<u8>, bool)]) -> Vec<u8> {
    let length = cells.iter().rposition(|cell| cell.1.is_some()).map_or(0, |last| last + 1);
    cells[..length].iter().map(|cell| cell.1.unwrap_or(0)).collect()
}

fn perform(disk: &mut VirtualDisk, op: &Op) {
    let name = |file: &u8| format!("f{file}");
    // What is done to a file that is not there fails here, and does nothing in the model.
    let _ = match op {
        Op::Create(file, sectors) => {
            disk.create(&name(file), u64::from(*sectors) * SECTOR as u64);
            Ok(())
        }
        Op::Write(file, at, bytes, kept) => {
            let bytes: Vec<u8> = bytes.iter().flat_map(|byte| sector(*byte)).collect();
            disk.write_prefix(&name(file), u64::from(*at) * SECTOR as u64, &bytes, (*kept).into())
        }
        Op::Sync(file) => disk.sync(&name(file)),
        Op::FailSync(file, mask) => disk.fail_sync(&name(file), &mut bits((*mask).into())).map(|_| ()),
        Op::Remove(file) => disk.remove(&name(file)),
        Op::SyncDirectory => {
            disk.sync_directory();
            Ok(())
        }
        Op::PowerLoss(mask) => {
            disk.power_loss(&mut bits(*mask));
            Ok(())
        }
    };
}

proptest! {
    #[test]
    fn it_behaves_like_the_naive_disk(ops in prop::collection::vec(op(), 0..60)) {
        let (mut disk, mut naive) = (VirtualDisk::default(), Naive::default());
        for op in &ops {
            perform(&mut disk, op);
            naive.perform(op);
            for file in 0..3 {
                let name = format!("f{file}");
                let cells = |names: &BTreeMap<String, usize>| names.get(&name).map(|n| naive.files[*n].clone());
                let seen = |bytes: Option<&[u8]>| bytes.map(|bytes| {
                    bytes.chunks(SECTOR).map(|sector| sector[0]).collect::<Vec<u8>>()
                });
                let cache = cells(&naive.names).map(|cells| cells.iter().map(|cell| cell.0).collect());
                let platter = cells(&naive.durable_names).map(|cells| platter(&cells));
                prop_assert_eq!(seen(disk.read(&name)), cache, "{:?}", op);
                prop_assert_eq!(seen(disk.durable(&name)), platter, "{:?}", op);
            }
        }
    }
}
