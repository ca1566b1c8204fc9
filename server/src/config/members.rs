//! `server.N`, `group.N` and `weight.N` settings, in the grammar of [`zk_core::config::member`].

use std::collections::BTreeSet;

use zk_core::config::member::{Member, Role};
use zk_core::config::quorum_config::Hierarchy;
use zk_core::ids::Sid;

use super::settings::{Setting, Settings};
use super::{ConfigError, Level};

/// All members by N, with groups and weights.
pub(super) fn read(s: &mut Settings) -> Result<(Vec<Member>, Option<Hierarchy>), ConfigError> {
    let (multiple, _) = s.truth("multiAddress.enabled", false)?;
    let mut members = vec![];
    for setting in s.take_family("server.", "exits with status 2") {
        let member = parse(&setting)?;
        if member.addresses.len() > 1 && !multiple {
            return Err(setting.wrong("one address, as multiAddress.enabled is not true"));
        }
        members.push((member, setting));
    }
    members.sort_by_key(|(member, _)| member.sid);
    let voters = members.iter().filter(|(member, _)| member.role == Role::Participant).count();
    let observer = members.iter().find(|(member, _)| member.role == Role::Observer);
    if let (0 | 1, Some((member, setting))) = (voters, observer) {
        let what =
            format!("server.{} is an observer, but {voters} voting server(s) make no quorum", member.sid.0);
        return Err(ConfigError::Contradiction { place: setting.place.clone(), what });
    }
    if voters == 2 {
        s.tell(
            Level::Warn,
            None,
            "two voting servers: the failure of either stops both; three tolerate one failure",
        );
    } else if voters > 2 && voters % 2 == 0 {
        s.tell(
            Level::Warn,
            None,
            format!("{voters} voting servers tolerate no more failures than {}", voters - 1),
        );
    }
    let hierarchy = read_groups(s, &members)?;
    Ok((members.into_iter().map(|(member, _)| member).collect(), hierarchy))
}

/// `group.G=N:N…` and `weight.N=W`.
fn read_groups(s: &mut Settings, members: &[(Member, Setting)]) -> Result<Option<Hierarchy>, ConfigError> {
    let known = |text: &str| {
        let sid = text.trim().parse::<i64>().ok().map(Sid);
        sid.filter(|sid| members.iter().any(|(member, _)| member.sid == *sid))
    };
    let number = |setting: &Setting| setting.key.rsplit_once('.').and_then(|(_, n)| n.parse::<i64>().ok());
    let mut hierarchy = Hierarchy::default();
    let mut grouped = BTreeSet::new();
    for setting in s.take_family("group", "exits with status 2") {
        let group = number(&setting).ok_or_else(|| setting.wrong("group.G with a whole number G"))?;
        let mut sids = vec![];
        for part in setting.value.split(':') {
            let sid =
                known(part).ok_or_else(|| setting.wrong("the N of server.N lines, separated by colons"))?;
            if !grouped.insert(sid) {
                return Err(setting.wrong(format!("server.{sid} in one group only")));
            }
            sids.push(sid);
        }
        hierarchy.groups.insert(group, sids);
    }
    for setting in s.take_family("weight", "exits with status 2") {
        let of = setting.key.rsplit_once('.').and_then(|(_, sid)| known(sid));
        let (Some(sid), Ok(weight)) = (of, setting.value.parse::<u32>()) else {
            return Err(setting.wrong("weight.N=W with the N of a server.N line and a whole number W"));
        };
        hierarchy.weights.insert(sid, weight);
    }
    let is_there = !(hierarchy.groups.is_empty() && hierarchy.weights.is_empty());
    Ok(is_there.then_some(hierarchy))
}

/// Reads one `server.N` setting.
fn parse(setting: &Setting) -> Result<Member, ConfigError> {
    let sid = setting.key.rsplit_once("server.").and_then(|(_, n)| n.parse::<i64>().ok()).filter(|n| *n >= 0);
    let sid = sid.map(Sid).ok_or_else(|| setting.wrong("server.N with a whole number N"))?;
    Member::parse(sid, &setting.value).map_err(|error| setting.wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    #[test]
    fn what_is_not_the_grammar_is_named_with_its_line() {
        for (value, complaint) in [
            ("h:2888", "host:quorumPort:electionPort[:role][|…][;[host:]clientPort]"),
            ("h:1:99999", "a port from 1 to 65535 instead of \"99999\""),
        ] {
            let place = Place::Line { file: "test.cfg".to_owned(), line: 4 };
            let setting = Setting { place, key: "server.4".to_owned(), value: value.to_owned(), java: None };
            let expected = format!("test.cfg, line 4: server.4: expected {complaint}, found \"{value}\"");
            assert_eq!(parse(&setting).unwrap_err().to_string(), expected);
        }
    }
}
