//! The seeded simulator: the code that ships, on disks that lie, with clocks that drift, under clients that check every
//! answer (simulation brief).
//!
//! One world is one thread and one heap of events. The same seed is the same run, to the byte.

pub mod client;
pub mod clock;
pub mod crashpoints;
pub mod dice;
pub mod disk;
pub mod explore;
pub mod faults;
pub mod network;
pub mod node;
pub mod oracle;
pub mod report;
pub mod run;
pub mod scenario;
pub mod setup;
pub mod sweep;
pub mod trace;
pub mod wires;
pub mod workload;
pub mod world;
