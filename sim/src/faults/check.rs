//! What a fault may say.

use crate::scenario::Fault;
use crate::scenario::words::Selector;

/// What this version cannot do is refused, never skipped.
pub(super) fn check(fault: &Fault) -> Result<(), String> {
    let a = &fault.action;
    let missing = [
        ("reconfig", a.reconfig.is_some()),
        ("upgrade", a.upgrade.is_some()),
        ("expire_session", a.expire_session.is_some()),
        ("set", a.set.is_some()),
    ];
    if let Some((verb, _)) = missing.iter().find(|(_, given)| *given) {
        return Err(format!("\"{verb}\" is not in this version"));
    }
    let verbs = [
        a.crash.is_some(),
        a.restart.is_some(),
        a.pause.is_some(),
        a.slow.is_some(),
        a.reset.is_some(),
        a.snapshot.is_some(),
        a.purge.is_some(),
        a.disk.is_some(),
        a.clock.is_some(),
        a.client.is_some(),
        a.wipe.is_some(),
        a.backup.is_some(),
        a.rollback.is_some(),
        a.twin.is_some(),
        a.partition.is_some(),
        a.heal.is_some(),
        a.throttle.is_some(),
        a.hold.is_some(),
        a.dial_hang.is_some(),
        a.garble.is_some(),
    ];
    if verbs.iter().filter(|given| **given).count() != 1 {
        return Err("\"do\" needs exactly one verb".to_owned());
    }
    if !matches!(a.twin, None | Some(Selector::Node(_))) {
        return Err("twin: expected node:N".to_owned());
    }
    let cuts = a.partition.is_some() || a.hold.is_some() || a.dial_hang.is_some();
    let goes_with = [
        ("direction", a.direction.is_some(), cuts, "partition, hold or dial_hang"),
        ("ports", a.ports.is_some(), cuts || a.reset.is_some(), "partition, hold, dial_hang or reset"),
        ("rate", a.rate.is_some(), a.throttle.is_some(), "throttle"),
        ("one_in", a.one_in.is_some(), a.garble.is_some(), "garble"),
        ("loss", a.loss.is_some(), a.crash.is_some(), "crash"),
        ("point", a.point.is_some(), a.crash.is_some(), "crash"),
        ("factor", a.factor.is_some(), a.slow.is_some(), "slow"),
    ];
    if let Some((key, _, _, verbs)) = goes_with.iter().find(|(_, given, fits, _)| *given && !fits) {
        return Err(format!("{key} goes with {verbs}"));
    }
    if let Some(sides) = &a.partition
        && (sides.is_empty() || sides.iter().filter(|side| **side == Selector::Rest).count() > 1)
    {
        return Err("partition: expected one or more lists of nodes, \"rest\" once at most".to_owned());
    }
    Ok(())
}
