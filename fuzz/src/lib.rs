//! Random fault search over the simulator, and byte targets for every decoder.
//!
//! A seed draws which faults, loads and extreme settings exist at all, then how often they come (swarm testing). A failure
//! is shrunk and written down as a scenario without anything left to chance.

pub mod attempt;
pub mod draft;
pub mod hunt;
#[cfg(feature = "museum")]
pub mod museum;
pub mod shrink;
pub mod targets;
