//! The differential tester: the same random requests to Apache's server and to Zoarium, in step, and everything that both send
//! compared field by field.
//!
//! A chapter is a sequence of [`step::Step`]s over a few sessions. After each step every session is pinged, so all that a
//! step caused is seen before the next begins, and no difference can come from timing. At its end both trees are
//! walked and cleared. Left out of the comparison is only what must differ ([`seen::Meanings`]: session ids, times, the order
//! of lists that have none) and what a release is known to do differently ([`release::Allowed`]). The first difference is
//! shrunk to a short sequence ([`shrink`]).

pub mod draw;
pub mod pair;
pub mod release;
pub mod seen;
pub mod shrink;
pub mod side;
pub mod step;
pub mod tally;
mod tree;
pub mod worlds;

use std::fmt;

use seen::{Body, Seen};
use step::Step;

/// Where the servers differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The step that showed it.
    pub step: Step,
    /// The session that saw it.
    pub session: usize,
    /// What Java sent it in this step.
    pub java: Vec<Seen>,
    /// What Zoarium sent it.
    pub ours: Vec<Seen>,
}

impl Difference {
    /// What kind of difference it is: the first frames that differ, without their numbers. A shrunk sequence shows the same.
    pub fn kind(&self) -> (String, String) {
        let rows = self.java.len().max(self.ours.len());
        let rows = (0..rows).map(|at| (self.java.get(at), self.ours.get(at)));
        let first = rows.into_iter().find(|(java, ours)| java != ours).unwrap_or_default();
        (outline(first.0), outline(first.1))
    }
}

fn outline(seen: Option<&Seen>) -> String {
    match seen {
        None => "nothing".into(),
        Some(Seen::Reply { err, body: Body::Of(reply), .. }) => {
            let reply = format!("{reply:?}");
            format!("reply {err} with {}", reply.split('(').next().unwrap_or_default())
        }
        Some(Seen::Reply { err, .. }) => format!("reply {err}"),
        Some(Seen::Event { event, .. }) => format!("event {}", event.kind),
        Some(other @ (Seen::Connected { .. } | Seen::Closed | Seen::Silence)) => format!("{other:?}"),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {}", self.step)?;
        writeln!(f, "session {} saw", self.session)?;
        let rows = self.java.len().max(self.ours.len());
        for at in 0..rows {
            let (java, ours) = (self.java.get(at), self.ours.get(at));
            if java == ours {
                writeln!(f, "  both   {}", show(java))?;
            } else {
                writeln!(f, "  Java   {}\n  ours   {}", show(java), show(ours))?;
            }
        }
        Ok(())
    }
}

fn show(seen: Option<&Seen>) -> String {
    seen.map_or_else(|| "nothing".into(), |seen| format!("{seen:?}"))
}
