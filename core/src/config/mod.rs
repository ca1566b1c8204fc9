//! Settings as data: who the members of an ensemble are, and what a reconfig makes of them.

pub mod change;
pub mod member;
pub mod quorum_config;
