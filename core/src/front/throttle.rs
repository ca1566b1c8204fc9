//! [`ConnectionThrottle`]: how many handshakes are let in per time (`connection_throttle_*`; Java: `BlueThrottle`).
//!
//! A bucket of tokens, filled as time goes by, of which each handshake takes some. Alone it turns away whoever happens to
//! come late in each interval, again and again; so handshakes may also be turned away at random, more of them the longer the
//! bucket stays empty. Probabilities are in millionths.

use crate::rng::Dice;
use crate::time::Mono;

/// See the module. Java's names are without `zookeeper.connection_throttle_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// `tokens`: what the bucket holds; 0 lets everybody in.
    pub tokens: u32,
    /// `fill_time`: so often it is filled, ms.
    pub fill_time_ms: u32,
    /// `fill_count`: with so many.
    pub fill_count: u32,
    /// Turning away at random; `None`: the bucket alone decides.
    pub blue: Option<Blue>,
    /// `weight_enabled` and its kin; `None`: every handshake takes one token.
    pub weights: Option<Weights>,
}

/// Turning away at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blue {
    /// `freeze_time`: between two changes of the probability, ms.
    pub freeze_ms: u32,
    /// `drop_increase`, millionths: added while the bucket is empty.
    pub increase: u32,
    /// `drop_decrease`, millionths: taken off while no more than `ratio` of the bucket is missing.
    pub decrease: u32,
    /// `decrease_ratio`, millionths.
    pub ratio: u32,
}

/// Tokens that a handshake takes. With them the bucket and its filling are counted in sessions of the ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// `global_session_weight`: the unit of the bucket and its filling.
    pub global: u32,
    /// A new session, which is this server's alone (`local_session_weight`) with `localSessionsEnabled`.
    pub new: u32,
    /// `renew_session_weight`: a session that comes back.
    pub renewed: u32,
}

/// Java's.
impl Default for Weights {
    fn default() -> Self {
        Self { global: 3, new: 3, renewed: 2 }
    }
}

impl ThrottleSettings {
    /// Everybody is let in.
    pub const OFF: Self = Self { tokens: 0, fill_time_ms: 1, fill_count: 1, blue: None, weights: None };

    fn need(&self, what: Handshake) -> u64 {
        self.weights.map_or(1, |weights| {
            u64::from(match what {
                Handshake::New => weights.new,
                Handshake::Renewed => weights.renewed,
            })
        })
    }
}

/// What a handshake asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// A new session.
    New,
    /// A session that comes back.
    Renewed,
}

/// What a handshake met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing is throttled.
    Unlimited,
    /// It is let in; so many tokens are missing in the bucket now.
    Granted {
        /// Tokens.
        deficit: u64,
    },
    /// It is turned away.
    Denied,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ConnectionThrottle {
    settings: ThrottleSettings,
    capacity: u64,
    fill: u64,
    tokens: u64,
    filled: Mono,
    /// Millionths.
    drop: u32,
    changed: Mono,
    dice: Dice,
}

const CERTAIN: u32 = 1_000_000;

impl ConnectionThrottle {
    /// With a full bucket. `seed` feeds what is left to chance.
    pub fn new(settings: ThrottleSettings, seed: u64, now: Mono) -> Self {
        let unit = u64::from(settings.weights.map_or(1, |weights| weights.global));
        let capacity = unit * u64::from(settings.tokens);
        let fill = unit * u64::from(settings.fill_count);
        let dice = Dice::new(seed, 0);
        Self { settings, capacity, fill, tokens: capacity, filled: now, drop: 0, changed: now, dice }
    }

    /// Is a handshake let in? If so, its tokens are taken.
    pub fn admit(&mut self, what: Handshake, now: Mono) -> Admission {
        if self.capacity == 0 {
            return Admission::Unlimited;
        }
        self.refill(now);
        let need = self.settings.need(what);
        if self.drops(now) || self.tokens < need {
            return Admission::Denied;
        }
        self.tokens -= need;
        Admission::Granted { deficit: self.capacity - self.tokens }
    }

    /// How likely a handshake is turned away by chance, millionths.
    pub const fn drop_probability(&self) -> u32 {
        self.drop
    }

    fn refill(&mut self, now: Mono) {
        let (passed_ms, interval_ms) =
            (millis_since(self.filled, now), u64::from(self.settings.fill_time_ms));
        if passed_ms > interval_ms {
            let more = passed_ms.saturating_mul(self.fill) / interval_ms.max(1);
            self.tokens = self.tokens.saturating_add(more).min(self.capacity);
            self.filled = now;
        }
    }

