//! The opcodes of the client port, and how far each is served: what `docs/compatibility.md` is made of.

use super::client::op;

/// An opcode that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub op: i32,
    /// Its name, as clients call it.
    pub name: &'static str,
    /// How it is served.
    pub served: Served,
}

/// How an operation is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The leader gives it a place in the order of all writes.
    Ordered,
    /// The same, if this key allows it.
    OrderedWith(&'static str),
    /// The server that is asked answers, from its own state.
    Here,
    /// It is no txn, and waits for the leader.
    Waits,
    /// It comes from no client by itself; the text says from where.
    Never(&'static str),
    /// It is answered as by a Java server that lacks the same; the text says what.
    Without(&'static str),
}

use Served::{Here, Never, Ordered, OrderedWith, Waits, Without};

/// All of them. Whatever is not among them is answered with -6 and a close.
pub const OPERATIONS: &[Operation] = &[
    of(op::CREATE, "create", Ordered),
    of(op::DELETE, "delete", Ordered),
    of(op::EXISTS, "exists", Here),
    of(op::GET_DATA, "getData", Here),
    of(op::SET_DATA, "setData", Ordered),
    of(op::GET_ACL, "getACL", Here),
    of(op::SET_ACL, "setACL", Ordered),
    of(op::GET_CHILDREN, "getChildren", Here),
    of(op::SYNC, "sync", Waits),
    of(op::PING, "ping", Here),
    of(op::GET_CHILDREN2, "getChildren2", Here),
    of(op::CHECK, "check", Never("a part of multi")),
    of(op::MULTI, "multi", Ordered),
    of(op::CREATE2, "create2", Ordered),
    of(op::RECONFIG, "reconfig", OrderedWith("reconfigEnabled")),
    of(op::CHECK_WATCHES, "checkWatches", Here),
    of(op::REMOVE_WATCHES, "removeWatches", Here),
    of(op::CREATE_CONTAINER, "createContainer", Ordered),
    of(op::DELETE_CONTAINER, "deleteContainer", Never("the leader's own")),
    of(op::CREATE_TTL, "createTTL", OrderedWith("extendedTypesEnabled")),
    of(op::MULTI_READ, "multiRead", Here),
    of(op::AUTH, "auth", Here),
    of(op::SET_WATCHES, "setWatches", Here),
    of(op::SASL, "sasl", Without("a SASL provider: an empty token")),
    of(op::GET_EPHEMERALS, "getEphemerals", Here),
    of(op::GET_ALL_CHILDREN_NUMBER, "getAllChildrenNumber", Here),
    of(op::SET_WATCHES2, "setWatches2", Here),
    of(op::ADD_WATCH, "addWatch", Here),
    of(op::WHO_AM_I, "whoAmI", Here),
    of(op::CREATE_SESSION, "createSession", Never("made of a handshake")),
    of(op::CLOSE_SESSION, "closeSession", Ordered),
];

const fn of(op: i32, name: &'static str, served: Served) -> Operation {
    Operation { op, name, served }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::request::Request;

    #[test]
    fn the_table_has_every_opcode_that_is_decoded_and_no_other() {
        for op in -300..=300 {
            let is_decoded = !matches!(Request::decode(op, Bytes::new()), Ok(None));
            let listed = OPERATIONS.iter().filter(|operation| operation.op == op).count();
            assert_eq!(listed, usize::from(is_decoded), "opcode {op}");
        }
    }
}
