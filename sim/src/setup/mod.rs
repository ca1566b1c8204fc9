//! From a scenario and a seed to a world: everything that was left open is drawn here.

mod history;
mod members;

use std::sync::Arc;
use std::time::Duration;

use zk_core::disk::{Compression, DiskConfig};
use zk_core::front::FrontConfig;
use zk_core::ids::Sid;
use zk_core::replica::{ReaperSettings, Reconfig, ReplicaConfig};
use zk_core::tree::{NodeTypes, TreeConfig};

use crate::client::Client;
use crate::clock::{Clock, Time};
use crate::dice::{Dice, Site};
use crate::network::Delay;
use crate::node::{Node, Settings};
use crate::oracle::Rules;
use crate::scenario;
use crate::scenario::units::{Drawn, Ratio, Size, Span, Unit};
use crate::scenario::words::Selector;
use crate::scenario::{Cluster, DelaySpec, Profile, Scenario};
use crate::wires::Wires;
use crate::workload::{Mix, Workload};
use crate::world::World;
use members::Members;

/// The world of this scenario and seed, with nothing started yet.
pub fn world(scenario: &Scenario, seed: u64, readable: bool) -> Result<World, String> {
    let mut dice = Dice::new(seed);
    let mut draws = Draws { dice: &mut dice, next: 0 };
    let client_delay =
        delay(scenario.net.default.delay.as_ref(), profile_delay(scenario.profile), &mut draws)?;
    let restart_after = draws.span(scenario.cluster.restart_after.as_ref(), Span(500_000_000));
    let mut settings = settings(&scenario.cluster, scenario.profile, &mut draws)?;
    let mut wires = Wires::new(seed, client_delay.clone());
    let voters = draws.value(scenario.cluster.voters.as_ref(), 1);
    let observers = draws.value(scenario.cluster.observers.as_ref(), 0);
    if let Some(give_up) = &scenario.net.give_up {
        wires.give_up_after = draws.span(Some(give_up), Span(0)).0;
    }
    let members = Members::of(scenario, voters, observers)?;
    if let Some(members) = &members {
        members.join(&scenario.cluster, &mut settings, &mut draws)?;
        let replica = &settings.replica;
        let sync_limit = replica.ensemble.as_ref().map_or(0, |ensemble| ensemble.sync_limit);
        wires.dial_limit = u64::from(replica.tick_ms) * u64::from(sync_limit) * 1_000_000;
    }
    let mut world = World::new(seed, readable, client_delay, wires, restart_after.0);
    let twins = Members::twins(scenario);
    world.ensemble = members.as_ref().map(|members| members.oracle(&twins));
    if world.ensemble.is_some() {
        world.commits.let_sessions_move();
    }
    world.commits.set_rules(Rules {
        extended_types: scenario.cluster.extended_types,
        never_used_ms: settings.replica.reaper.never_used_ms,
        enforce_quota: settings.replica.enforce_quota,
    });
    world.membership = members.as_ref().map(Members::membership);
    for id in 1..=voters + observers {
        let mut node = node(id, scenario, &settings, &mut draws)?;
        if let Some(members) = &members {
            members.settle(&mut node);
        }
        let spec = scenario.cluster.node.get(&id.to_string());
        let at = draws.span(spec.and_then(|spec| spec.boot.as_ref()), Span(0));
        world.add_node(node, Time(at.0));
    }
    if let Some(members) = &members {
        for (i, of) in twins.iter().enumerate() {
            let mut twin = node(voters + observers + 1 + i as u32, scenario, &settings, &mut draws)?;
            twin.settings.replica.sid = Sid(i64::from(*of));
            members.settle(&mut twin);
            (twin.is_twin, twin.is_off) = (true, true);
            world.nodes.push(twin);
        }
    }
    history::lay_down(scenario, &mut world)?;
    links(scenario, &mut world, &mut draws)?;
    add_clients(scenario, &mut world, &mut draws)?;
    // A probe will come.
    if let (Some(members), Some(ensemble)) = (&members, world.ensemble.take()) {
        let limits = members.limits(&settings.replica, world.seats.len() + 1);
        world.ensemble = Some(ensemble.within(limits));
    }
    world.dice = Dice::new(seed);
    Ok(world)
}

