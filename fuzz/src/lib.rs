//! Random fault search over the simulator, and byte targets for every decoder.
//!
//! A seed draws which faults, loads and extreme settings exist at all, then how often they come (swarm testing). A failure
//! is shrunk and written down as a scenario without anything left to chance.

pub mod draft;
pub mod hunt;
pub mod shrink;
pub mod targets;
