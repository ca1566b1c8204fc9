//! What byte streams are made of, and those between clients and servers (simulation brief §5.1). Those between servers are in
//! [`crate::wires`].
//!
//! A connection is two directions, each strictly first in, first out: no byte overtakes another. What is sent arrives in
//! chunks cut anywhere, each after a delay. A reset lets a random part of what is under way through, cut anywhere too, and
//! the two ends learn of it each in its own time. A cut link silences both directions; what was sent meanwhile is lost.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Time;
use crate::dice::{self, Dice, Site};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// What arrives at an end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The connection is there (only at the server, first).
    Opened,
    /// Bytes.
    Bytes(Bytes),
    /// The other end closed after what came before.
    Closed,
}

/// How long things take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// At least this.
    pub min: Duration,
    /// And this more on average, exponentially.
    pub mean: Duration,
    /// One chunk in so many takes up to `tail` longer; 0 is none.
    pub tail_one_in: u64,
    /// See there.
    pub tail: Duration,
}

impl Delay {
    /// Draws one.
    pub fn draw(&self, dice: &mut Dice, site: Site, entity: u32) -> u64 {
        self.pick(|| dice.draw(site, entity))
    }

    /// The same from a source of random bits.
    pub fn pick(&self, mut bits: impl FnMut() -> u64) -> u64 {
        let mut ns = self.min.as_nanos() as u64;
        if !self.mean.is_zero() {
            ns += dice::exponential_of(bits(), self.mean).as_nanos() as u64;
        }
        if self.tail_one_in > 0 && dice::scale(bits(), self.tail_one_in) < 1 {
            ns += dice::scale(bits(), self.tail.as_nanos() as u64);
        }
        ns
    }
}

/// One direction of a connection.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    under_way: VecDeque<(Time, Arrival)>,
    /// Nothing may arrive before what was sent before it.
    last: Time,
    /// Nobody listens at the far end any more.
    deaf: bool,
}

impl Stream {
    /// Sends; the moment at which it will arrive, if anybody is there to hear it.
    pub fn send(&mut self, at: Time, arrival: Arrival) -> Option<Time> {
        if self.deaf {
            return None;
        }
        self.last = self.last.max(at);
        self.under_way.push_back((self.last, arrival));
        Some(self.last)
    }

    /// What would arrive later than `at` arrives then. How many arrivals that are.
    pub fn hasten(&mut self, at: Time) -> usize {
        let late = self.under_way.iter_mut().filter(|(due, _)| *due > at);
        self.last = self.last.min(at);
        late.map(|(due, _)| *due = at).count()
    }

    /// What has arrived by now.
    pub fn take(&mut self, now: Time) -> Option<Arrival> {
        self.under_way.pop_front_if(|(at, _)| *at <= now).map(|(_, arrival)| arrival)
    }

    /// When the next thing arrives.
    pub fn next(&self) -> Option<Time> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// Cuts what is under way: only a part of it arrives, and then the end.
    pub fn reset(&mut self, now: Time, dice: &mut Dice, entity: u32) -> Option<Time> {
        if self.deaf { None } else { self.cut_off(now, dice.draw(Site::Reset, entity)) }
    }

    /// The same from 64 random bits.
    pub fn cut_off(&mut self, now: Time, bits: u64) -> Option<Time> {
        if self.deaf {
            return None;
        }
        let total: usize = self.under_way.iter().map(|(_, arrival)| len(arrival)).sum();
        let mut left = dice::scale(bits, total as u64 + 1) as usize;
        let mut kept = VecDeque::new();
        for (at, arrival) in std::mem::take(&mut self.under_way) {
            match arrival {
                Arrival::Bytes(bytes) if bytes.len() > left => {
                    if left > 0 {
                        kept.push_back((at, Arrival::Bytes(bytes.slice(..left))));
                    }
                    break;
                }
                Arrival::Closed => break,
                arrival => {
                    left -= len(&arrival);
                    kept.push_back((at, arrival));
                }
            }
        }
        self.under_way = kept;
        self.finish(now)
    }

    /// The end of the stream, behind what is under way.
    pub fn finish(&mut self, now: Time) -> Option<Time> {
        let at = self.send(now, Arrival::Closed);
        self.deaf = true;
        at
    }

    /// True if its end is on its way, or nobody listens.
    pub const fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Bytes under way.
    pub fn len(&self) -> usize {
        self.under_way.iter().map(|(_, arrival)| len(arrival)).sum()
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Nothing more arrives, not even the end.
    pub fn silence(&mut self) {
        self.under_way.clear();
        self.deaf = true;
    }
}

fn len(arrival: &Arrival) -> usize {
    if let Arrival::Bytes(bytes) = arrival { bytes.len() } else { 0 }
}

/// Takes the next chunk that arrives off what is sent: mostly all of it, sometimes a piece, cut anywhere.
pub fn next_chunk(rest: &mut Bytes, mut bits: impl FnMut() -> u64) -> Bytes {
    if rest.len() > 1 && dice::scale(bits(), 16) < 1 {
        rest.split_to(1 + dice::scale(bits(), rest.len() as u64 - 1) as usize)
    } else {
        std::mem::take(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Arrival {
        Arrival::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn nothing_overtakes() {
        let mut stream = Stream::default();
        assert_eq!(stream.send(Time(50), bytes("a")), Some(Time(50)));
        assert_eq!(stream.send(Time(20), bytes("b")), Some(Time(50)));
        assert_eq!(stream.take(Time(49)), None);
        assert_eq!((stream.take(Time(50)), stream.take(Time(50))), (Some(bytes("a")), Some(bytes("b"))));
    }

    #[test]
    fn a_reset_lets_a_prefix_through_and_then_the_end() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let mut stream = Stream::default();
            stream.send(Time(1), bytes("ab"));
            stream.send(Time(2), bytes("cde"));
            stream.reset(Time(1), &mut Dice::new(seed), 0);
            let mut text = String::new();
            let mut ended = false;
            while let Some(arrival) = stream.take(Time(10)) {
                match arrival {
                    Arrival::Bytes(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                    _ => ended = true,
                }
            }
            assert!(ended && "abcde".starts_with(&text), "{text}");
            assert_eq!(stream.send(Time(11), bytes("late")), None);
            seen.insert(text.len());
        }
        assert_eq!(seen.len(), 6, "cut at every byte");
    }

    #[test]
    fn chunks_are_what_was_sent() {
        let mut dice = Dice::new(1);
        let mut most = 0;
        for _ in 0..500 {
            let mut pieces = Vec::new();
            let mut rest = Bytes::from_static(b"0123456789");
            while !rest.is_empty() {
                pieces.push(next_chunk(&mut rest, || dice.draw(Site::Chunk, 0)));
            }
            assert_eq!(pieces.concat(), b"0123456789");
            most = most.max(pieces.len());
        }
        assert!(most > 2);
    }
}
