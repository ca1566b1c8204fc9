//! Every random decision has a name (simulation brief §2.2).
//!
//! A decision is `(site, entity, n)`: which line decides, about which link, disk, node or client, how many-th time. Its value
//! is the n-th output of a ChaCha8 stream that the seed and `(site, entity)` name. So taking a fault away leaves all
//! decisions about everything else as they were, and shrinking does not destroy what it looks for.
//!
//! All draws are made here from raw 64-bit outputs, with integers only: no library's change of algorithm, and no
//! processor's idea of a float, can change what a seed means.

use std::collections::BTreeMap;
use std::time::Duration;

use zk_core::rng::Dice as Stream;

/// Which line of the simulator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[allow(missing_docs)] // the names say it
pub enum Site {
    /// Order of events that are due at the same time.
    Tie = 1,
    /// Values of a scenario that are given as ranges.
    Plan,
    /// Delay of a chunk on a link.
    Delay,
    /// How sent bytes are cut into chunks.
    Chunk,
    /// How much of what is in flight a reset lets through.
    Reset,
    DiskWrite,
    DiskSync,
    /// Which unsynced sectors survive a power cut.
    Survive,
    Rot,
    ShortWrite,
    ApplyDelay,
    SnapshotDelay,
    ReplicaSeed,
    ClientThink,
    ClientOp,
    ClientPath,
    ClientServer,
    ClientBack,
    RandomFault,
    Selector,
    Restart,
    Shrink,
    /// Everything about one connection between servers.
    Wire,
    /// Which of several servers with one id answers a dial.
    Twin,
    /// A bounded world's core and what lies outside of it.
    Core,
}

/// The dice of one run.
#[derive(Clone, Debug)]
pub struct Dice {
    seed: u64,
    streams: BTreeMap<(Site, u32), Stream>,
}

impl Dice {
    /// All decisions of this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, streams: BTreeMap::new() }
    }

    /// The seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The next 64 bits of a decision.
    pub fn draw(&mut self, site: Site, entity: u32) -> u64 {
        let stream = (site as u64) << 32 | u64::from(entity);
        self.streams.entry((site, entity)).or_insert_with(|| Stream::new(self.seed, stream)).next_u64()
    }

    /// A value in `0..bound`; `bound` 0 gives 0.
    pub fn below(&mut self, site: Site, entity: u32, bound: u64) -> u64 {
        scale(self.draw(site, entity), bound)
    }

    /// A value in `low..=high`.
    pub fn between(&mut self, site: Site, entity: u32, low: u64, high: u64) -> u64 {
        low + self.below(site, entity, high.saturating_sub(low).saturating_add(1))
    }

    /// True with probability `num / den`.
    pub fn chance(&mut self, site: Site, entity: u32, num: u64, den: u64) -> bool {
        self.below(site, entity, den) < num
    }

    /// An exponentially distributed duration with this mean, cut off at sixteen times of it.
    pub fn exponential(&mut self, site: Site, entity: u32, mean: Duration) -> Duration {
        exponential_of(self.draw(site, entity), mean)
    }
}

/// The same from 64 random bits.
pub fn exponential_of(bits: u64, mean: Duration) -> Duration {
    let mean = mean.as_nanos() as u64;
    Duration::from_nanos(((u128::from(mean) * u128::from(exponential(bits))) >> 16) as u64)
}

/// A decision about one of very many things: no state is kept for it.
pub fn mix(seed: u64, site: Site, entity: u64, n: u64) -> u64 {
    let mut z =
        seed ^ (site as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ entity.rotate_left(17) ^ n.rotate_left(41);
    for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xff51_afd7_ed55_8ccd] {
        z = (z ^ (z >> 30)).wrapping_mul(multiplier);
    }
    z ^ (z >> 31)
}

/// Maps 64 random bits to `0..bound` by multiplication; the bias is below bound / 2^64.
pub fn scale(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// −ln(u) in 16.16 fixed point, for u = (bits + 1) / 2^64: the whole number of halvings is ln 2 each, the rest is
/// interpolated in a table of −ln over [1/2, 1].
fn exponential(bits: u64) -> u64 {
    const LN_2: u64 = 45_426;
    /// 65536 × −ln(1/2 + i/32), i = 0..=16.
    const TABLE: [u64; 17] = [
        45_426, 41_453, 37_707, 34_164, 30_803, 27_606, 24_558, 21_645, 18_857, 16_182, 13_613, 11_142,
        8_761, 6_464, 4_246, 2_102, 0,
    ];
    let bits = bits.max(1);
    let halvings = u64::from(bits.leading_zeros());
    // The fraction in [1/2, 1), as 32 bits below the leading one.
    let mantissa = (bits << halvings) << 1 >> 32;
    let (i, rest) = ((mantissa >> 28) as usize, mantissa & 0xfff_ffff);
    let (from, to) = (TABLE[i], TABLE[i + 1]);
    (halvings * LN_2 + from - (((from - to) * rest) >> 28)).min(16 << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_of_one_site_do_not_depend_on_those_of_another() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        for _ in 0..10 {
            a.draw(Site::Rot, 1);
            a.draw(Site::Delay, 2);
        }
        let draws = |dice: &mut Dice| (0..5).map(|_| dice.draw(Site::Delay, 1)).collect::<Vec<_>>();
        assert_eq!(draws(&mut a), draws(&mut b));
        assert_ne!(draws(&mut Dice::new(8)), draws(&mut Dice::new(7)));
    }

    #[test]
    fn bounded_draws_reach_both_ends_and_no_further() {
        let mut dice = Dice::new(1);
        let all: Vec<u64> = (0..2_000).map(|_| dice.between(Site::Plan, 0, 3, 9)).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&3), Some(&9)));
        assert_eq!(dice.below(Site::Plan, 0, 0), 0);
        assert_eq!(dice.between(Site::Plan, 0, 5, 5), 5);
    }

    #[test]
    fn the_exponential_has_its_mean_and_its_tail() {
        let mut dice = Dice::new(3);
        let mean = Duration::from_micros(1_000);
        let n = 40_000;
        let all: Vec<u64> =
            (0..n).map(|_| dice.exponential(Site::Delay, 0, mean).as_nanos() as u64).collect();
        let average = all.iter().sum::<u64>() / n;
        assert!((980_000..1_020_000).contains(&average), "{average}");
        let beyond = |times: u64| all.iter().filter(|x| **x > times * 1_000_000).count() as u64;
        assert!((n / 8 - n / 80..n / 7).contains(&(beyond(2))), "e^-2 is 0.135: {}", beyond(2));
        assert!(beyond(6) > 0 && beyond(16) == 0);
    }

    #[test]
    fn mixed_decisions_are_spread() {
        let ones: u32 = (0..1_000).map(|n| mix(1, Site::Survive, 5, n).count_ones()).sum();
        assert!((31_000..33_000).contains(&ones), "{ones}");
    }
}
