//! Free loopback ports.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Result, bail};

/// Below those that the system gives to clients: a server that is down for a moment finds its port free when it comes back.
const PORTS: Range<u16> = 12_000..32_000;
/// Places where free ones are looked for.
const TRIES: u64 = 1000;

/// A port that nobody listened on a moment ago. A server that must come back on the same port after a crash needs a
/// number, not a bound socket; that the port is taken in between is possible and then shows as a failed start.
pub fn free() -> Result<u16> {
    Ok(free_of(1)?[0])
}

/// The same for several that differ.
pub fn free_of(count: usize) -> Result<Vec<u16>> {
    // All are held until the last is found.
    let mut held = Vec::new();
    let dice = RandomState::new();
    for n in 0..TRIES {
        let port = PORTS.start + (dice.hash_one(n) % u64::from(PORTS.end - PORTS.start)) as u16;
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok().map(|listener| (port, listener)));
        if held.len() == count {
            return Ok(held.into_iter().map(|(port, _)| port).collect());
        }
    }
    bail!("no {count} free loopback ports from {} to {}", PORTS.start, PORTS.end)
}
