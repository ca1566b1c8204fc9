//! `server.N` settings, in the grammar of [`zk_core::config::member`].

use super::ConfigError;
use super::settings::Setting;
use zk_core::config::member::Member;
use zk_core::ids::Sid;

/// Reads one `server.N` setting.
pub(super) fn parse(setting: &Setting) -> Result<Member, ConfigError> {
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
