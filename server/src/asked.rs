//! What the signals of a process ask for, one after the other.

use std::time::{Duration, Instant};

/// Signals that come so soon after the first one are the same wish: a terminal sends its Ctrl-C to every process of the
/// group, and whoever watches over them passes it on.
const SAME_WISH: Duration = Duration::from_secs(1);

/// A signal that ends processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM, from whoever watches over the process.
    Terminate,
    /// SIGINT, from a person at a terminal.
    Interrupt,
}

impl Signal {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}

/// What is to be done about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A clean stop.
    Stop,
    /// Nothing more than was asked for already.
    Known,
    /// The end, here and now: a person does not want to wait for the clean stop.
    End,
}

/// Remembers when a stop was first asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked(Option<Instant>);

impl Asked {
    /// A clean stop takes some seconds at most, so a second SIGTERM changes nothing: only a person who repeats herself is in
    /// a hurry.
    pub(crate) fn hear(&mut self, signal: Signal, now: Instant) -> Wish {
        let Some(first) = self.0 else {
            self.0 = Some(now);
            return Wish::Stop;
        };
        let again = signal == Signal::Interrupt && now.duration_since(first) >= SAME_WISH;
        if again { Wish::End } else { Wish::Known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Signal::{Interrupt, Terminate};

    #[test]
    fn a_second_sigterm_changes_nothing_and_only_a_person_in_a_hurry_ends_it() {
        let start = Instant::now();
        let later = start + SAME_WISH;
        for first in [Terminate, Interrupt] {
            let mut asked = Asked::default();
            assert_eq!(asked.hear(first, start), Wish::Stop);
            assert_eq!(asked.hear(Terminate, start), Wish::Known);
            assert_eq!(asked.hear(Interrupt, start), Wish::Known);
            assert_eq!(asked.hear(Terminate, later), Wish::Known);
            assert_eq!(asked.hear(Interrupt, later), Wish::End);
        }
    }
}
