//! Records that the client protocol and the transaction log share.

use bytes::BytesMut;

use super::jute::{Jute, Reader, record};
use crate::error::DecodeError;
use crate::ids::{SessionId, Zxid};
use crate::text::Text;
use crate::time::WallMs;

/// An identity: on a connection, or in an ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// `world`, `digest`, `ip`, `auth`, `x509`, `sasl`, `super`. A null scheme reads as the empty one, which no
    /// provider serves: it is an invalid ACL (-114) and not an undecodable request (semantics §7.3).
    pub scheme: Text,
    /// What the scheme says: `anyone`, `user:base64(sha1)`, an address. A null one (as kazoo sends the empty one) reads as
    /// empty, except behind a scheme whose ids are looked at: there Java stumbles over it (-5).
    pub id: Text,
}

impl Jute for Id {
    const MIN_LEN: usize = 8;

    fn encode(&self, out: &mut BytesMut) {
        self.scheme.encode(out);
        self.id.encode(out);
    }

    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let scheme = Option::<Text>::decode(r)?.unwrap_or_default();
        let id = match &*scheme {
            "world" | "digest" | "ip" => Text::decode(r)?,
            _ => Option::<Text>::decode(r)?.unwrap_or_default(),
        };
        Ok(Self { scheme, id })
    }
}

record! {
    /// One entry of an access control list.
    Acl {
        /// READ 1, WRITE 2, CREATE 4, DELETE 8, ADMIN 16; other bits are kept untouched.
        perms: i32,
        /// Whom the entry speaks of.
        id: Id,
    }
}

/// Permission bits.
pub mod perms {
    #![allow(missing_docs)]
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

impl Acl {
    /// `world:anyone` with these permission bits.
    pub const fn world(perms: i32) -> Self {
        Self { perms, id: Id { scheme: Text::from_static("world"), id: Text::from_static("anyone") } }
    }
}

record! {
    /// A node's stat as a client sees it, 68 bytes (semantics §2).
    #[derive(Copy, Default)]
    Stat {
        /// Zxid of the create.
        czxid: Zxid,
        /// Zxid of the last change of data.
        mzxid: Zxid,
        /// Wall time of the create, ms.
        ctime: WallMs,
        /// Wall time of the last change of data, ms.
        mtime: WallMs,
        /// Changes of data.
        version: i32,
        /// Changes of children: `2 × creates − numChildren`.
        cversion: i32,
        /// Changes of the ACL.
        aversion: i32,
        /// Owning session, 0 for all but normal ephemerals.
        ephemeral_owner: i64,
        /// Bytes of data, 0 for null.
        data_length: i32,
        /// Children.
        num_children: i32,
        /// Zxid of the last change of children.
        pzxid: Zxid,
    }
}

record! {
    /// A node's stat as snapshots hold it, 60 bytes (disk format §5).
    #[derive(Copy, Default)]
    StatPersisted {
        /// As in [`Stat`].
        czxid: Zxid,
        /// As in [`Stat`].
        mzxid: Zxid,
        /// As in [`Stat`].
        ctime: WallMs,
        /// As in [`Stat`].
        mtime: WallMs,
        /// As in [`Stat`].
        version: i32,
        /// The *creates* counter, not the client's cversion.
        cversion: i32,
        /// As in [`Stat`].
        aversion: i32,
        /// Session, or the container or TTL code (disk format §4).
        ephemeral_owner: i64,
        /// As in [`Stat`].
        pzxid: Zxid,
    }
}

impl StatPersisted {
    /// What a client sees of this.
    pub const fn seen(&self, data_length: i32, num_children: i32, ephemeral_owner: SessionId) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: ephemeral_owner.0,
            data_length,
            num_children,
            pzxid: self.pzxid,
        }
    }
}
