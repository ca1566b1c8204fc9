//! A checker that was never seen to fail is not trusted: for each invariant across servers, a conversation that breaks it.

mod disks;
mod elections;
mod history;
mod scene;
mod sessions;
