//! What an event costs in memory.
//!
//! The loop itself (its heap, what is scheduled, the wires, the disks) takes none once its queues have room: what was
//! taken for one event serves the next. What servers put out must be new memory, since others keep it: txns, their bytes
//! in logs and on wires, nodes of trees, and what the oracle remembers of them. That is measured, and may not grow.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use zk_core::disk::{Dir, FileName, FileOp};
use zk_core::ids::LinkId;
use zk_sim::clock::Time;
use zk_sim::disk::Disk;
use zk_sim::network::{Arrival, Delay};
use zk_sim::run::{Options, Runner};
use zk_sim::scenario::Scenario;
use zk_sim::wires::{Machine, Name, Side, WireDue, Wires};
use zk_sim::world::{Due, Step, World};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    f();
    COUNT.with(Cell::get) - before
}

const LAN: Delay = Delay {
    min: Duration::from_micros(50),
    mean: Duration::from_micros(150),
    tail_one_in: 2_000,
    tail: Duration::from_millis(20),
};

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

#[test]
fn the_heap_takes_no_memory_for_an_event() {
    let mut world = World::new(1, false, LAN, Wires::new(1, LAN), 0);
    for n in 0..100 {
        world.schedule(Time(1_000 * n), Due::Begin(n as u32));
    }
    let mut turn = || {
        for _ in 0..10_000 {
            let Ok(Step::Begin(n)) = world.step(Time(u64::MAX)) else { panic!("one of those that are due") };
            world.schedule(world.now.plus(1_000 + u64::from(n)), Due::Begin(n));
        }
    };
    turn();
    assert_eq!(allocations(turn), 0);
}

/// Carries out what is due until nothing is; what has arrived, in bytes.
fn deliver(wires: &mut Wires, due: &mut Vec<(Time, WireDue)>, later: &mut Vec<(Time, WireDue)>) -> usize {
    let mut arrived = 0;
    wires.take_due(due);
    while !due.is_empty() {
        for (at, what) in due.drain(..) {
            match what {
                WireDue::Knock(id) => wires.knock(at, id, Machine::Answers),
                WireDue::Arrive(id, side) => {
                    while let Some((_, arrival)) = wires.arrive(at, id, side, Machine::Answers) {
                        arrived += if let Arrival::Bytes(bytes) = arrival { bytes.len() } else { 0 };
                    }
                }
                WireDue::GiveUp(id, side, since) => wires.give_up(at, id, side, since),
            }
            wires.take_due(later);
        }
        std::mem::swap(due, later);
    }
    arrived
}

#[test]
fn a_wire_takes_no_memory_for_a_message() {
    let mut wires = Wires::new(1, LAN);
    let (mut due, mut later) = (Vec::new(), Vec::new());
    let dialler = Name::Quorum(LinkId::Dialled(1));
    wires.dial(Time(0), 1, dialler, 2);
    deliver(&mut wires, &mut due, &mut later);
    let accepted = Name::Quorum(LinkId::Accepted(1));
    assert_eq!(wires.peer(2, accepted), Some(1), "it stands");
    let (ping, mut now) = (Bytes::from_static(&[7; 100]), Time(1_000_000_000));
    let mut turn = || {
        for n in 0..2_000 {
            now = now.plus(1_000_000);
            // Bursts, of which queues must hold more than one message.
            for _ in 0..=n % 8 {
                wires.send(now, 1, dialler, ping.clone());
                wires.send(now, 2, accepted, ping.clone());
            }
            let sent = 200 * (n % 8 + 1);
            assert_eq!(deliver(&mut wires, &mut due, &mut later), sent);
        }
    };
    turn();
    // Bytes of a constant are split without memory.
    assert_eq!(allocations(turn), 0);
    assert!(wires.node_at(zk_sim::wires::WireId(1), Side::Dialler).is_some());
}

#[test]
fn a_disk_takes_memory_for_what_is_written_and_none_for_writing() {
    const PAGE: u64 = 4096;
    let file = || FileName { dir: Dir::Log, name: "log.1".to_owned() };
    let mut disk = Disk::new(1, 1);
    disk.run(&FileOp::Create(file())).unwrap();
    disk.run(&FileOp::Allocate { file: file(), len: 256 * PAGE }).unwrap();
    let (record, sync) = (Bytes::from_static(&[9; 160]), FileOp::SyncData(file()));
    let write =
        |n: u64| FileOp::WriteAt { file: file(), offset: n * record.len() as u64, bytes: record.clone() };
    let writes: Vec<FileOp> = (0..2_000).map(write).collect();
    let mut run = |writes: &[FileOp]| {
        for (n, write) in writes.iter().enumerate() {
            disk.run(write).unwrap();
            // Groups of one to three records are synced together.
            if n % 7 == 0 || n % 3 == 0 {
                disk.run(&sync).unwrap();
            }
        }
    };
    run(&writes[..1_000]);
    let pages = 1_000 * record.len() / PAGE as usize + 1;
    let count = allocations(|| run(&writes[1_000..]));
    assert!(count <= pages, "{count} for {pages} pages");
}

/// Allocations and events of a run between the third second and the end, when nothing is new any more.
fn steady(text: &str) -> (usize, u64) {
    let scenario = Scenario::parse(text).unwrap();
    let mut runner = Runner::new(&scenario, 1, Options::default()).unwrap();
    while runner.world.now < Time(3_000_000_000) {
        runner.one().unwrap();
    }
    let before = runner.world.trace.events();
    let count = allocations(|| {
        while runner.world.now < Time(20_000_000_000) {
            runner.one().unwrap();
        }
    });
    (count, runner.world.trace.events() - before)
}

#[test]
fn an_ensemble_takes_memory_for_what_its_servers_put_out_and_hardly_more() {
    let of = |load: &str| {
        let text = format!(
            "title = \"\"\nduration = \"30s\"\n[cluster]\nvoters = 3\n[[workload]]\nclients = 10\n{load}\n"
        );
        let (count, events) = steady(&text);
        count as f64 / events as f64
    };
    // Measured: 0.33 for heartbeats alone, and 3.43 for three servers, ten clients and the oracle at 100 operations per
    // second, which is 43 for an operation all told.
    let quiet = of("think = \"1h\"");
    let loaded = of("rate = \"100/s\"");
    assert!(quiet < 0.4, "{quiet}");
    assert!(loaded < 3.6, "{loaded}");
}
