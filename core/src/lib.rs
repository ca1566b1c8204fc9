//! The heart of Zoarium: everything that ZooKeeper means, as plain values.
//!
//! What this crate **is**: the byte formats of the client port, the transaction log and the snapshots; the
//! znode tree; sessions; watches; the serving order; and the replica that decides. A driver feeds it inputs and
//! carries out the actions that come back. Two drivers exist: the seeded simulator (`sim`) and the real one
//! (`net`). Neither decides anything.
//!
//! What this crate **is not**: it has no clock, file, socket, thread, runtime or entropy of its own. It is
//! `no_std`, so those cannot even be named here. Time and seeds come in as arguments; what should be written,
//! sent or closed goes out as values, in an order that is itself the safety argument.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

// First: its macro is used in the others.
#[macro_use]
pub mod museum;

pub mod action;
pub mod address;
pub mod auth;
pub mod config;
pub mod disk;
pub mod election;
pub mod error;
pub mod event;
pub mod front;
pub mod ids;
pub mod input;
pub mod peer;
pub mod prep;
pub mod quorum;
pub mod replica;
pub mod rng;
pub mod session;
pub mod text;
pub mod time;
pub mod tree;
pub mod watch;
pub mod wire;
