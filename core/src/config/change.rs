//! What a reconfig asks for, as the config that it would make (Java: `PrepRequestProcessor`,
//! `QuorumPeerConfig.parseDynamicConfig`; client protocol §5).

use alloc::vec::Vec;

use super::member::Member;
use super::quorum_config::{ConfigTextError, QuorumConfig, ShapeError};
use crate::address::HostPort;
use crate::error::OpError;
use crate::ids::{Sid, Zxid};

/// What is asked. With `members` the other two are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// `server.N=…` of servers that come, or are to be something else, separated by commas.
    pub joining: Option<&'a str>,
    /// Sids of servers that go, separated by commas; those that are no members are passed over.
    pub leaving: Option<&'a str>,
    /// The whole new config: a text whose lines may be separated by commas.
    pub members: Option<&'a str>,
}

/// How many voters an ensemble has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FewestVoters {
    /// `standaloneEnabled=false`: a single one will do.
    One,
    /// `standaloneEnabled=true`: with less it would be no ensemble any more.
    Two,
}

impl Change<'_> {
    /// The config that it makes of `current`, as of the txn `version`.
    pub fn apply(
        &self,
        current: &QuorumConfig,
        version: Zxid,
        fewest: FewestVoters,
    ) -> Result<QuorumConfig, OpError> {
        let config = match self.members {
            Some(members) => whole(members, fewest)?,
            None => self.step(current, version)?,
        };
        let enough = match fewest {
            FewestVoters::One => 1,
            FewestVoters::Two => 2,
        };
        if config.voters().count() < enough {
            return Err(OpError::BadArguments);
        }
        Ok(config.with_version(version))
    }

    /// First some go, then some come.
    fn step(&self, current: &QuorumConfig, version: Zxid) -> Result<QuorumConfig, OpError> {
        if current.hierarchy().is_some() {
            return Err(OpError::BadArguments);
        }
        let mut members: Vec<Member> = current.members().cloned().collect();
        for sid in items(self.leaving) {
            let sid: i64 = sid.parse().map_err(|_| OpError::MarshallingError)?;
            members.retain(|member| member.sid != Sid(sid));
        }
        for line in items(self.joining) {
            let member = joiner(line)?;
            members.retain(|other| other.sid != member.sid);
            if members.iter().any(|other| clash(&member, other)) {
                return Err(OpError::BadArguments);
            }
            members.push(member);
        }
        QuorumConfig::new(version, members, None).map_err(|_| OpError::BadArguments)
    }
}

/// What stands between commas. (Java: `StringUtils.split`.)
fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// `server.N=…`, with a client port. As in Java only what stands behind the last dot of the key counts.
fn joiner(line: &str) -> Result<Member, OpError> {
    let (key, value) = line.split_once('=').ok_or(OpError::BadArguments)?;
    if value.contains('=') {
        return Err(OpError::BadArguments);
    }
    let sid = key.rsplit('.').next().unwrap_or(key).trim();
    let sid = sid.parse().map(Sid).map_err(|_| OpError::MarshallingError)?;
    if sid.0 < 0 || sid == Sid::ANONYMOUS {
        return Err(OpError::BadArguments);
    }
    let member = Member::parse(sid, value.trim()).map_err(|_| OpError::BadArguments)?;
    if member.client.is_some() { Ok(member) } else { Err(OpError::BadArguments) }
}

/// Whether two servers would be at one place. Addresses that say nothing about the machine are not compared.
fn clash(new: &Member, other: &Member) -> bool {
    let places = |member: &Member| -> Vec<HostPort> {
        member.quorum_addresses().chain(member.election_addresses()).chain(member.client.clone()).collect()
    };
    let taken = places(other);
    let same = |a: &HostPort, b: &HostPort| a.port == b.port && a.host.eq_ignore_ascii_case(&b.host);
    let telling = places(new).into_iter().filter(|at| !at.is_wildcard() && !at.is_loopback());
    telling.into_iter().any(|at| taken.iter().any(|other| same(&at, other)))
}

