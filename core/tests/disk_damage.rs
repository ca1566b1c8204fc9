//! A directory that a real Java server left, damaged in every way that one file can be: cut at every byte, every bit flipped, gone,
//! empty, in another's place. Whatever is recovered is a state that the server had, and no shorter than what is told.

mod memory;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;

use memory::{CONFIG, Memory, named};
use zk_core::disk::FileName;
use zk_core::disk::recovery::{Recovered, recover};
use zk_core::disk::txnlog::{HEADER_LEN, LogReader};
use zk_core::event::Event;
use zk_core::ids::Zxid;
use zk_core::tree::{ApplyMode, Changes, Tree};
use zk_core::wire::txn::Txn;

/// Behind its records a log is zeros: so many bytes of them are damaged bit by bit, and further on one in so many.
const PADDING: usize = 40;
const PADDING_STEP: usize = 509;

type Files = Vec<(FileName, Vec<u8>)>;

/// The directory, and every state that its server had.
struct Left {
    files: Files,
    states: BTreeMap<Zxid, State>,
    last: Zxid,
}

/// Everything in a tree but what is outside of the txn stream.
#[derive(PartialEq, Eq)]
struct State(Vec<String>);

impl State {
    fn of(tree: &Tree) -> Self {
        let mut lines = vec![format!("{} {:x}", tree.last_zxid(), tree.digest())];
        lines.extend(tree.sessions().map(|session| format!("{session:?}")));
        let mut walk = tree.walk();
        let mut nodes = Vec::new();
        while let Some(step) = walk.next() {
            let node = step.node;
            nodes.push(format!("{} {:?} {:?} {:?}", step.path, node.persisted(), node.data(), node.acl()));
        }
        nodes.sort_unstable();
        lines.extend(nodes);
        Self(lines)
    }
}

/// Whether a server can know that something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    Left,
    /// The newest log is gone, or ends between two records, or before the first: a directory like that is sound.
    None,
}

/// What became of one damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Whole,
    Shorter,
    Refused,
}

type Counts = BTreeMap<Outcome, usize>;

impl Left {
    fn by_java(directory: &str) -> Self {
        let dir: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests/golden/data", directory, "data/version-2"].iter().collect();
        let mut files = Files::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let file = named(path.file_name().unwrap().to_str().unwrap());
            files.push((file, fs::read(&path).unwrap()));
        }
        files.sort();
        let states = states(&files);
        let last = *states.last_key_value().unwrap().0;
        Self { files, states, last }
    }

    fn memory(&self) -> Memory {
        Memory::with(self.files.iter().cloned())
    }

    /// Judges what is recovered after this.
    fn judge(&self, what: &str, file: &FileName, trace: Trace, damage: impl FnOnce(&mut Memory)) -> Outcome {
        let mut memory = self.memory();
        damage(&mut memory);
        let Recovered { tree, last_zxid, events, .. } = match recover(&mut memory, &CONFIG) {
            Ok(found) => found,
            Err(fault) => {
                let said = fault.to_string();
                assert!(said.contains("log.") || said.contains("snapshot"), "{what}: which file? {said}");
                return Outcome::Refused;
            }
        };
        let state = self.states.get(&last_zxid).unwrap_or_else(|| panic!("{what}: {last_zxid} never was"));
        assert!(*state == State::of(&tree), "{what}: another tree at {last_zxid}; {events:?}");
        let told =
            |event: &Event| matches!(event, Event::TornTailDropped { file: told, .. } if *told == file.name);
        if last_zxid == self.last {
            return Outcome::Whole;
        }
        assert!(
            trace == Trace::None || events.iter().any(told),
            "{what}: cut to {last_zxid} without a word; {events:?}"
        );
        Outcome::Shorter
    }

    /// Judges one damage at each of these places, on two threads.
    fn each(
        &self,
        file: &FileName,
        places: &[usize],
        without_trace: &[usize],
        damage: impl Fn(&mut Vec<u8>, usize) + Sync,
    ) -> Counts {
        let half = |places: &[usize]| {
            let mut counts = Counts::new();
            for place in places {
                let what = format!("{} at {place}", file.name);
                let trace = if without_trace.contains(place) { Trace::None } else { Trace::Left };
                let outcome = self.judge(&what, file, trace, |memory| damage(memory.bytes(file), *place));
                *counts.entry(outcome).or_default() += 1;
            }
            counts
        };
        let (a, b) = places.split_at(places.len() / 2);
        thread::scope(|scope| {
            let other = scope.spawn(|| half(b));
            let mut counts = half(a);
            for (outcome, n) in other.join().unwrap() {
                *counts.entry(outcome).or_default() += n;
            }
            counts
        })
    }
}

