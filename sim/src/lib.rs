//! The simulator.
pub mod oracle;
