//! What faults are called in the event log.

use crate::scenario::Action;

/// One line for the event log.
pub(super) fn describe(action: &Action) -> String {
    let verbs = [
        ("crash", &action.crash),
        ("restart", &action.restart),
        ("pause", &action.pause),
        ("slow", &action.slow),
        ("reset connections of", &action.reset),
        ("snapshot", &action.snapshot),
        ("purge", &action.purge),
        ("wipe", &action.wipe),
        ("copy the disk of", &action.backup),
        ("put an older disk back into", &action.rollback),
        ("start a twin of", &action.twin),
        ("mend the links of", &action.heal),
        ("throttle the links of", &action.throttle),
        ("hold what is sent to and by", &action.hold),
        ("hang dials to and by", &action.dial_hang),
        ("garble what is sent to and by", &action.garble),
    ];
    let mut parts: Vec<String> =
        verbs.iter().filter_map(|(verb, who)| Some(format!("{verb} {}", who.as_ref()?))).collect();
    if let Some(sides) = &action.partition {
        let sides: Vec<String> = sides.iter().map(ToString::to_string).collect();
        parts.push(format!("cut {} apart", sides.join(", ")));
    }
    parts.extend(action.direction.iter().filter(|way| *way != "both").map(|way| format!("({way} only)")));
    parts.extend(
        action.ports.iter().filter(|ports| *ports != "all").map(|ports| format!("on the {ports} port")),
    );
    parts.extend(action.loss.iter().map(|loss| format!("({loss})")));
    parts.extend(action.point.iter().cloned());
    if let Some(disk) = &action.disk {
        let of = disk.node.as_ref().map_or_else(String::new, |node| format!(" of {node}"));
        parts.push(format!("disk{of}:"));
        for (what, how) in
            [("fsync", &disk.fsync), ("write", &disk.write), ("read", &disk.read), ("rot in", &disk.rot)]
        {
            parts.extend(how.iter().map(|how| format!("{what} {how}")));
        }
    }
    if let Some(clock) = &action.clock {
        let of = clock.node.as_ref().map_or_else(String::new, |node| format!(" of {node}"));
        let how = match (&clock.rate, &clock.jump) {
            (Some(_), _) => "runs at another rate",
            (None, Some(_)) => "jumps forward",
            (None, None) => "jumps back",
        };
        parts.push(format!("clock{of} {how}"));
    }
    if let Some(client) = &action.client {
        let who = client.who.as_ref().map_or_else(|| "any client".to_owned(), ToString::to_string);
        parts
            .push(format!("client {who} {}", if client.silent { "falls silent" } else { "is disconnected" }));
    }
    parts.join(" ")
}
