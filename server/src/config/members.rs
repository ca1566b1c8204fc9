//! The grammar of `server.N` lines (`QuorumPeer.QuorumServer`):
//!
//! ```text
//! server.<N> = <address> [ | <address> ]... [ ; <client> ]
//! address   := host : quorumPort : electionPort [ : participant | observer ]
//! client    := [ host : ] port
//! host      := name | IPv4 | [ IPv6 ]
//! ```
//!
//! Host names are not resolved here.

use super::ConfigError;
use super::settings::Setting;
use zk_core::ids::Sid;

/// One server of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The N of `server.N`.
    pub sid: Sid,
    /// At least one; more with `multiAddress.enabled`.
    pub addresses: Vec<Address>,
    /// Whether it votes.
    pub role: Role,
    /// Where it serves clients, if the line says so: host (all addresses if empty) and port.
    pub client: Option<(String, u16)>,
}

/// Where the other servers reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// Learners connect to the leader there.
    pub quorum_port: u16,
    /// Votes travel there.
    pub election_port: u16,
}

/// Whether a server votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It votes.
    Participant,
    /// It only follows.
    Observer,
}

/// Reads one `server.N` setting.
pub(super) fn parse(setting: &Setting) -> Result<Member, ConfigError> {
    let sid = setting.key.rsplit_once("server.").and_then(|(_, n)| n.parse::<i64>().ok()).filter(|n| *n >= 0);
    let sid = sid.map(Sid).ok_or_else(|| setting.wrong("server.N with a whole number N"))?;
    let mut sides = setting.value.split(';');
    let servers = sides.next().unwrap_or_default();
    let client = sides.next().map(|text| client(setting, text)).transpose()?;
    if sides.next().is_some() {
        return Err(setting.wrong(FORM));
    }
    let parsed: Vec<_> = servers.split('|').map(|text| address(setting, text)).collect::<Result<_, _>>()?;
    let role = parsed[0].1;
    if parsed.iter().any(|(_, other)| *other != role) {
        return Err(setting.wrong("the same role behind every address"));
    }
    let addresses = parsed.into_iter().map(|(address, _)| address).collect();
    Ok(Member { sid, addresses, role, client })
}

fn address(setting: &Setting, text: &str) -> Result<(Address, Role), ConfigError> {
    let (host, rest) = split_host(text.trim()).ok_or_else(|| setting.wrong(FORM))?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (ports, role) = match parts.as_slice() {
        [quorum, election] => ([quorum, election], Role::Participant),
        [quorum, election, role] if role.eq_ignore_ascii_case("participant") => {
            ([quorum, election], Role::Participant)
        }
        [quorum, election, role] if role.eq_ignore_ascii_case("observer") => {
            ([quorum, election], Role::Observer)
        }
        [_, _, _] => return Err(setting.wrong("the role participant or observer behind the ports")),
        _ => return Err(setting.wrong(FORM)),
    };
    let [quorum_port, election_port] = ports.map(|port| self::port(setting, port));
    let (quorum_port, election_port) = (quorum_port?, election_port?);
    if quorum_port == election_port {
        return Err(setting.wrong("two different ports, one for the quorum and one for elections"));
    }
    Ok((Address { host, quorum_port, election_port }, role))
}

fn client(setting: &Setting, text: &str) -> Result<(String, u16), ConfigError> {
    let text = text.trim();
    match split_host(text) {
        Some((host, port)) => Ok((host, self::port(setting, port)?)),
        None => Ok((String::new(), port(setting, text)?)),
    }
}

/// Cuts `host:rest`; brackets hold an IPv6 address.
fn split_host(text: &str) -> Option<(String, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:")?,
        None => text.split_once(':')?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), rest))
}

fn port(setting: &Setting, text: &str) -> Result<u16, ConfigError> {
    let port = text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    port.ok_or_else(|| setting.wrong(format!("a port from 1 to 65535 instead of \"{text}\"")))
}

const FORM: &str = "host:quorumPort:electionPort[:role][|…][;[host:]clientPort]";

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    fn read(value: &str) -> Result<Member, String> {
        let place = Place::Line { file: "test.cfg".to_owned(), line: 4 };
        let setting = Setting { place, key: "server.4".to_owned(), value: value.to_owned(), java: None };
        parse(&setting).map_err(|error| error.to_string())
    }

    fn address(host: &str, quorum_port: u16, election_port: u16) -> Address {
        Address { host: host.to_owned(), quorum_port, election_port }
    }

    #[test]
    fn every_form_of_the_grammar_is_read() {
        let member = read("h:2888:3888").unwrap();
        let plain = Member {
            sid: Sid(4),
            addresses: vec![address("h", 2888, 3888)],
            role: Role::Participant,
            client: None,
        };
        assert_eq!(member, plain);
        assert_eq!(read("h:2888:3888;2181").unwrap().client, Some((String::new(), 2181)));
        let observer = read("h:2888:3888:OBSERVER;[::1]:2181").unwrap();
        assert_eq!((observer.role, observer.client), (Role::Observer, Some(("::1".to_owned(), 2181))));
        assert_eq!(read("[fe80::1]:1:2").unwrap().addresses, vec![address("fe80::1", 1, 2)]);
        let two = read("a:2888:3888|b:2889:3889").unwrap().addresses;
        assert_eq!(two, vec![address("a", 2888, 3888), address("b", 2889, 3889)]);
    }

    #[test]
    fn what_is_not_the_grammar_is_named_with_its_line() {
        for (value, complaint) in [
            ("h:2888", FORM),
            ("h:1:2:participant:x", FORM),
            ("h:1:2;3;4", FORM),
            ("", FORM),
            ("h:2888:2888", "two different ports, one for the quorum and one for elections"),
            ("h:1:2:foo", "the role participant or observer behind the ports"),
            ("a:1:2|b:1:2:observer", "the same role behind every address"),
            ("h:1:99999", "a port from 1 to 65535 instead of \"99999\""),
        ] {
            let expected = format!("test.cfg, line 4: server.4: expected {complaint}, found \"{value}\"");
            assert_eq!(read(value).unwrap_err(), expected);
        }
    }
}
