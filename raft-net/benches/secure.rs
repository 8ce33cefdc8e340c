//! Nanoseconds to seal and open a datagram, and to complete a handshake: `cargo bench -p raft-net --bench secure`.

#[path = "../tests/secure_world/mod.rs"]
mod secure_world;

use divan::Bencher;
use secure_world::*;

fn main() {
    divan::main();
}

/// One payload sealed, polled and opened: both sides' work.
#[divan::bench(args = [64, 1_168])]
fn seal_and_open(bencher: Bencher<'_, '_>, bytes: usize) {
    let mut pair = Pair::connected();
    let payload = vec![7; bytes];
    bencher.counter(divan::counter::BytesCount::new(bytes)).bench_local(|| {
        pair.seal(0, &payload);
        let datagram = pair.members[0].poll_transmit().expect("there is a session").datagram;
        pair.members[1].handle_datagram(pair.now, address(1), &datagram).map(|received| received.is_some())
    });
}

/// Two members start and connect, both beginning at once.
#[divan::bench]
fn connect(bencher: Bencher<'_, '_>) {
    bencher.bench_local(Pair::connected);
}
