//! The grammar of `server.N` lines (Java: `QuorumPeer.QuorumServer`), in zoo.cfg and in config texts alike:
//!
//! ```text
//! server.<N> = <address> [ | <address> ]... [ ; <client> ]
//! address   := host : quorumPort : electionPort [ : participant | observer ]
//! client    := [ host : ] port
//! host      := name | IPv4 | [ IPv6 ]
//! ```
//!
//! With several addresses the role stands behind any of them; Java writes it behind the last.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use thiserror::Error;

use crate::address::{Bracketed, HostPort, parse_port, split_host};
use crate::ids::Sid;

/// One server of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The N of `server.N`.
    pub sid: Sid,
    /// At least one; more with `multiAddress.enabled`.
    pub addresses: Vec<Address>,
    /// Whether it votes.
    pub role: Role,
    /// Where it serves clients, if the line says so; `0.0.0.0` if it tells a port only, as Java reads it.
    pub client: Option<HostPort>,
}

/// Where the other servers reach a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// Learners connect to the leader there.
    pub quorum_port: u16,
    /// Votes travel there.
    pub election_port: u16,
}

/// Whether a server votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It votes.
    Participant,
    /// It only follows.
    Observer,
}

/// Why a line is none. Shown, it is what was expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MemberError {
    /// Too few or too many parts.
    #[error("host:quorumPort:electionPort[:role][|…][;[host:]clientPort]")]
    Form,
    /// A role that is none.
    #[error("the role participant or observer behind the ports")]
    Role,
    /// Different roles behind the addresses of one server.
    #[error("the same role behind every address")]
    MixedRoles,
    /// One port for both purposes.
    #[error("two different ports, one for the quorum and one for elections")]
    SamePort,
    /// A port that is none.
    #[error("a port from 1 to 65535 instead of \"{0}\"")]
    Port(String),
}

impl Member {
    /// Reads what stands behind `server.N=`.
    pub fn parse(sid: Sid, text: &str) -> Result<Self, MemberError> {
        let mut sides = text.split(';');
        let servers = sides.next().unwrap_or_default();
        let client = sides.next().map(parse_client).transpose()?;
        if sides.next().is_some() {
            return Err(MemberError::Form);
        }
        let (mut addresses, mut role) = (Vec::new(), None);
        for text in servers.split('|') {
            let (address, told) = Address::parse(text.trim())?;
            addresses.push(address);
            if told.is_some_and(|told| *role.get_or_insert(told) != told) {
                return Err(MemberError::MixedRoles);
            }
        }
        Ok(Self { sid, addresses, role: role.unwrap_or(Role::Participant), client })
    }

    /// Where its election port is, one for each address.
    pub fn election_addresses(&self) -> impl Iterator<Item = HostPort> + '_ {
        self.addresses.iter().map(|a| HostPort { host: a.host.clone(), port: a.election_port })
    }

    /// Where its quorum port is, one for each address.
    pub fn quorum_addresses(&self) -> impl Iterator<Item = HostPort> + '_ {
        self.addresses.iter().map(|a| HostPort { host: a.host.clone(), port: a.quorum_port })
    }
}

impl Address {
    /// Reads one address, and the role if one stands behind it.
    fn parse(text: &str) -> Result<(Self, Option<Role>), MemberError> {
        let (host, rest) = split_host(text).ok_or(MemberError::Form)?;
        let mut parts = rest.split(':');
        let (Some(quorum), Some(election), role, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MemberError::Form);
        };
        let role = role.map(Role::parse).transpose()?;
        let (quorum_port, election_port) = (port(quorum)?, port(election)?);
        if quorum_port == election_port {
            return Err(MemberError::SamePort);
        }
        Ok((Self { host, quorum_port, election_port }, role))
    }
}

