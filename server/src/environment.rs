//! What the four-letter word `envi` tells, and the version that every tool asks for.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// As `srvr` prints it. Tools compare the numbers in front, so those are the release whose protocol is spoken.
pub(crate) fn version() -> String {
    let built = std::env::current_exe().and_then(fs::metadata).and_then(|about| about.modified());
    let built = built.unwrap_or(UNIX_EPOCH);
    format!("3.9.5-zoarium-{}, built on {} UTC", env!("CARGO_PKG_VERSION"), minute(built))
}

/// Java's keys in Java's order; what only a Java machine has is `<NA>`, as Java itself prints what it does not know.
pub(crate) fn list() -> Vec<(String, String)> {
    let system = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let variable = |name| std::env::var(name).unwrap_or_else(|_| NOTHING.to_owned());
    let (free, total) = memory_mb();
    let pairs = [
        ("zookeeper.version", version()),
        ("host.name", text(system.nodename())),
        ("java.version", NOTHING.to_owned()),
        ("java.vendor", NOTHING.to_owned()),
        ("java.home", NOTHING.to_owned()),
        ("java.class.path", NOTHING.to_owned()),
        ("java.library.path", NOTHING.to_owned()),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", NOTHING.to_owned()),
        ("os.name", text(system.sysname())),
        ("os.arch", if cfg!(target_arch = "x86_64") { "amd64" } else { std::env::consts::ARCH }.to_owned()),
        ("os.version", text(system.release())),
        ("user.name", user_name()),
        ("user.home", variable("HOME")),
        (
            "user.dir",
            std::env::current_dir().map_or_else(|_| NOTHING.to_owned(), |dir| dir.display().to_string()),
        ),
        ("os.memory.free", free),
        ("os.memory.max", total.clone()),
        ("os.memory.total", total),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).to_vec()
}

/// The name of whoever this process runs as, as Java finds it.
fn user_name() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| NOTHING.to_owned())
}

const NOTHING: &str = "<NA>";

/// Memory that is free and all there is, as `243MB`. The machine's: there is no heap with a size of its own.
fn memory_mb() -> (String, String) {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |key: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(key));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kb.map_or_else(|| NOTHING.to_owned(), |kb| format!("{}MB", kb / 1024))
    };
    (of("MemAvailable:"), of("MemTotal:"))
}

/// `yyyy-MM-dd HH:mm` in UTC.
fn minute(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let timestamp = zk_net::client::four_letter::date::civil((seconds / 86_400).cast_signed());
    let (year, month, day) = timestamp;
    format!("{year}-{:02}-{day:02} {:02}:{:02}", month + 1, seconds / 3600 % 24, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_version_begins_with_the_release_that_is_spoken() {
        let version = version();
        let (number, rest) = version.split_once("-zoarium-").unwrap();
        assert_eq!(number, "3.9.5");
        assert!(rest.contains(", built on 2"), "{version}");
    }

    #[test]
    fn minutes_are_printed_as_maven_prints_them() {
        assert_eq!(minute(UNIX_EPOCH + Duration::from_secs(1_735_494_899)), "2024-12-29 17:54");
        assert_eq!(minute(UNIX_EPOCH), "1970-01-01 00:00");
    }

    #[test]
    fn all_of_java_s_keys_are_there() {
        let list = list();
        assert_eq!(list.len(), 18);
        assert!(list.iter().all(|(_, value)| !value.is_empty()), "{list:?}");
    }
}
