//! Real files: reading them at start, carrying out what the core's planner wants done, and whose they are.

pub mod directories;
pub(crate) mod errands;
pub mod executor;
pub mod files;
mod holders;
pub mod rewrites;
