//! Clients of the world, each on a connection of its own.

use std::sync::Arc;

use zk_core::auth::AuthInfo;
use zk_core::ids::{ConnId, SessionId, Sid};
use zk_core::input::{Access, ClientRequest, Input, RequestBody, SessionAsk, Touch};
use zk_core::wire::request::Request;

use super::{Server, World, show};

impl World {
    pub(crate) fn connect(&mut self, sid: Sid, conn: ConnId, ask: SessionAsk) {
        self.connect_for(sid, conn, ask, Access::ReadWrite);
    }

    pub(crate) fn connect_for(&mut self, sid: Sid, conn: ConnId, ask: SessionAsk, access: Access) {
        self.up(sid).conns.insert(conn, None);
        self.step(sid, Input::Connect { conn, ask, access });
    }

    pub(crate) fn request(&mut self, sid: Sid, conn: ConnId, session: SessionId, body: RequestBody) {
        self.xid += 1;
        let request =
            ClientRequest { conn, session, xid: self.xid, auth: Arc::new(AuthInfo::default()), body };
        self.step(sid, Input::Request(request));
    }

    pub(crate) fn op(&mut self, sid: Sid, conn: ConnId, op: Request) {
        let session = self.up(sid).conns.get(&conn).copied().flatten();
        let session = session.unwrap_or_else(|| panic!("{} has no session", show::conn(conn)));
        self.request(sid, conn, session, RequestBody::Op(op));
    }

    pub(crate) fn touch(&mut self, sid: Sid, session: SessionId) {
        self.step(sid, Input::Touched(vec![Touch { session, timeout_ms: 4000 }]));
    }

    /// On which server a connection is.
    pub(crate) fn home(&self, conn: ConnId) -> Option<Sid> {
        let serves = |server: &Server| server.up.as_ref().is_some_and(|up| up.conns.contains_key(&conn));
        self.servers.iter().find(|(_, server)| serves(server)).map(|(sid, _)| *sid)
    }
}