/// Every place at which something is drawn gets a number of its own, in the order of the file.
struct Draws<'a> {
    dice: &'a mut Dice,
    next: u32,
}

impl Draws<'_> {
    fn value<T: Unit>(&mut self, drawn: Option<&Drawn<T>>, default: T) -> T {
        self.next += 1;
        drawn.map_or(default, |drawn| drawn.draw(self.dice, self.next))
    }

    fn span(&mut self, drawn: Option<&Drawn<Span>>, default: Span) -> Span {
        self.value(drawn, default)
    }
}

fn profile_delay(profile: Profile) -> Delay {
    let us = Duration::from_micros;
    match profile {
        Profile::Lan => Delay { min: us(50), mean: us(150), tail_one_in: 2_000, tail: us(20_000) },
        Profile::Wan => Delay { min: us(20_000), mean: us(15_000), tail_one_in: 500, tail: us(500_000) },
        Profile::CloudNoisy => Delay { min: us(200), mean: us(800), tail_one_in: 200, tail: us(300_000) },
        Profile::Hell => Delay { min: us(100), mean: us(5_000), tail_one_in: 50, tail: us(2_000_000) },
    }
}

fn delay(spec: Option<&DelaySpec>, default: Delay, draws: &mut Draws<'_>) -> Result<Delay, String> {
    let Some(spec) = spec else { return Ok(default) };
    let mut delay = default;
    if let Some(min) = &spec.min {
        delay.min = draws.span(Some(min), Span(0)).into();
    }
    if let Some(mean) = &spec.mean {
        delay.mean = draws.span(Some(mean), Span(0)).into();
    }
    if let Some(tail) = &spec.tail {
        delay.tail_one_in = tail.one_in;
        delay.tail = tail.longest.into();
    }
    Ok(delay)
}

fn settings(cluster: &Cluster, profile: Profile, draws: &mut Draws<'_>) -> Result<Settings, String> {
    let us = Duration::from_micros;
    let tick_ms = draws.span(cluster.tick.as_ref(), Span(200_000_000)).millis().max(1) as u32;
    let snap_count = draws.value(cluster.snap_count.as_ref(), 1_000);
    let outstanding_max = draws.value(cluster.outstanding.as_ref(), 1_000);
    let types = if cluster.extended_types { NodeTypes::Extended } else { NodeTypes::Plain };
    let reaper = reaper(cluster, draws);
    let compression = match cluster.compression {
        scenario::Compression::None => Compression::None,
        scenario::Compression::Gz => Compression::Gzip,
        scenario::Compression::Snappy => Compression::Snappy,
    };
    let fsync = match profile {
        Profile::Hell | Profile::CloudNoisy => {
            Delay { min: us(500), mean: us(4_000), tail_one_in: 100, tail: us(500_000) }
        }
        Profile::Lan | Profile::Wan => {
            Delay { min: us(300), mean: us(700), tail_one_in: 1_000, tail: us(50_000) }
        }
    };
    let purge_every = cluster.purge_interval.as_ref().map(|every| draws.span(Some(every), Span(0)).0);
    let retain = draws.value(cluster.purge_retain.as_ref(), 3) as usize;
    let disk = DiskConfig {
        prealloc: draws.value(cluster.prealloc.as_ref(), Size(64 << 10)).0,
        force_sync: true,
        compression,
        trust_empty: false,
        digest: true,
        record_max: 2 << 20,
        tree: TreeConfig { hash_seed: 0, types },
        #[cfg(feature = "museum")]
        museum: cluster.plant,
    };
    let piece = draws.value(cluster.snapshot_piece.as_ref(), Size(4 << 10)).0 as usize;
    let pause = Delay { min: us(100), mean: us(500), tail_one_in: 0, tail: us(0) };
    Ok(Settings {
        replica: ReplicaConfig {
            sid: Sid(1),
            tick_ms,
            snap_count,
            snap_size_limit: 0,
            digest: true,
            skip_acl: false,
            enforce_quota: cluster.enforce_quota,
            reaper,
            outstanding_max,
            reconfig: Reconfig::Disabled,
            ensemble: None,
            #[cfg(feature = "museum")]
            museum: cluster.plant,
        },
        front: FrontConfig {
            min_session_timeout_ms: 2 * tick_ms as i32,
            max_session_timeout_ms: 20 * tick_ms.max(1_000) as i32,
            tick_ms,
            frame_max: 0xf_ffff,
            in_flight_max: 64,
            large_above: None,
            output_high: 1 << 20,
            skip_acl: false,
            super_digest: None,
            enforced_schemes: Vec::new(),
            #[cfg(feature = "museum")]
            museum: cluster.plant,
        },
        disk,
        write: delay(
            cluster.write.as_ref(),
            Delay { min: us(10), mean: us(30), tail_one_in: 0, tail: us(0) },
            draws,
        )?,
        sync: delay(cluster.fsync.as_ref(), fsync, draws)?,
        apply: Delay { min: us(2), mean: us(20), tail_one_in: 500, tail: us(5_000) },
        snapshot: (delay(cluster.snapshot_pause.as_ref(), pause, draws)?, piece),
        purge: purge_every.map(|every| (every, retain)),
    })
}

