//! Settings as data: who the members of an ensemble are.

pub mod member;
pub mod quorum_config;
