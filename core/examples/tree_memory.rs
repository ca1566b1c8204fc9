//! What a znode costs: memory, create, read, write, clone. Prints; checks nothing.
//!
//! `cargo run --release -p core --example tree_memory [ZNODES]`; one million by default, 15-byte names, 100 bytes of data,
//! directories of a thousand.

#![allow(clippy::disallowed_types)] // a measurement needs a clock

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::tree::{ApplyMode, Tree};
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnHeader};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const FAN_OUT: usize = 1_000;
const PROBES: usize = 200_000;

fn directory(i: usize) -> String {
    format!("/directory-{:05}", i / FAN_OUT)
}

fn leaf(i: usize) -> String {
    format!("{}/node-{i:010}", directory(i))
}

/// Probes in an order that defeats caches but is the same on every run.
fn scattered(znodes: usize) -> impl Iterator<Item = usize> {
    (0..PROBES).map(move |i| i.wrapping_mul(2_654_435_761) % znodes)
}

struct Bench {
    tree: Tree,
    zxid: i64,
}

impl Bench {
    fn txn(&mut self, body: TxnBody) -> Txn {
        self.zxid += 1;
        let header = TxnHeader {
            session: SessionId(1),
            cxid: 0,
            zxid: Zxid(self.zxid),
            time: WallMs(self.zxid),
            kind: 0,
        };
        Txn { header, body, digest: None }
    }

    fn create(&mut self, path: String, data: &Bytes, nth: usize) -> Txn {
        self.txn(TxnBody::Create(CreateTxn {
            kind: CreateKind::Create,
            path: Text::from(path),
            data: Some(data.clone()),
            acl: vec![Acl::world(31)],
            ephemeral: false,
            parent_cversion: nth as i32,
        }))
    }

    fn set(&mut self, i: usize, data: &Bytes) -> Txn {
        self.txn(TxnBody::SetData { path: Text::from(leaf(i)), data: Some(data.clone()), version: 1 })
    }

    /// Nanoseconds of `apply` for each txn; making the txn is not counted.
    fn apply_all(&mut self, txns: &[Txn]) -> f64 {
        let mut changes = Vec::new();
        let start = Instant::now();
        for txn in txns {
            black_box(self.tree.apply(txn, ApplyMode::Live, &mut changes));
            changes.clear();
        }
        start.elapsed().as_nanos() as f64 / txns.len() as f64
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).expect("the second field").parse().expect("a number");
    pages * 4096
}

fn main() {
    let znodes: usize = std::env::args().nth(1).map_or(1_000_000, |n| n.parse().expect("a number of znodes"));
    let mut bench = Bench { tree: Tree::new(), zxid: 0 };
    let data = Bytes::from(vec![7; 100]);
    let empty = resident_bytes();
    let mut create_ns = 0.0;
    for dir in 0..znodes.div_ceil(FAN_OUT) {
        let first = dir * FAN_OUT;
        let mut txns = vec![bench.create(directory(first), &data, dir + 2)];
        txns.extend((0..FAN_OUT).map(|n| bench.create(leaf(first + n), &data, n + 1)));
        create_ns += bench.apply_all(&txns) * txns.len() as f64;
    }
    let per_znode = (resident_bytes() - empty) as f64 / znodes as f64;
    println!("znodes                {znodes}");
    println!("resident per znode    {per_znode:.0} bytes");
    println!(
        "create                {:.0} ns ({:.2} M/s)",
        create_ns / znodes as f64,
        znodes as f64 * 1e3 / create_ns
    );

    let paths: Vec<String> = scattered(znodes).map(leaf).collect();
    let start = Instant::now();
    let bytes: usize =
        paths.iter().map(|p| bench.tree.node(p).and_then(|n| n.data()).map_or(0, <[u8]>::len)).sum();
    println!("read, scattered       {} ns", start.elapsed().as_nanos() as usize / PROBES);
    assert_eq!(bytes, PROBES * 100, "every path was found");

    let sets: Vec<Txn> = scattered(znodes).map(|i| bench.set(i, &data)).collect();
    println!("setData, scattered    {:.0} ns", bench.apply_all(&sets));
    clones(&bench.tree);

    let view = bench.tree.view();
    let before = resident_bytes();
    let sets: Vec<Txn> = scattered(znodes).map(|i| bench.set(i, &data)).collect();
    let txns = resident_bytes() - before;
    println!("setData under a view  {:.0} ns", bench.apply_all(&sets));
    println!("  memory it cost      {} MB", (resident_bytes() - before - txns) / 1_000_000);
    let start = Instant::now();
    let mut walk = view.walk();
    let mut walked = 0;
    while let Some(step) = walk.next() {
        walked += usize::from(step.node.data().is_some());
    }
    println!(
        "walk of the view      {} ns per node, {walked} nodes",
        start.elapsed().as_nanos() as usize / walked
    );
}

fn clones(tree: &Tree) {
    let start = Instant::now();
    let views: Vec<Tree> = (0..1_000).map(|_| tree.view()).collect();
    println!("clone                 {} ns", start.elapsed().as_nanos() / 1_000);
    drop(views);
    let small = Tree::new();
    let start = Instant::now();
    let views: Vec<Tree> = (0..1_000).map(|_| small.view()).collect();
    println!("clone, fresh tree     {} ns", start.elapsed().as_nanos() / 1_000);
    drop(views);
}
