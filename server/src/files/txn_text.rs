//! A txn as Java's TxnLogToolkit prints it.

use std::fmt::{self, Display, Formatter};

use bytes::{Bytes, BytesMut};
use zk_core::text::Text;
use zk_core::wire::records::Acl;
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody};
use zk_net::client::four_letter::date::civil;

/// One line, or several: it ends without a line's end, whatever Java's records end with.
pub(super) fn line(txn: &Txn) -> String {
    let header = &txn.header;
    format!(
        "{} session {:#x} cxid {:#x} zxid {:#x} {} {}",
        date(header.time.0),
        header.session.0,
        header.cxid,
        header.zxid.0,
        name(&txn.body),
        Body(&txn.body)
    )
}

/// `11/20/26, 5:59:13 PM UTC`: the short date and long time of Java's English locale.
fn date(wall_ms: i64) -> String {
    let seconds = wall_ms.div_euclid(1000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let hour = second / 3600;
    let half = if hour < 12 { "AM" } else { "PM" };
    let (hour, minute) = ((hour + 11) % 12 + 1, second / 60 % 60);
    let year = year.rem_euclid(100);
    format!("{}/{day}/{year:02}, {hour}:{minute:02}:{:02} {half} UTC", month + 1, second % 60)
}

const fn name(body: &TxnBody) -> &'static str {
    match body {
        TxnBody::CreateSession { .. } => "createSession",
        TxnBody::CloseSession { .. } => "closeSession",
        TxnBody::Error { .. } => "error",
        TxnBody::Create(create) => match create.kind {
            CreateKind::Create => "create",
            CreateKind::Create2 => "create2",
            CreateKind::Container => "createContainer",
            CreateKind::Ttl(_) => "createTtl",
        },
        TxnBody::Delete { .. } => "delete",
        TxnBody::DeleteContainer { .. } => "deleteContainer",
        TxnBody::SetData { .. } => "setData",
        TxnBody::Reconfig { .. } => "reconfig",
        TxnBody::SetAcl { .. } => "setACL",
        TxnBody::Check { .. } => "check",
        TxnBody::Multi(_) => "multi",
    }
}

struct Body<'a>(&'a TxnBody);

impl Display for Body<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            TxnBody::CreateSession { timeout_ms } => write!(f, "{timeout_ms}"),
            TxnBody::CloseSession { paths: None } => Ok(()),
            TxnBody::CloseSession { paths: Some(paths) } => {
                f.write_str("v{")?;
                separated(f, ",", paths, quoted)?;
                f.write_str("}")
            }
            TxnBody::Error { err } => write!(f, "{err}"),
            TxnBody::Create(txn) => create(f, txn),
            TxnBody::Delete { path } | TxnBody::DeleteContainer { path } => quoted(f, path),
            TxnBody::SetData { path, data, version } | TxnBody::Reconfig { path, data, version } => {
                write!(f, "{path},{},{version}", text(data.as_ref()))
            }
            TxnBody::SetAcl { path, acl, version } => {
                quoted(f, path)?;
                f.write_str(",v{")?;
                separated(f, ",", acl, |f, acl| {
                    f.write_str("s{")?;
                    entry(f, acl)?;
                    f.write_str("}")
                })?;
                write!(f, "}},{version}")
            }
            TxnBody::Check { path, version } => {
                quoted(f, path)?;
                write!(f, ",{version}")
            }
            TxnBody::Multi(entries) => separated(f, ";", entries, |f, entry| {
                let mut bytes = BytesMut::new();
                entry.encode(&mut bytes);
                write!(f, "{}:{}", name(entry), text(Some(&bytes.freeze())))
            }),
        }
    }
}

fn create(f: &mut Formatter<'_>, txn: &CreateTxn) -> fmt::Result {
    write!(f, "{},{},[", txn.path, text(txn.data.as_ref()))?;
    separated(f, ", ", &txn.acl, |f, acl| {
        entry(f, acl)?;
        // Java's records end their line.
        f.write_str("\n")
    })?;
    f.write_str("],")?;
    match txn.kind {
        CreateKind::Create | CreateKind::Create2 => write!(f, "{},{}", txn.ephemeral, txn.parent_cversion),
        CreateKind::Container => write!(f, "{}", txn.parent_cversion),
        CreateKind::Ttl(ttl_ms) => write!(f, "{},{ttl_ms}", txn.parent_cversion),
    }
}

fn entry(f: &mut Formatter<'_>, acl: &Acl) -> fmt::Result {
    write!(f, "{},s{{", acl.perms)?;
    quoted(f, &acl.id.scheme)?;
    f.write_str(",")?;
    quoted(f, &acl.id.id)?;
    f.write_str("}")
}

/// Data as text; null is as empty.
fn text(data: Option<&Bytes>) -> String {
    data.map(|data| String::from_utf8_lossy(data).into_owned()).unwrap_or_default()
}

/// A string of jute's CSV form: what has a meaning there is escaped.
fn quoted(f: &mut Formatter<'_>, string: &Text) -> fmt::Result {
    f.write_str("'")?;
    for c in string.chars() {
        match c {
            '\0' => f.write_str("%00")?,
            '\n' => f.write_str("%0A")?,
            '\r' => f.write_str("%0D")?,
            ',' => f.write_str("%2C")?,
            '}' => f.write_str("%7D")?,
            '%' => f.write_str("%25")?,
            other => write!(f, "{other}")?,
        }
    }
    Ok(())
}

fn separated<T>(
    f: &mut Formatter<'_>,
    separator: &str,
    items: &[T],
    mut each: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            f.write_str(separator)?;
        }
        each(f, item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_a_clock_of_twelve_hours() {
        // Printed by `DateFormat.getDateTimeInstance(SHORT, LONG)` of OpenJDK 17 with TZ=UTC.
        assert_eq!(date(0), "1/1/70, 12:00:00 AM UTC");
        assert_eq!(date(1_795_195_153_000), "11/20/26, 5:19:13 PM UTC");
        assert_eq!(date(951_825_600_000), "2/29/00, 12:00:00 PM UTC");
        assert_eq!(date(951_868_799_999), "2/29/00, 11:59:59 PM UTC");
    }
}