/// Words that a scenario does not use take no draw: what is drawn for the others stays.
fn reaper(cluster: &Cluster, draws: &mut Draws<'_>) -> ReaperSettings {
    let mut settings = ReaperSettings::JAVAS;
    if let Some(interval) = &cluster.container_check {
        settings.interval_ms = draws.span(Some(interval), Span(0)).millis().max(1) as u32;
    }
    if let Some(most) = &cluster.containers_per_minute {
        settings.per_minute = draws.value(Some(most), 1).max(1);
    }
    if let Some(unused) = &cluster.container_unused {
        settings.never_used_ms = Some(draws.span(Some(unused), Span(0)).millis() as i64);
    }
    settings
}

fn node(id: u32, scenario: &Scenario, settings: &Settings, draws: &mut Draws<'_>) -> Result<Node, String> {
    let spec = scenario.cluster.node.get(&id.to_string()).cloned().unwrap_or_default();
    let rate = draws.value(spec.clock_rate.as_ref(), Ratio(1, 1));
    let offset = draws.dice.below(Site::Plan, 1 << 16 | id, 1_000_000_000_000);
    let mut node = Node::new(id, draws.dice.seed(), settings.clone(), Clock::new((rate.0, rate.1), offset));
    node.settings.replica.sid = Sid(i64::from(id));
    if spec.disk.is_some() {
        node.slow_syncs(20);
    }
    Ok(node)
}

/// Paths that are unlike the others.
fn links(scenario: &Scenario, world: &mut World, draws: &mut Draws<'_>) -> Result<(), String> {
    let count = world.nodes.len() as u32;
    for link in &scenario.net.link {
        let ends = |end: &Option<Selector>| match end {
            Some(Selector::Node(id)) => vec![*id].into_iter().filter(|id| *id <= count).collect(),
            _ => (1..=count).collect::<Vec<_>>(),
        };
        let (from, to) = (ends(&link.from), ends(&link.to));
        let base = world.wires.paths.delay(0, 0).clone();
        let delay = link.delay.as_ref().map(|spec| delay(Some(spec), base, draws)).transpose()?;
        let rate = link.bandwidth.as_ref().map(|rate| draws.value(Some(rate), Size(0)).0);
        for from in from {
            for to in &to {
                if let Some(delay) = &delay {
                    world.wires.paths.set_delay(from, *to, delay.clone());
                }
                world.wires.paths.set_rate(from, *to, rate);
            }
        }
    }
    Ok(())
}

