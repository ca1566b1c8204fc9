//! The shim: sockets, files, clocks and threads around one core.
//!
//! What this crate **is**: the threads of one server and the queues between them, the real files under the core's file
//! operations, the client port, and the locks that let many threads read one tree. What it is **not**: it decides nothing.
//! Which reply comes before which, what is durable when, who is refused: all that is [`zk_core`], which the simulator runs
//! as well.
//!
//! The way of a write: a connection's task reads it and takes the replica's seat ([`consensus`]); the record goes to the
//! disk thread ([`mod@log`], [`disk::executor`]), or, where it came from another server, is written by the thread that read
//! it; when it is durable that thread takes the seat, applies the txn under the gate
//! ([`gate`]), and writes the reply ([`client::outbuf`]). The way of a read: a task, the gate's shared side, the socket.

mod apply;
mod bell;
pub mod client;
pub mod clock;
mod consensus;
pub mod disk;
mod events;
pub mod gate;
pub mod lanes;
mod log;
pub mod metrics;
pub mod node;
mod pace;
pub mod peer;
mod seat;
mod shared;
pub mod snapshot;
mod sync;

pub use shared::OnFailure;
