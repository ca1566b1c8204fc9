//! Sessions: ids, passwords, the table and its expiry buckets. Liveness only: what a session owns is in the tree.

mod expiry;
mod id;
mod password;
mod table;

pub use id::SessionIds;
pub use password::{PASSWORD_LEN, is_right, password};
pub use table::{Owner, SessionInfo, SessionTable};
