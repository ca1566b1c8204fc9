//! The measured run: warm-up, then a window in which every operation that starts is counted, then the last answers.
//!
//! In a closed loop an operation starts when it is sent; in an open loop when it is due. One that never ends is counted
//! with the time that it had waited when the run was given up, so that percentiles never look better for it. What an
//! overloaded server has not been asked by the end of the warm-up is left out: the window does not begin with a debt.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use zk_core::ids::Zxid;
use zk_core::wire::client::op;

use super::args::{Extent, Loop, Plan};
use super::engine::{Engine, Next, Outcome, Source, nanos};
use super::latency::Latencies;
use super::schedule::Schedule;
use super::session::Sent;
use super::setup::describe;
use super::usage;
use super::workload::Workload;

/// Marks of operations.
const WARM_UP: u64 = 0;
const MEASURED: u64 = 1;

/// When the next operation starts and whether it is measured.
#[derive(Debug)]
enum Pace {
    Closed {
        extent: Extent,
        /// Measured operations so far.
        sent: u64,
    },
    Open {
        schedule: Schedule,
        /// The first measured operation's number.
        first: u64,
        /// The number after the last one's.
        end: u64,
        /// When what is overdue is not sent any more.
        latest: u64,
    },
}

/// What the run and its processes had used at some moment.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// Nanoseconds of the run's clock.
    pub(super) at: u64,
    /// CPU time of this process.
    pub(super) own: Duration,
    /// CPU time of the servers' processes together; `None` if they cannot be seen.
    pub(super) servers: Option<Duration>,
    /// Their resident memory, bytes.
    pub(super) resident: Option<u64>,
    /// CPU time of this machine.
    pub(super) machine: Option<Duration>,
}

impl Cost {
    /// A server that has ended since it was found has no figures any more; that it ended shows in the lost sessions.
    fn now(at: u64, pids: &[u32]) -> Self {
        let cpu = pids.iter().map(|pid| usage::cpu(*pid)).sum::<Result<Duration>>();
        let resident = pids.iter().map(|pid| usage::resident(*pid)).sum::<Result<u64>>();
        let seen = !pids.is_empty();
        Self {
            at,
            own: usage::own_cpu(),
            servers: cpu.ok().filter(|_| seen),
            resident: resident.ok().filter(|_| seen),
            machine: usage::machine_cpu().ok(),
        }
    }
}

/// Counts of operations by how they ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) succeeded: u64,
    /// By the error's name.
    pub(super) failed: BTreeMap<String, u64>,
    /// Those that the server answered, in whatever way.
    pub(super) answered: u64,
}

/// What a run has found.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) opened: Cost,
    pub(super) closed: Cost,
    /// Time of the last measured operation's end, nanoseconds of the run's clock.
    pub(super) last_end: u64,
    pub(super) warm_up: Ended,
    pub(super) measured: Ended,
    /// Operations of warm-up and window that were sent and that change the tree.
    pub(super) writes: u64,
    /// Zxids around the run: the highest seen before and after.
    pub(super) zxids: (Zxid, Zxid),
    /// Of measured operations, by opcode.
    pub(super) latencies: BTreeMap<i32, Latencies>,
}

/// Runs the plan's workload on sessions that are open.
pub(super) fn run(
    engine: &mut Engine,
    plan: &Plan,
    workload: &mut Workload,
    pids: &[u32],
) -> Result<Findings> {
    let before = engine.last_zxid();
    let mut run = Run::new(plan, workload, pids, engine.now());
    engine.drive(&mut run)?;
    let now = engine.now();
    run.count_never_started(now);
    let closed = Cost::now(now, pids);
    // A run that was given up in its warm-up has measured nothing, at no cost.
    let opened = run.opened.clone().unwrap_or_else(|| closed.clone());
    Ok(Findings {
        last_end: run.last_end.unwrap_or(now),
        opened,
        closed,
        warm_up: run.warm_up,
        measured: run.measured,
        writes: run.writes,
        zxids: (before, engine.last_zxid()),
        latencies: run.latencies,
    })
}

#[derive(Debug)]
struct Run<'a> {
    workload: &'a mut Workload,
    pids: &'a [u32],
    outstanding: usize,
    pace: Pace,
    /// When the window opens.
    opens: u64,
    opened: Option<Cost>,
    last_end: Option<u64>,
    warm_up: Ended,
    measured: Ended,
    writes: u64,
    latencies: BTreeMap<i32, Latencies>,
}

