//! What a fault may say.

use crate::node::EVENTS;
use crate::scenario::Fault;
use crate::scenario::predicate::{Global, Observable, Value};

/// What this version cannot do is refused, never skipped.
pub(super) fn check(fault: &Fault) -> Result<(), String> {
    let a = &fault.action;
    let missing = [
        ("wipe", a.wipe.is_some()),
        ("rollback", a.rollback.is_some()),
        ("twin", a.twin.is_some()),
        ("partition", a.partition.is_some()),
        ("heal", a.heal.is_some()),
        ("throttle", a.throttle.is_some()),
        ("hold", a.hold.is_some()),
        ("garble", a.garble.is_some()),
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
    ];
    if verbs.iter().filter(|given| **given).count() != 1 {
        return Err("\"do\" needs exactly one verb".to_owned());
    }
    let words = [
        ("loss", &a.loss, &["kill", "power"][..]),
        ("point", &a.point, &["before-next-effect"]),
        ("fsync", &a.disk.as_ref().and_then(|d| d.fsync.clone()), &["eio", "lie", "slow"]),
        ("write", &a.disk.as_ref().and_then(|d| d.write.clone()), &["eio", "enospc"]),
        ("read", &a.disk.as_ref().and_then(|d| d.read.clone()), &["eio"]),
    ];
    for (key, value, allowed) in words {
        if let Some(value) = value.as_deref().filter(|value| !allowed.contains(value)) {
            return Err(format!("{key} = \"{value}\": expected one of {allowed:?}"));
        }
    }
    if let Some(when) = &fault.when {
        for value in when.0.values() {
            if !is_observable(value) {
                return Err(format!("{value:?} cannot be observed in this version"));
            }
        }
    }
    if let Some(on) = &fault.on
        && !EVENTS.iter().any(|(name, _)| *name == on.event)
    {
        return Err(format!("no event is called \"{}\": see sim list-events", on.event));
    }
    Ok(())
}

const fn is_observable(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Of(_, observable) => matches!(
            observable,
            Observable::Logged
                | Observable::Durable
                | Observable::Committed
                | Observable::Applied
                | Observable::SessionCount
                | Observable::Snapshotting
                | Observable::Up
        ),
        Value::Global(global) => matches!(
            global,
            Global::Commits
                | Global::Quorum
                | Global::Leaders
                | Global::UnknownOutcomes
                | Global::Expired
                | Global::Now
        ),
        Value::Acks(_) | Value::DurableCount(_) => false,
    }
}