impl Role {
    fn parse(text: &str) -> Result<Self, MemberError> {
        match text.trim() {
            role if role.eq_ignore_ascii_case("participant") => Ok(Self::Participant),
            role if role.eq_ignore_ascii_case("observer") => Ok(Self::Observer),
            _ => Err(MemberError::Role),
        }
    }
}

/// What stands behind `server.N=`, as Java writes it: always with the role.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Address { host, quorum_port, election_port }) in self.addresses.iter().enumerate() {
            let separator = if i == 0 { "" } else { "|" };
            write!(f, "{separator}{}:{quorum_port}:{election_port}", Bracketed(host))?;
        }
        f.write_str(match self.role {
            Role::Participant => ":participant",
            Role::Observer => ":observer",
        })?;
        self.client.as_ref().map_or(Ok(()), |client| write!(f, ";{client}"))
    }
}

fn parse_client(text: &str) -> Result<HostPort, MemberError> {
    let text = text.trim();
    match split_host(text) {
        Some((host, rest)) => Ok(HostPort { host, port: port(rest)? }),
        None => Ok(HostPort { host: "0.0.0.0".to_owned(), port: port(text)? }),
    }
}

fn port(text: &str) -> Result<u16, MemberError> {
    parse_port(text).ok_or_else(|| MemberError::Port(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn read(text: &str) -> Result<Member, MemberError> {
        Member::parse(Sid(4), text)
    }

    fn address(host: &str, quorum_port: u16, election_port: u16) -> Address {
        Address { host: host.to_owned(), quorum_port, election_port }
    }

    #[test]
    fn every_form_of_the_grammar_is_read() {
        let member = read("h:2888:3888").unwrap();
        let addresses = vec![address("h", 2888, 3888)];
        assert_eq!(member, Member { sid: Sid(4), addresses, role: Role::Participant, client: None });
        assert_eq!(read("h:2888:3888;2181").unwrap().client, HostPort::parse("0.0.0.0:2181"));
        let observer = read("h:2888:3888:OBSERVER;[::1]:2181").unwrap();
        assert_eq!((observer.role, observer.client), (Role::Observer, HostPort::parse("[::1]:2181")));
        assert_eq!(read("[fe80::1]:1:2").unwrap().addresses, vec![address("fe80::1", 1, 2)]);
        let two = read("a:2888:3888|b:2889:3889").unwrap().addresses;
        assert_eq!(two, vec![address("a", 2888, 3888), address("b", 2889, 3889)]);
    }

    #[test]
    fn the_role_may_stand_behind_any_address() {
        for text in ["a:1:2:observer|b:1:2", "a:1:2|b:1:2:observer", "a:1:2:observer|b:1:2:observer"] {
            assert_eq!(read(text).unwrap().role, Role::Observer, "{text}");
        }
        assert_eq!(read("a:1:2:participant|b:1:2:observer"), Err(MemberError::MixedRoles));
    }

    #[test]
    fn what_is_not_the_grammar_is_named() {
        let port = |text: &str| MemberError::Port(text.to_owned());
        for (text, error) in [
            ("h:2888", MemberError::Form),
            ("h:1:2:participant:x", MemberError::Form),
            ("h:1:2;3;4", MemberError::Form),
            ("h:1:2|", MemberError::Form),
            ("", MemberError::Form),
            ("h:2888:2888", MemberError::SamePort),
            ("h:1:2:foo", MemberError::Role),
            ("h:1:99999", port("99999")),
            ("h:1:2;", port("")),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_member_is_written_as_java_writes_it() {
        for (text, written) in [
            ("h:1:2", "h:1:2:participant"),
            ("[::1]:1:2:observer;2181", "[::1]:1:2:observer;0.0.0.0:2181"),
            ("a:1:2|b:3:4;c:5", "a:1:2|b:3:4:participant;c:5"),
        ] {
            let member = read(text).unwrap();
            assert_eq!(member.to_string(), written);
            assert_eq!(read(written), Ok(member));
        }
    }
}
