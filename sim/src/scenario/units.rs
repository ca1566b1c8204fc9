//! Numbers as scenarios write them: `200ms`, `64KiB`, `1/4`, `1.0002`, and ranges and choices of them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::dice::{Dice, Site};

/// A kind of number with its notation.
pub trait Unit: Sized + Clone {
    /// What an error message asks for.
    const EXPECTED: &'static str;
    /// Reads one.
    fn parse(text: &str) -> Option<Self>;
    /// From a plain TOML integer.
    fn from_integer(n: u64) -> Option<Self>;
    /// As steps between which a range is drawn.
    fn to_steps(&self) -> u64;
    /// Back again.
    fn from_steps(steps: u64) -> Self;
}

impl Unit for u32 {
    const EXPECTED: &'static str = "a whole number";
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_integer(n: u64) -> Option<Self> {
        Self::try_from(n).ok()
    }
    fn to_steps(&self) -> u64 {
        u64::from(*self)
    }
    fn from_steps(steps: u64) -> Self {
        steps as Self
    }
}

/// A length of time, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub u64);

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_nanos(span.0)
    }
}

impl Span {
    /// In whole milliseconds.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [(60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
        let (size, unit) =
            units.into_iter().find(|(size, _)| self.0.is_multiple_of(*size)).expect("1 divides all");
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl Unit for Span {
    const EXPECTED: &'static str = "a duration such as 200ms, 5s or 1.5s";
    fn parse(text: &str) -> Option<Self> {
        let units = [
            ("min", 60_000_000_000),
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
            ("s", 1_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        let (number, size) =
            units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim(), *size)))?;
        decimal(number, size).map(Self)
    }
    fn from_integer(_: u64) -> Option<Self> {
        None
    }
    fn to_steps(&self) -> u64 {
        self.0
    }
    fn from_steps(steps: u64) -> Self {
        Self(steps)
    }
}

/// `number` times `size`, where the number may have a fraction.
fn decimal(number: &str, size: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut value = whole.checked_mul(size)?;
    let mut step = size;
    for digit in fraction.chars() {
        step /= 10;
        value = value.checked_add(step * u64::from(digit.to_digit(10)?))?;
    }
    Some(value)
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Unit for Size {
    const EXPECTED: &'static str = "a size such as 4096, 64KiB or 1MiB";
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix("/s").unwrap_or(text);
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1), ("", 1)];
        let (number, size) =
            units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?.trim(), *size)))?;
        decimal(number, size).map(Self)
    }
    fn from_integer(n: u64) -> Option<Self> {
        Some(Self(n))
    }
    fn to_steps(&self) -> u64 {
        self.0
    }
    fn from_steps(steps: u64) -> Self {
        Self(steps)
    }
}

/// A ratio: `1/4`, `1.0002`, `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(pub u64, pub u64);

impl Default for Ratio {
    fn default() -> Self {
        Self(0, 1)
    }
}

const RATIO_DEN: u64 = 1_000_000;

impl Unit for Ratio {
    const EXPECTED: &'static str = "a ratio such as 1/4 or 1.0002";
    fn parse(text: &str) -> Option<Self> {
        if let Some((num, den)) = text.split_once('/') {
            let (num, den) = (num.trim().parse().ok()?, den.trim().parse().ok()?);
            return (den > 0).then_some(Self(num, den));
        }
        decimal(text, RATIO_DEN).map(|num| Self(num, RATIO_DEN))
    }
    fn from_integer(n: u64) -> Option<Self> {
        Some(Self(n, 1))
    }
    fn to_steps(&self) -> u64 {
        (u128::from(self.0) * u128::from(RATIO_DEN) / u128::from(self.1)) as u64
    }
    fn from_steps(steps: u64) -> Self {
        Self(steps, RATIO_DEN)
    }
}

/// The rare long delay among others: `1/1000:2s`, one in so many and the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// 0: none.
    pub one_in: u64,
    /// At most.
    pub longest: Span,
}