impl<'a> Run<'a> {
    fn new(plan: &Plan, workload: &'a mut Workload, pids: &'a [u32], now: u64) -> Self {
        let (pace, opens) = match plan.pace {
            Loop::Closed => (Pace::Closed { extent: plan.extent, sent: 0 }, now + nanos(plan.warm_up)),
            Loop::Open { rate } => {
                let schedule = Schedule::new(now, rate, plan.sessions);
                let first = schedule.number_at(plan.warm_up);
                let end = first
                    + match plan.extent {
                        Extent::For(duration) => schedule.number_at(duration),
                        Extent::Count(count) => count,
                    };
                let opens = schedule.time_of(first);
                let latest = schedule.time_of(end) + nanos(plan.patience);
                (Pace::Open { schedule, first, end, latest }, opens)
            }
        };
        Self {
            workload,
            pids,
            outstanding: plan.outstanding,
            pace,
            opens,
            opened: None,
            last_end: None,
            warm_up: Ended::default(),
            measured: Ended::default(),
            writes: 0,
            latencies: BTreeMap::new(),
        }
    }

    /// Operations that were due in the window, but whose session had been lost or too busy to send them at all.
    fn count_never_started(&mut self, now: u64) {
        let Pace::Open { schedule, first, end, .. } = &mut self.pace else { return };
        let mut waited = Vec::new();
        for session in 0..schedule.sessions() {
            while schedule.number(session) < *end {
                if schedule.number(session) >= *first {
                    waited.push(now.saturating_sub(schedule.due(session)));
                }
                schedule.advance(session);
            }
        }
        for ns in waited {
            *self.measured.failed.entry(NEVER_SENT.into()).or_default() += 1;
            // Its kind was never drawn; it waited all the same.
            self.latencies.entry(op::ERROR).or_insert_with(Latencies::new).record(ns);
        }
    }

    /// Skips what was due in the warm-up and has not been sent.
    fn leave_debt_behind(&mut self) {
        let Pace::Open { schedule, first, .. } = &mut self.pace else { return };
        for session in 0..schedule.sessions() {
            while schedule.number(session) < *first {
                schedule.advance(session);
            }
        }
    }

    fn send(&mut self, started: u64, tag: u64) -> Next {
        let request = self.workload.next();
        self.writes += u64::from(request.op() != op::GET_DATA);
        Next::Send { request, started, tag }
    }
}

/// The name of the error of operations that were due and could not be sent.
const NEVER_SENT: &str = "never sent";

impl Source for Run<'_> {
    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn turn(&mut self, now: u64) {
        if self.opened.is_none() && now >= self.opens {
            self.opened = Some(Cost::now(now, self.pids));
            // Whatever the sampling took is not the window's.
            self.opens = now;
            self.leave_debt_behind();
        }
    }

    fn next(&mut self, session: usize, now: u64) -> Next {
        let opened = self.opened.is_some();
        match &mut self.pace {
            Pace::Closed { extent, sent } => {
                let over = match extent {
                    Extent::For(duration) => opened && now >= self.opens + nanos(*duration),
                    Extent::Count(count) => *sent >= *count,
                };
                if over {
                    return Next::Done;
                }
                *sent += u64::from(opened);
                self.send(now, if opened { MEASURED } else { WARM_UP })
            }
            Pace::Open { schedule, first, end, latest } => {
                let (number, due) = (schedule.number(session), schedule.due(session));
                if number >= *end || now > *latest {
                    return Next::Done;
                }
                if due > now {
                    return Next::At(due);
                }
                schedule.advance(session);
                let tag = if number >= *first { MEASURED } else { WARM_UP };
                self.send(due, tag)
            }
        }
    }

    fn ended(&mut self, sent: &Sent, outcome: Outcome, now: u64) {
        let measured = sent.tag == MEASURED;
        let ended = if measured { &mut self.measured } else { &mut self.warm_up };
        ended.answered += u64::from(!matches!(outcome, Outcome::Unanswered));
        let fault = match &outcome {
            Outcome::Answered(reply) => self.workload.fault(reply),
            other => Some(describe(other)),
        };
        match fault {
            None => ended.succeeded += 1,
            Some(fault) => *ended.failed.entry(fault).or_default() += 1,
        }
        if measured {
            self.last_end = Some(now);
            let latency = now.saturating_sub(sent.started);
            self.latencies.entry(sent.op).or_insert_with(Latencies::new).record(latency);
        }
    }
}

#[cfg(test)]
mod tests;
