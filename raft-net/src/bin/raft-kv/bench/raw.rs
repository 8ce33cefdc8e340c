//! What the disk and the network can do without us.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant, timeout};

use crate::exit::Fatal;

/// Few: a throttled disk has only so many.
const SYNCS: usize = 100;
const ROUND_TRIPS: usize = 1_000;
const DATAGRAM_BYTES: usize = 200;
const WRITE_BYTES: usize = 4_096;

/// Microseconds of single syncs of a file that is there already and full of zeros.
pub(super) fn sync(directory: &Path) -> Result<Vec<u64>, Fatal> {
    let path = directory.join("raw-sync");
    let doing = |error: std::io::Error| Fatal::io(path.display(), &error);
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).map_err(doing)?;
    file.write_all_at(&vec![0; WRITE_BYTES * SYNCS], 0).map_err(doing)?;
    file.sync_all().map_err(doing)?;
    let mut samples = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        let began = Instant::now();
        file.write_all_at(&[1; WRITE_BYTES], (number * WRITE_BYTES) as u64).map_err(doing)?;
        file.sync_data().map_err(doing)?;
        samples.push(micros(began));
    }
    std::fs::remove_file(&path).map_err(doing)?;
    Ok(samples)
}

/// Microseconds of single round trips between two tasks on loopback.
pub(super) async fn udp() -> Result<Vec<u64>, Fatal> {
    let doing = |error: std::io::Error| Fatal::io("UDP on loopback", &error);
    let (here, there) =
        tokio::try_join!(UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0")).map_err(doing)?;
    here.connect(there.local_addr().map_err(doing)?).await.map_err(doing)?;
    let echo = tokio::spawn(async move {
        let mut buffer = [0; DATAGRAM_BYTES];
        while let Ok((bytes, from)) = there.recv_from(&mut buffer).await {
            // A datagram that can't be sent is one that was lost.
            let _ = there.send_to(&buffer[..bytes], from).await;
        }
    });
    let mut samples = Vec::with_capacity(ROUND_TRIPS);
    let mut buffer = [0; DATAGRAM_BYTES];
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        here.send(&[0; DATAGRAM_BYTES]).await.map_err(doing)?;
        if let Ok(received) = timeout(Duration::from_millis(100), here.recv(&mut buffer)).await {
            received.map_err(doing)?;
            samples.push(micros(began));
        }
    }
    echo.abort();
    Ok(samples)
}

/// The type of the file system that holds a directory, as the system names it.
pub(super) fn file_system(directory: &Path) -> String {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best: Option<(usize, &str)> = None;
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        let (Some(at), Some(kind)) = (words.next(), words.next()) else { continue };
        // Of two mounts on one place, the later one is seen.
        if directory.starts_with(at) && best.is_none_or(|(length, _)| at.len() >= length) {
            best = Some((at.len(), kind));
        }
    }
    best.map_or(String::from("unknown"), |(_, kind)| String::from(kind))
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
