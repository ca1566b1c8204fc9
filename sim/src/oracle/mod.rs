//! The oracle: what must hold in every run, checked at every event (simulation brief §7, §10.1).
//!
//! It sees everything: what clients ask and hear, what nodes log, promise, apply and recover. Every reply carries a zxid,
//! so a reply is checked against the state of that very zxid; nothing is searched.

mod commits;
mod ensemble;
mod history;
mod invariant;
mod judge;
mod ledger;
mod reads;
mod states;
mod watches;

pub use commits::{Asking, Commits, Committed};
pub use ensemble::{Ensemble, Limits, Load, Loss as Destroyed};
pub use history::{ClientId, Histories, Seen};
pub use invariant::{Invariant, Violation};
pub use ledger::Ledger;
pub use states::{End, Life, Node, Pending, Rules, States};
pub use watches::{Registry, event};