/// The first snapshot, and behind it one txn after the other.
fn states(files: &Files) -> BTreeMap<Zxid, State> {
    let first = files.iter().find(|(name, _)| name.name.starts_with("snapshot.0")).unwrap();
    let mut tree = recover(&mut Memory::with([first.clone()]), &CONFIG).unwrap().tree;
    let mut states = BTreeMap::from([(tree.last_zxid(), State::of(&tree))]);
    for (name, bytes) in files.iter().filter(|(name, _)| name.name.starts_with("log.")) {
        let mut memory = Memory::with([(name.clone(), bytes.clone())]);
        let mut reader =
            LogReader::open(&mut memory, name.clone(), bytes.len() as u64, CONFIG.record_max).unwrap();
        while let Some(record) = reader.next_record().unwrap() {
            let txn = Txn::decode(record.bytes).unwrap();
            tree.apply(&txn, ApplyMode::Replay, &mut Changes::new());
            states.insert(tree.last_zxid(), State::of(&tree));
        }
    }
    states
}

/// Bytes up to the last that is not zero, some behind it, and a sample of the rest.
fn worth_damaging(bytes: &[u8]) -> Vec<usize> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let near = (end + PADDING).min(bytes.len());
    (0..near).chain((near..bytes.len()).step_by(PADDING_STEP)).collect()
}

/// Lengths of a log that ends behind a record, or before the first, with nothing but zeros behind that.
fn between_records(file: &FileName, bytes: &[u8]) -> Vec<usize> {
    if !file.name.starts_with("log.") {
        return Vec::new();
    }
    let mut ends = vec![HEADER_LEN as usize];
    let mut memory = Memory::with([(file.clone(), bytes.to_vec())]);
    let mut reader =
        LogReader::open(&mut memory, file.clone(), bytes.len() as u64, CONFIG.record_max).unwrap();
    while let Some(record) = reader.next_record().unwrap() {
        // A record is whole without its last byte, as for Java.
        ends.extend([record.end() as usize - 1, record.end() as usize]);
    }
    let zeros_behind = |end: usize| {
        (end..=bytes.len()).take_while(move |len| bytes[end..*len].iter().all(|byte| *byte == 0))
    };
    (0..HEADER_LEN as usize).chain(ends.into_iter().flat_map(zeros_behind)).collect()
}

/// With digests and without; with all their snapshots, and with the first alone, so that every log is needed.
fn directories() -> Vec<(String, Left)> {
    let mut all = Vec::new();
    for name in ["3.8.0/data-standalone-bare", "3.9.5/data-standalone-snappy"] {
        all.push((name.to_owned(), Left::by_java(name)));
        let mut left = Left::by_java(name);
        left.files
            .retain(|(file, _)| !file.name.starts_with("snapshot.") || file.name.starts_with("snapshot.0"));
        all.push((format!("{name}, first snapshot only"), left));
    }
    all
}

fn add(total: &mut Counts, counts: &Counts) {
    for (outcome, n) in counts {
        *total.entry(*outcome).or_default() += n;
    }
}

#[test]
fn a_file_cut_at_any_byte_leaves_a_state_that_was_or_is_refused() {
    let mut total = Counts::new();
    for (directory, left) in directories() {
        for (file, bytes) in &left.files {
            let counts =
                left.each(file, &worth_damaging(bytes), &between_records(file, bytes), Vec::truncate);
            println!("{directory}: {} cut: {counts:?}", file.name);
            add(&mut total, &counts);
        }
    }
    assert_eq!(total.len(), 3, "{total:?}");
    println!("cut: {total:?}");
}

#[test]
fn a_file_with_any_bit_flipped_leaves_a_state_that_was_or_is_refused() {
    let mut total = Counts::new();
    for (directory, left) in directories() {
        for (file, bytes) in &left.files {
            let bits: Vec<_> = worth_damaging(bytes)
                .into_iter()
                .flat_map(|byte| (0..8).map(move |bit| 8 * byte + bit))
                .collect();
            let counts = left.each(file, &bits, &[], |bytes, place| bytes[place / 8] ^= 1 << (place % 8));
            println!("{directory}: {} flipped: {counts:?}", file.name);
            add(&mut total, &counts);
        }
    }
    // What was once whole is never taken for torn.
    assert!(total.keys().eq(&[Outcome::Whole, Outcome::Refused]), "{total:?}");
    println!("flipped: {total:?}");
}

#[test]
fn files_that_are_gone_or_empty_or_in_another_s_place_leave_a_state_that_was_or_are_refused() {
    for (directory, left) in directories() {
        for (file, bytes) in &left.files {
            let gone =
                left.judge(&format!("{} gone", file.name), file, Trace::None, |memory| memory.remove(file));
            let empty = left.judge(&format!("{} empty", file.name), file, Trace::None, |memory| {
                memory.bytes(file).clear()
            });
            println!("{directory}: {} gone: {gone:?}, empty: {empty:?}", file.name);
            // Without digests a snapshot does not say what it is of, but by its name.
            if directory.contains("bare") {
                continue;
            }
            for (other, _) in left.files.iter().filter(|(other, _)| other != file) {
                let what = format!("{} in place of {}", file.name, other.name);
                left.judge(&what, other, Trace::None, |memory| memory.bytes(other).clone_from(bytes));
                let what = format!("{} and {} swapped", file.name, other.name);
                left.judge(&what, other, Trace::None, |memory| {
                    let theirs = std::mem::replace(memory.bytes(other), bytes.clone());
                    *memory.bytes(file) = theirs;
                });
            }
        }
    }
}
