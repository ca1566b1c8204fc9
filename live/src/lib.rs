//! Real processes on the loopback address: Zoarium and Apache ZooKeeper servers, ensembles of both, and client programs.
//!
//! Whatever is started here is ended by its own pid when its handle is dropped, and listens only on 127.0.0.1 with a
//! port that was free a moment before. What a test needs and the machine lacks is an error that says how to get it:
//! nothing is skipped.

pub mod client;
pub mod differ;
pub mod ensemble;
pub mod java;
pub mod kazoo;
pub mod port;
pub mod process;
pub mod zoarium;
mod zoo_cfg;
