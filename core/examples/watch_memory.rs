//! What a watch costs: memory, setting, firing, going. Prints; checks nothing.
//!
//! `cargo run --release -p core --example watch_memory [WATCHES [PATHS]]`; one million by default, each on a path of its
//! own of 30 bytes, a hundred per connection.

#![allow(clippy::disallowed_types)] // a measurement needs a clock

use std::collections::BTreeSet;
use std::time::Instant;

use zk_core::ids::ConnId;
use zk_core::watch::{Modes, SHARDS, WatchRef, WatchShard, shard_of};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).expect("the second field").parse().expect("a number");
    pages * 4096
}

const PER_CONN: usize = 100;

fn main() {
    let mut args = std::env::args().skip(1).map(|n| n.parse::<usize>().expect("a number"));
    let watches = args.next().unwrap_or(1_000_000);
    let different = args.next().unwrap_or(watches);
    let path = |i| format!("/services/group-{:04}/n-{:07}", i % different % 1_000, i % different);
    let paths: Vec<_> = (0..watches).map(path).collect();
    let mut shards = vec![WatchShard::with_hash_seed(7); SHARDS];
    let mut own = vec![BTreeSet::<WatchRef>::new(); watches.div_ceil(PER_CONN)];

    let before = resident_bytes();
    let start = Instant::now();
    for (i, path) in paths.iter().enumerate() {
        let (shard, conn) = (shard_of(path), i / PER_CONN);
        own[conn].insert(shards[shard].add(shard, path, ConnId(conn as u64), Modes::DATA));
    }
    let set = start.elapsed().as_nanos() as usize / watches;
    println!("path                 {} bytes", paths[0].len());
    println!("resident per watch   {} bytes, path included", (resident_bytes() - before) / watches);
    println!("set                  {set} ns");

    let (start, mut hearers, mut heard) = (Instant::now(), vec![], 0);
    for path in &paths[..different / 2] {
        let shard = shard_of(path);
        shards[shard].fire(shard, path, Modes::DATA, &mut hearers);
        heard += hearers.len();
        for h in hearers.drain(..) {
            own[h.conn.0 as usize].remove(&h.spent.expect("a standard watch is spent"));
        }
    }
    println!("fire                 {} ns each", start.elapsed().as_nanos() as usize / heard.max(1));

    let (start, left) = (Instant::now(), own.iter().map(BTreeSet::len).sum::<usize>());
    for (conn, watches) in own.iter().enumerate() {
        watches.iter().for_each(|w| shards[w.shard()].forget(*w, ConnId(conn as u64)));
    }
    println!("connection gone      {} ns per watch", start.elapsed().as_nanos() as usize / left.max(1));
}