impl<'de> Deserialize<'de> for Tail {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parts =
            text.split_once(':').and_then(|(ratio, span)| Some((Ratio::parse(ratio)?, Span::parse(span)?)));
        let (ratio, longest) = parts.ok_or_else(|| {
            de::Error::custom(format!("\"{text}\": expected \"1/1000:2s\", one in so many and the longest"))
        })?;
        Ok(Self { one_in: ratio.1.checked_div(ratio.0).unwrap_or(0), longest })
    }
}

/// Operations per second: `100/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerSecond(pub u64);

impl<'de> Deserialize<'de> for PerSecond {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = text.strip_suffix("/s").and_then(|number| number.trim().parse().ok());
        number.filter(|number| *number > 0).map(Self).ok_or_else(|| {
            de::Error::custom(format!("\"{text}\": expected operations per second, such as \"100/s\""))
        })
    }
}

/// A value, a range from which one is drawn, or a choice of which one is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drawn<T> {
    /// Always this.
    Fixed(T),
    /// Anything between, both ends included.
    Range(T, T),
    /// One of these.
    Choice(Vec<T>),
}

impl<T: Unit> Drawn<T> {
    /// The value in this run. `entity` tells the places apart at which the same key stands.
    pub fn draw(&self, dice: &mut Dice, entity: u32) -> T {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Range(low, high) => {
                T::from_steps(dice.between(Site::Plan, entity, low.to_steps(), high.to_steps()))
            }
            Self::Choice(values) => {
                values[dice.below(Site::Plan, entity, values.len() as u64) as usize].clone()
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.split_once("..") {
            Some((low, high)) => {
                let (low, high) = (T::parse(low.trim())?, T::parse(high.trim())?);
                (low.to_steps() <= high.to_steps()).then_some(Self::Range(low, high))
            }
            None => T::parse(text.trim()).map(Self::Fixed),
        }
    }
}

impl<'de, T: Unit> Deserialize<'de> for Drawn<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DrawnVisitor(PhantomData))
    }
}

struct DrawnVisitor<T>(PhantomData<T>);

impl<'de, T: Unit> Visitor<'de> for DrawnVisitor<T> {
    type Value = Drawn<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, a range \"a..b\" of them, or a list to choose from", T::EXPECTED)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Self::Value, E> {
        let value = u64::try_from(n).ok().and_then(T::from_integer);
        value.map(Drawn::Fixed).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(n), &self))
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Self::Value, E> {
        self.visit_str(&n.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Drawn::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Drawn::Fixed(value)) = list.next_element::<Drawn<T>>()? {
            values.push(value);
        }
        if values.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Drawn::Choice(values)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_ratios_are_read_as_written() {
        assert_eq!(Span::parse("200us"), Some(Span(200_000)));
        assert_eq!(Span::parse("1.5s"), Some(Span(1_500_000_000)));
        assert_eq!(Span::parse("2min"), Some(Span(120_000_000_000)));
        assert_eq!(
            (Span::parse("5"), Span::parse("s"), Span::parse("-1s"), Span::parse("1.xs")),
            (None, None, None, None)
        );
        assert_eq!(Size::parse("64KiB"), Some(Size(65_536)));
        assert_eq!(Size::parse("64KiB/s"), Some(Size(65_536)));
        assert_eq!(Size::parse("100"), Some(Size(100)));
        assert_eq!(Ratio::parse("1/4"), Some(Ratio(1, 4)));
        assert_eq!(Ratio::parse("1.0002"), Some(Ratio(1_000_200, 1_000_000)));
        assert_eq!(Ratio::parse("1/0"), None);
    }

    #[test]
    fn spans_print_as_they_are_written() {
        for text in ["200us", "5s", "2min", "1500ms", "7ns", "0min"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn ranges_and_choices_are_drawn_from() {
        let mut dice = Dice::new(1);
        let range = Drawn::<Span>::parse("1ms..3ms").unwrap();
        let choice = Drawn::Choice(vec![2u32, 4]);
        for entity in 0..100 {
            assert!((1_000_000..=3_000_000).contains(&range.draw(&mut dice, entity).0));
            assert!([2, 4].contains(&choice.draw(&mut dice, entity)));
        }
        assert_eq!(Drawn::<u32>::parse("5..3"), None);
    }
}
