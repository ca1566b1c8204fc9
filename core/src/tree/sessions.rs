//! Sessions that live at this zxid, with the timeouts they were created with. Their liveness is not known here.

use super::ordered::OrderedMap;
use crate::ids::SessionId;

#[derive(Clone, Debug)]
pub(super) struct Sessions(OrderedMap<SessionId, i32>);

impl Sessions {
    pub(super) fn new() -> Self {
        Self(OrderedMap::new())
    }

    pub(super) fn open(&mut self, id: SessionId, timeout_ms: i32) {
        self.0.insert(id, timeout_ms);
    }

    pub(super) fn close(&mut self, id: SessionId) {
        self.0.remove(&id);
    }

    pub(super) fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.0.get(&id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, i32)> {
        self.0.iter().map(|(id, timeout)| (*id, *timeout))
    }
}
