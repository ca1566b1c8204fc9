//! The product: what an operator types and reads around one Zoarium node. No protocol decision is made here.

mod asked;
pub mod bench;
pub mod check;
pub mod cli;
pub mod compatibility;
pub mod config;
mod config_files;
pub mod diff;
mod environment;
pub mod exit;
pub mod failover;
pub mod files;
mod jvm_flags;
mod logging;
pub mod run;
mod signals;