fn add_clients(scenario: &Scenario, world: &mut World, draws: &mut Draws<'_>) -> Result<(), String> {
    let servers = members_of(world);
    let mut entity = 0;
    for spec in &scenario.workload {
        let base = Workload::default();
        let clients = draws.value(spec.clients.as_ref(), base.clients);
        let timeout_ms = range_ms(spec.sessions.timeout.as_ref(), base.timeout_ms, draws);
        let ttl_ms = range_ms(spec.ttl.as_ref(), base.ttl_ms, draws);
        let think = match &spec.rate {
            Some(rate) => Duration::from_nanos(1_000_000_000 * u64::from(clients) / rate.0),
            None => draws.span(spec.think.as_ref(), Span(base.think.as_nanos() as u64)).into(),
        };
        let ratio = |drawn: Option<&Drawn<Ratio>>, default: (u64, u64), draws: &mut Draws<'_>| {
            let Ratio(num, den) = draws.value(drawn, Ratio(default.0, default.1));
            (num, den)
        };
        let mix = spec.mix.unwrap_or(base.mix);
        let workload = Arc::new(Workload {
            clients,
            timeout_ms,
            mix,
            space: draws.value(spec.paths.space.as_ref(), base.space).max(1),
            depth: draws.value(spec.paths.depth.as_ref(), base.depth).max(1),
            ephemeral: ratio(spec.paths.ephemeral.as_ref(), base.ephemeral, draws),
            sequential: ratio(spec.paths.sequential.as_ref(), base.sequential, draws),
            ttl_ms,
            watch: ratio(spec.watch.as_ref(), base.watch, draws),
            pipeline: draws.value(spec.pipeline.as_ref(), base.pipeline).max(1),
            think,
            data_max: draws.value(spec.data.as_ref(), Size(base.data_max.into())).0 as u32,
            closing: ratio(spec.closing.as_ref(), base.closing, draws),
            operations: spec.operations.as_ref().map(|n| u64::from(draws.value(Some(n), 0))),
            auth: spec.auth,
            read_only: spec.read_only,
        });
        let from = spec.start.as_ref().map_or(Span(0), |start| draws.span(Some(start), Span(0)));
        for _ in 0..clients {
            let start = Time::from_millis(draws.dice.below(Site::Plan, 1 << 17 | entity, 200)).plus(from.0);
            world.add_client(Client::new(entity, Arc::clone(&workload), servers, start, draws.dice));
            entity += 1;
        }
    }
    Ok(())
}

/// What each client draws for itself from a range, ms.
fn range_ms(spec: Option<&Drawn<Span>>, default: (u64, u64), draws: &mut Draws<'_>) -> (u64, u64) {
    match spec {
        None => default,
        Some(Drawn::Fixed(span)) => (span.millis(), span.millis()),
        Some(Drawn::Range(low, high)) => (low.millis(), high.millis()),
        Some(choice @ Drawn::Choice(_)) => {
            let ms = draws.span(Some(choice), Span(0)).millis();
            (ms, ms)
        }
    }
}

/// Servers that clients know of: all but twins.
fn members_of(world: &World) -> u32 {
    crate::faults::members(world).count() as u32
}

/// A client that begins to write when everything is healed: what a new user would see.
pub fn add_probe(world: &mut World) {
    let workload = Workload {
        clients: 1,
        mix: Mix { create: 1, set: 1, ..Mix::NONE },
        think: Duration::from_millis(10),
        ..Workload::default()
    };
    let entity = world.seats.len() as u32;
    let servers = members_of(world);
    let probe = Client::new(entity, Arc::new(workload), servers, world.now, &mut world.dice);
    world.add_client(probe);
}