    fn drops(&mut self, now: Mono) -> bool {
        let Some(blue) = self.settings.blue else { return false };
        if millis_since(self.changed, now) > u64::from(blue.freeze_ms) {
            let missing = self.capacity - self.tokens;
            if missing == self.capacity {
                self.drop = self.drop.saturating_add(blue.increase).min(CERTAIN);
            } else if missing * u64::from(CERTAIN) <= self.capacity * u64::from(blue.ratio) {
                self.drop = self.drop.saturating_sub(blue.decrease);
            }
            self.changed = now;
        }
        self.dice.chance(self.drop.into(), CERTAIN.into())
    }
}

fn millis_since(then: Mono, now: Mono) -> u64 {
    now.since(then) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    fn throttle(settings: ThrottleSettings) -> ConnectionThrottle {
        ConnectionThrottle::new(settings, 7, at(0))
    }

    fn let_in(throttle: &mut ConnectionThrottle, what: Handshake, ms: u64, asks: usize) -> usize {
        (0..asks).filter(|_| throttle.admit(what, at(ms)) != Admission::Denied).count()
    }

    #[test]
    fn without_tokens_everybody_is_let_in() {
        let mut throttle = throttle(ThrottleSettings::OFF);
        assert_eq!(throttle.admit(Handshake::New, at(0)), Admission::Unlimited);
        assert_eq!(let_in(&mut throttle, Handshake::Renewed, 0, 1000), 1000);
    }

    #[test]
    fn a_burst_takes_what_the_bucket_holds_and_time_fills_it_again() {
        let mut throttle = throttle(ThrottleSettings {
            tokens: 10,
            fill_time_ms: 100,
            fill_count: 2,
            ..ThrottleSettings::OFF
        });
        assert_eq!(throttle.admit(Handshake::New, at(0)), Admission::Granted { deficit: 1 });
        assert_eq!(let_in(&mut throttle, Handshake::New, 0, 20), 9);
        assert_eq!(let_in(&mut throttle, Handshake::New, 100, 20), 0, "not before the interval is over");
        assert_eq!(let_in(&mut throttle, Handshake::New, 200, 20), 4);
        assert_eq!(let_in(&mut throttle, Handshake::New, 1_000_000, 20), 10, "no more than it holds");
    }

    #[test]
    fn weights_make_a_session_of_the_ensemble_the_unit() {
        let weights = Some(Weights::default());
        let settings = ThrottleSettings {
            tokens: 4,
            fill_time_ms: 1000,
            fill_count: 1,
            weights,
            ..ThrottleSettings::OFF
        };
        assert_eq!(let_in(&mut throttle(settings), Handshake::New, 0, 20), 4);
        assert_eq!(let_in(&mut throttle(settings), Handshake::Renewed, 0, 20), 6);
        let local = Some(Weights { new: 1, ..Weights::default() });
        let settings = ThrottleSettings { weights: local, ..settings };
        assert_eq!(let_in(&mut throttle(settings), Handshake::New, 0, 20), 12);
    }

    #[test]
    fn an_empty_bucket_makes_chance_turn_more_and_more_away_and_a_full_one_fewer() {
        let blue = Some(Blue { freeze_ms: 10, increase: 100_000, decrease: 50_000, ratio: 500_000 });
        let mut throttle = throttle(ThrottleSettings {
            tokens: 5,
            fill_time_ms: 1_000_000,
            fill_count: 1,
            blue,
            ..ThrottleSettings::OFF
        });
        assert_eq!(let_in(&mut throttle, Handshake::New, 0, 10), 5);
        for round in 1..=20 {
            assert_eq!(let_in(&mut throttle, Handshake::New, round * 11, 3), 0);
            assert_eq!(throttle.drop_probability(), u32::min(round as u32 * 100_000, 1_000_000));
        }
        // Full again, but certain to turn everybody away until it has been full for a while.
        assert_eq!(let_in(&mut throttle, Handshake::New, 100_000_000, 5), 0);
        for round in 1..=30 {
            let _ = throttle.admit(Handshake::New, at(100_000_000 + round * 10_000_000));
        }
        assert_eq!(throttle.drop_probability(), 0);
        assert_eq!(let_in(&mut throttle, Handshake::New, 900_000_000, 10), 5);
    }
}
