//! [`HostPort`]: where a server listens, as it was configured. Names are not resolved here.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;

/// A host and a port. A name stays a name: it is looked up again at every dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; brackets hold an IPv6 address.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_host(text)?;
        Some(Self { host, port: parse_port(port)? })
    }

    /// True for the addresses that mean "every interface": good for listening, useless for dialling.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0")
    }

    /// True for addresses that mean the machine itself, whichever that is.
    pub fn is_loopback(&self) -> bool {
        let named = self.host.eq_ignore_ascii_case("localhost");
        named || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

/// A host as it stands before a colon: in brackets if it has colons of its own.
#[derive(Debug)]
pub struct Bracketed<'a>(pub &'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

/// Cuts `host:rest`; brackets hold an IPv6 address. `None` without a colon or with an empty host.
pub fn split_host(text: &str) -> Option<(String, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:")?,
        None => text.split_once(':')?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), rest))
}

/// Reads a port from 1 to 65535.
pub fn parse_port(text: &str) -> Option<u16> {
    text.trim().parse::<u16>().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn an_address_reads_and_shows_itself() {
        for text in ["h:1", "10.0.0.1:65535", "[::1]:2888"] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "h", "h:", ":1", "h:0", "h:65536", "[::1]", "h:1:2"] {
            assert_eq!(HostPort::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wildcards_are_told_from_addresses_that_can_be_dialled() {
        assert!(HostPort::parse("0.0.0.0:1").unwrap().is_wildcard());
        assert!(HostPort::parse("[::]:1").unwrap().is_wildcard());
        assert!(!HostPort::parse("[::1]:1").unwrap().is_wildcard());
    }
}
