//! What lies between servers: how long bytes take, where they do not get through, how many of them do, and what becomes of
//! them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Port;
use crate::dice;
use crate::network::Delay;

/// Names a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CutId(u64);

/// What happens to what is sent on a path that is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is sent again and again until it arrives, or the sender gives up.
    Lose,
    /// It waits, for ever if need be: the receiver's window is closed.
    Hold,
    /// Nothing, where a connection stands. A new one neither comes about nor is refused.
    Hang,
}

/// From these to those nothing gets through.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Nodes.
    pub from: Vec<u32>,
    /// Nodes.
    pub to: Vec<u32>,
    /// On this port only; `None`: on both.
    pub port: Option<Port>,
    /// See there.
    pub kind: Kind,
}

/// All paths between servers.
#[derive(Clone, Debug)]
pub struct Paths {
    default: Delay,
    delays: BTreeMap<(u32, u32), Delay>,
    rates: BTreeMap<(u32, u32), u64>,
    garbled: BTreeMap<(u32, u32), u64>,
    cuts: BTreeMap<CutId, Cut>,
    next: u64,
    /// Between these nothing is cut.
    healed: Vec<u32>,
}

impl Paths {
    /// All alike.
    pub const fn new(default: Delay) -> Self {
        Self {
            default,
            delays: BTreeMap::new(),
            rates: BTreeMap::new(),
            garbled: BTreeMap::new(),
            cuts: BTreeMap::new(),
            next: 0,
            healed: Vec::new(),
        }
    }

    /// How long bytes take.
    pub fn delay(&self, from: u32, to: u32) -> &Delay {
        if self.delays.is_empty() {
            return &self.default;
        }
        self.delays.get(&(from, to)).unwrap_or(&self.default)
    }

    /// From now on they take so long.
    pub fn set_delay(&mut self, from: u32, to: u32, delay: Delay) {
        self.delays.insert((from, to), delay);
    }

    /// Bytes per second, where that is limited.
    pub fn rate(&self, from: u32, to: u32) -> Option<u64> {
        self.rates.get(&(from, to)).copied()
    }

    /// Limits them, or no longer.
    pub fn set_rate(&mut self, from: u32, to: u32, rate: Option<u64>) {
        match rate {
            Some(rate) => self.rates.insert((from, to), rate),
            None => self.rates.remove(&(from, to)),
        };
    }

    /// One chunk in so many gets a wrong bit; `None`: none does.
    pub fn set_garbled(&mut self, from: u32, to: u32, one_in: Option<u64>) {
        match one_in {
            Some(one_in) => self.garbled.insert((from, to), one_in),
            None => self.garbled.remove(&(from, to)),
        };
    }

    pub(super) fn garble(&self, from: u32, to: u32, chunk: Bytes, mut bits: impl FnMut() -> u64) -> Bytes {
        let Some(one_in) = self.garbled.get(&(from, to)) else { return chunk };
        if chunk.is_empty() || dice::scale(bits(), *one_in) > 0 {
            return chunk;
        }
        let bit = dice::scale(bits(), chunk.len() as u64 * 8);
        let mut wrong = chunk.to_vec();
        wrong[(bit / 8) as usize] ^= 1 << (bit % 8);
        Bytes::from(wrong)
    }

    pub(super) fn cut(&mut self, cut: Cut) -> CutId {
        self.next += 1;
        self.cuts.insert(CutId(self.next), cut);
        CutId(self.next)
    }

    pub(super) fn mend(&mut self, id: CutId) {
        self.cuts.remove(&id);
    }

    /// Every cut that there is.
    pub fn cuts(&self) -> Vec<CutId> {
        self.cuts.keys().copied().collect()
    }

    /// True if a dial neither connects nor fails: one of its ways is cut.
    pub fn hangs(&self, from: u32, to: u32, port: Port) -> bool {
        let bars = |from, to| self.bars(from, to, port).next().is_some();
        bars(from, to) || bars(to, from)
    }

    /// Why nothing gets through here, if nothing does.
    pub fn blocked(&self, from: u32, to: u32, port: Port) -> Option<Kind> {
        self.bars(from, to, port).filter(|kind| *kind != Kind::Hang).max()
    }

    fn bars(&self, from: u32, to: u32, port: Port) -> impl Iterator<Item = Kind> {
        let is_healed = self.healed.contains(&from) && self.healed.contains(&to);
        let is_here = move |cut: &&Cut| {
            cut.port.is_none_or(|barred| barred == port) && cut.from.contains(&from) && cut.to.contains(&to)
        };
        let cuts = (!is_healed).then_some(&self.cuts).into_iter().flat_map(BTreeMap::values);
        cuts.filter(is_here).map(|cut| cut.kind)
    }

    /// Between these nodes every path is as it was in the beginning, and stays so.
    pub(super) fn heal(&mut self, core: &[u32]) {
        let is_within = |path: &(u32, u32)| core.contains(&path.0) && core.contains(&path.1);
        self.garbled.retain(|path, _| !is_within(path));
        self.rates.retain(|path, _| !is_within(path));
        self.healed = core.to_vec();
    }
}
