//! The product: what an operator types and reads around one Zoarium node. No protocol decision is made here.

pub mod bench;
pub mod config;
pub mod exit;
