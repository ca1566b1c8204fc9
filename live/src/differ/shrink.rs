//! A chapter that shows a difference, made shorter while it shows one.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Difference;
use super::pair::Pair;
use super::step::{Act, Ask, Step};
use super::tally::Tally;
use super::worlds::World;
use crate::java::Install;
use zk_core::wire::request::Request;

/// Plays candidates, on the same servers as long as they agree.
#[derive(Debug)]
pub struct Shrinker<'a> {
    install: &'a Install,
    world: &'a World,
    pair: Option<Pair>,
    kind: Option<(String, String)>,
    ends: Instant,
}

impl<'a> Shrinker<'a> {
    /// One that stops looking after `patience`.
    pub fn new(install: &'a Install, world: &'a World, patience: Duration) -> Self {
        Self { install, world, pair: None, kind: None, ends: Instant::now() + patience }
    }

    /// The shortest sequence found that shows a difference, and that difference; `None` if not even `steps` does on
    /// fresh servers.
    pub fn shrink(&mut self, steps: &[Step]) -> Result<Option<(Vec<Step>, Difference)>> {
        let Some(difference) = self.differs(steps)? else { return Ok(None) };
        self.kind = Some(difference.kind());
        let mut best = (steps.to_vec(), difference);
        let mut chunk = best.0.len().div_ceil(2);
        while chunk > 0 && Instant::now() < self.ends {
            let mut begin = 0;
            while begin < best.0.len() && Instant::now() < self.ends {
                let mut fewer = best.0.clone();
                fewer.drain(begin..(begin + chunk).min(fewer.len()));
                match self.differs(&fewer)? {
                    Some(difference) => best = (fewer, difference),
                    None => begin += chunk,
                }
            }
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
        self.thin(&mut best)?;
        self.thin_multis(&mut best)?;
        Ok(Some(best))
    }

    /// Takes single requests out of steps.
    fn thin(&mut self, best: &mut (Vec<Step>, Difference)) -> Result<()> {
        for step in 0..best.0.len() {
            let mut at = 0;
            while Instant::now() < self.ends {
                let mut fewer = best.0.clone();
                let Act::Ask(asks) = &mut fewer[step].act else { break };
                if asks.len() < 2 || at >= asks.len() {
                    break;
                }
                asks.remove(at);
                match self.differs(&fewer)? {
                    Some(difference) => *best = (fewer, difference),
                    None => at += 1,
                }
            }
        }
        Ok(())
    }

    /// Takes single operations out of multis.
    fn thin_multis(&mut self, best: &mut (Vec<Step>, Difference)) -> Result<()> {
        let places: Vec<(usize, usize)> = best
            .0
            .iter()
            .enumerate()
            .flat_map(|(at, step)| (0..step.operations()).map(move |ask| (at, ask)))
            .collect();
        for (step, ask) in places {
            let mut at = 0;
            while Instant::now() < self.ends {
                let mut fewer = best.0.clone();
                let Act::Ask(asks) = &mut fewer[step].act else { break };
                let Ask::Whole(Request::Multi(ops)) = &mut asks[ask] else { break };
                if at >= ops.len() {
                    break;
                }
                ops.remove(at);
                match self.differs(&fewer)? {
                    Some(difference) => *best = (fewer, difference),
                    None => at += 1,
                }
            }
        }
        Ok(())
    }

    fn differs(&mut self, steps: &[Step]) -> Result<Option<Difference>> {
        let mut pair = match self.pair.take() {
            Some(pair) => pair,
            None => Pair::start(self.install, self.world)?,
        };
        let difference = pair.play(steps, &mut Tally::default())?;
        // Servers that differ in one thing may differ in more from there on.
        if difference.is_none() {
            self.pair = Some(pair);
        }
        Ok(difference.filter(|found| self.kind.as_ref().is_none_or(|kind| *kind == found.kind())))
    }
}
