//! `[[random]]`: faults drawn as a timeline.

use crate::clock::Time;
use crate::dice::{Dice, Site};
use crate::scenario::units::{Drawn, Ratio, Size, Span};
use crate::scenario::words::Selector;
use crate::scenario::{Action, ClientAction, ClockAction, DiskAction, Fault, Lasting, Random};

/// Kinds that `[[random]]` may name, each with an action of its own.
pub const RANDOM_KINDS: &[&str] = &[
    "crash",
    "power",
    "pause",
    "reset",
    "clock-jump",
    "clock-rate",
    "fsync-eio",
    "write-eio",
    "disk-full",
    "slow-disk",
    "silent-client",
    "snapshot",
    "crash-all",
    "crash-leader",
    "pause-leader",
    "partition",
    "one-way",
    "isolate-leader",
    "reset-servers",
    "throttle",
    "hold",
    "garble",
];

/// A random profile, as a timeline.
pub(super) fn draw_random(random: &Random, i: u32, until: Time, dice: &mut Dice) -> Vec<Fault> {
    let entity = |n: u32| 1 << 23 | i << 12 | n;
    let last = random.until.as_ref().map_or(until, |last| Time(last.draw(dice, entity(0)).0).min(until));
    let mut faults = Vec::new();
    let mut at = Time(0);
    let mut busy: Vec<Time> = Vec::new();
    for n in 1..RANDOM_MAX {
        at = at.plus(random.every.draw(dice, entity(n)).0.max(1_000_000));
        if at >= last {
            break;
        }
        busy.retain(|end| *end > at);
        let span = random.duration.draw(dice, entity(n) | 1 << 11);
        if busy.len() >= random.max_concurrent.unwrap_or(1) as usize {
            continue;
        }
        busy.push(at.plus(span.0));
        let kind =
            &random.faults[dice.below(Site::RandomFault, entity(n), random.faults.len() as u64) as usize];
        faults.push(Fault {
            name: None,
            at: Some(Drawn::Fixed(Span(at.0))),
            after: None,
            when: None,
            on: None,
            every: None,
            action: random_action(kind, dice, entity(n)),
            lasting: Some(Lasting::For(Drawn::Fixed(span))),
            times: None,
            prob: None,
            until: None,
            cooldown: None,
        });
    }
    faults
}

const RANDOM_MAX: u32 = 1_000;

fn random_action(kind: &str, dice: &mut Dice, entity: u32) -> Action {
    let any = || Some(Selector::Any);
    let disk =
        |disk: DiskAction| Action { disk: Some(DiskAction { node: any(), ..disk }), ..Action::default() };
    let clock = |clock: ClockAction| Action {
        clock: Some(ClockAction { node: any(), ..clock }),
        ..Action::default()
    };
    let word = |word: &str| Some(word.to_owned());
    match kind {
        "crash" => Action { crash: any(), loss: word("kill"), ..Action::default() },
        "power" => Action { crash: any(), loss: word("power"), ..Action::default() },
        "pause" => Action { pause: any(), ..Action::default() },
        "reset" => Action { reset: Some(Selector::All), ..Action::default() },
        "clock-jump" => {
            let ms = dice.below(Site::RandomFault, entity, 3_600_000);
            let span = Some(Drawn::Fixed(Span(ms * 1_000_000)));
            if dice.chance(Site::RandomFault, entity, 1, 2) {
                clock(ClockAction { jump: span, ..ClockAction::default() })
            } else {
                clock(ClockAction { back: span, ..ClockAction::default() })
            }
        }
        "clock-rate" => {
            let rate = Ratio(dice.between(Site::RandomFault, entity, 500, 2_000), 1_000);
            clock(ClockAction { rate: Some(Drawn::Fixed(rate)), ..ClockAction::default() })
        }
        "fsync-eio" => disk(DiskAction { fsync: word("eio"), ..DiskAction::default() }),
        "write-eio" => disk(DiskAction { write: word("eio"), ..DiskAction::default() }),
        "disk-full" => {
            let free = Size(dice.below(Site::RandomFault, entity, 100_000));
            disk(DiskAction {
                write: word("enospc"),
                free: Some(Drawn::Fixed(free)),
                ..DiskAction::default()
            })
        }
        "slow-disk" => disk(DiskAction { fsync: word("slow"), factor: Some(30), ..DiskAction::default() }),
        "silent-client" => Action {
            client: Some(ClientAction { who: any(), silent: true, reset: false }),
            ..Action::default()
        },
        "crash-all" => Action { crash: Some(Selector::All), loss: word("power"), ..Action::default() },
        "crash-leader" => {
            let loss = if dice.chance(Site::RandomFault, entity, 1, 2) { "power" } else { "kill" };
            Action { crash: Some(Selector::Leader), loss: word(loss), ..Action::default() }
        }
        "pause-leader" => Action { pause: Some(Selector::Leader), ..Action::default() },
        "isolate-leader" => {
            Action { partition: Some(vec![Selector::Leader, Selector::Rest]), ..Action::default() }
        }
        "partition" | "one-way" => {
            let size = 1 + dice.below(Site::RandomFault, entity, 3) as u32;
            let way = match (kind, dice.chance(Site::RandomFault, entity, 1, 2)) {
                ("partition", _) => "both",
                (_, true) => "in",
                (_, false) => "out",
            };
            let ports =
                ["all", "all", "election", "quorum"][dice.below(Site::RandomFault, entity, 4) as usize];
            Action {
                partition: Some(vec![Selector::Random(size), Selector::Rest]),
                direction: word(way),
                ports: word(ports),
                ..Action::default()
            }
        }
        "reset-servers" => Action { reset: any(), ..Action::default() },
        "throttle" => Action { throttle: any(), ..Action::default() },
        "hold" => Action { hold: any(), ..Action::default() },
        "garble" => Action { garble: any(), ..Action::default() },
        _ => Action { snapshot: any(), ..Action::default() },
    }
}