/// A whole config. What Java does not catch while it reads one comes out of it as a marshalling error.
fn whole(members: &str, fewest: FewestVoters) -> Result<QuorumConfig, OpError> {
    let text = members.replace(',', "\n");
    let keys = text.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim());
    let mut numbers = keys.filter_map(|key| key.strip_prefix("server."));
    if numbers.any(|number| number.parse::<i64>().is_err()) {
        return Err(OpError::MarshallingError);
    }
    let config = QuorumConfig::parse(&text).map_err(|error| match (error, fewest) {
        (ConfigTextError::Shape(ShapeError::NoVoter), FewestVoters::One) => OpError::MarshallingError,
        (ConfigTextError::Shape(ShapeError::NoVoter), FewestVoters::Two) if text.contains("server.") => {
            OpError::MarshallingError
        }
        _ => OpError::BadArguments,
    })?;
    let alone = config.voters().count() == 1 && config.members().count() > 1;
    if alone && fewest == FewestVoters::Two { Err(OpError::MarshallingError) } else { Ok(config) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};

    const THREE: &str = "server.1=a:1:2:participant;0.0.0.0:9\nserver.2=b:1:2:participant;0.0.0.0:9\n\
        server.3=c:1:2:participant;0.0.0.0:9\nversion=100000000";

    fn of(change: Change<'_>, fewest: FewestVoters) -> Result<String, OpError> {
        let config = change.apply(&QuorumConfig::parse(THREE).unwrap(), Zxid::new(1, 7), fewest)?;
        Ok(config.to_string())
    }

    fn step(joining: &str, leaving: &str) -> Result<String, OpError> {
        let change = Change { joining: Some(joining), leaving: Some(leaving), members: None };
        of(change, FewestVoters::Two)
    }

    fn whole(members: &str) -> Result<String, OpError> {
        of(Change { members: Some(members), ..Change::default() }, FewestVoters::Two)
    }

    #[test]
    fn some_leave_and_then_some_join() {
        let four = "server.2=b:1:2:participant;0.0.0.0:9\nserver.3=c:5:6:observer;0.0.0.0:9\n\
            server.4=d:1:2:participant;e:9\nversion=100000007";
        let joining = "server.4 = d:1:2;e:9, 3=c:5:6:observer;9,";
        assert_eq!(step(joining, " 1, 77 ").unwrap(), four);
        // A server may go and come back in one step, at a place of another that goes.
        assert!(step("server.1=b:1:2;9", "1,2").unwrap().starts_with("server.1=b:1:2:participant;0.0.0.0:9"));
        assert_eq!(
            of(Change::default(), FewestVoters::Two).unwrap(),
            THREE.replace("100000000", "100000007")
        );
    }

    #[test]
    fn a_step_that_cannot_be_is_refused_as_in_java() {
        let bad = Err(OpError::BadArguments);
        for joining in [
            "server.4=d:1:2",
            "server.4=d:1;9",
            "server.4=d:1:1;9",
            "server.4",
            "server.4=d:1:2;9=x",
            "server.-4=d:1:2;9",
            "server.4=A:1:7;9",
            "server.4=d:1:2;c:2",
        ] {
            assert_eq!(step(joining, ""), bad, "{joining}");
        }
        assert_eq!(step("server.x=d:1:2;9", ""), Err(OpError::MarshallingError));
        assert_eq!(step("", "x"), Err(OpError::MarshallingError));
        assert_eq!(step("", "1,2"), bad, "one voter is left");
        let change = Change { leaving: Some("1,2"), ..Change::default() };
        assert!(of(change, FewestVoters::One).is_ok());
        let change = Change { leaving: Some("1,2,3"), ..Change::default() };
        assert_eq!(of(change, FewestVoters::One), bad, "nobody is left");
    }

    #[test]
    fn places_on_this_very_machine_do_not_clash() {
        let local = |n: u32| format!("server.{n}=127.0.0.1:1:2:participant;0.0.0.0:9");
        let current = format!("{}\n{}\n{}\nversion=1", local(1), local(2), local(3));
        let current = QuorumConfig::parse(&current).unwrap();
        let joining = local(4).replace("127.0.0.1", "localhost");
        let change = Change { joining: Some(&joining), ..Change::default() };
        assert_eq!(change.apply(&current, Zxid(9), FewestVoters::Two).unwrap().voters().count(), 4);
    }

    #[test]
    fn groups_and_weights_come_as_a_whole_only() {
        let grouped = "server.1=a:1:2,server.2=b:1:2\nserver.3=c:1:2,group.1=1:2:3,weight.3=0,version=ff";
        let made = whole(grouped).unwrap();
        assert!(
            made.ends_with("group.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=0\nversion=100000007"),
            "{made}"
        );
        let current = QuorumConfig::parse(&made).unwrap();
        let change = Change { leaving: Some("1"), ..Change::default() };
        assert_eq!(change.apply(&current, Zxid(9), FewestVoters::Two), Err(OpError::BadArguments));
    }

    #[test]
    fn a_whole_config_that_cannot_be_is_refused_as_in_java() {
        for (members, error) in [
            ("", OpError::BadArguments),
            ("server.1=a:1:2", OpError::BadArguments),
            ("server.1=a:1:2,tickTime=3", OpError::BadArguments),
            ("server.1=a:1:2,server.2=b:1", OpError::BadArguments),
            ("server.x=a:1:2,server.2=b:1:2", OpError::MarshallingError),
            ("server.1=a:1:2:observer", OpError::MarshallingError),
            ("server.1=a:1:2,server.2=b:1:2:observer", OpError::MarshallingError),
        ] {
            assert_eq!(whole(members), Err(error), "{members}");
        }
        let alone = |members| of(Change { members: Some(members), ..Change::default() }, FewestVoters::One);
        assert!(alone("server.1=a:1:2").is_ok());
        assert_eq!(alone(""), Err(OpError::MarshallingError));
    }
}
