//! Runs against a server that exists in virtual time only: it answers after a fixed time, one request after another,
//! and stands still for a while if told so.

use super::*;
use std::collections::VecDeque;
use zk_core::error::OpError;
use zk_core::wire::client::{GetDataResponse, SetDataResponse};
use zk_core::wire::records::Stat;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// What the virtual server does.
struct Server {
    /// Nanoseconds from one answer of a session to its next.
    service: u64,
    /// It answers nothing between these times; for ever, if the second is `u64::MAX`.
    stall: (u64, u64),
    /// The answer to everything.
    answer: fn(&Request) -> Outcome,
}

impl Server {
    const fn steady(service: u64) -> Self {
        Self { service, stall: (0, 0), answer: success }
    }

    /// When a request is answered that this server takes up at `from`; `None`: never.
    fn answers_at(&self, from: u64) -> Option<u64> {
        let end = from + self.service;
        if end <= self.stall.0 || from >= self.stall.1 {
            return Some(end);
        }
        (self.stall.1 != u64::MAX).then(|| self.stall.1 + self.service)
    }
}

fn success(request: &Request) -> Outcome {
    let stat = Stat::default();
    Outcome::Answered(match request {
        Request::SetData(_) => Reply::SetData(SetDataResponse { stat }),
        _ => Reply::GetData(GetDataResponse { data: None, stat }),
    })
}

/// What a run had counted at its end.
struct Seen {
    warm_up: Ended,
    measured: Ended,
    writes: u64,
    latencies: Latencies,
    last_end: Option<u64>,
}

/// Plays the engine's part: sessions ask when they have room, answers come in the order of the requests.
fn play(plan: &Plan, server: &Server) -> Seen {
    let mut workload = Workload::new(plan);
    let mut run = Run::new(plan, &mut workload, &[], 0);
    let mut queues: Vec<VecDeque<(u64, Request, Sent)>> = vec![VecDeque::new(); plan.sessions];
    let mut now = 0;
    loop {
        run.turn(now);
        let mut wakes = Vec::new();
        for (session, queue) in queues.iter_mut().enumerate() {
            while queue.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, request, sent) = queue.pop_front().expect("it was looked at");
                run.ended(&sent, (server.answer)(&request), now);
            }
            while queue.len() < run.outstanding() {
                match run.next(session, now) {
                    Next::Send { request, started, tag } => {
                        let from = queue.back().map_or(now, |(at, ..)| *at).max(now);
                        let at = if from == u64::MAX { None } else { server.answers_at(from) };
                        let sent = Sent::for_test(request.op(), started, tag);
                        queue.push_back((at.unwrap_or(u64::MAX), request, sent));
                    }
                    Next::At(time) => {
                        wakes.push(time);
                        break;
                    }
                    Next::Done => break,
                }
            }
            wakes.extend(queue.front().map(|(at, ..)| *at));
        }
        let Some(wake) = wakes.into_iter().min() else { break };
        if wake > now + nanos(plan.patience) {
            now += nanos(plan.patience);
            queues.iter().flatten().for_each(|(_, _, sent)| run.ended(sent, Outcome::Unanswered, now));
            break;
        }
        now = wake;
    }
    run.count_never_started(now);
    let mut latencies = Latencies::new();
    run.latencies.values().for_each(|kind| latencies.add(kind));
    Seen {
        warm_up: run.warm_up,
        measured: run.measured,
        writes: run.writes,
        latencies,
        last_end: run.last_end,
    }
}

fn open(rate: u64, seconds: u64) -> Plan {
    Plan {
        pace: Loop::Open { rate },
        extent: Extent::For(Duration::from_secs(seconds)),
        outstanding: 64,
        patience: Duration::from_secs(10),
        ..Plan::example()
    }
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= expected * 0.01
}

#[test]
fn a_closed_loop_counts_a_stall_once() {
    let plan = Plan { extent: Extent::For(Duration::from_secs(10)), ..Plan::example() };
    let seen = play(&plan, &Server { stall: (2 * SECOND, 3 * SECOND), ..Server::steady(MS) });
    let summary = seen.latencies.summary().expect("operations");
    assert!(near(summary.p999, 1_000.0), "{summary:?}");
    assert!(near(summary.max, 1_001_000.0), "{summary:?}");
}

#[test]
fn an_open_loop_counts_a_stall_for_every_operation_that_was_due_in_it() {
    // 100 of 1000 operations fall due while the server stands still for one second of ten.
    let server = Server { stall: (2 * SECOND, 3 * SECOND), ..Server::steady(MS) };
    let seen = play(&open(100, 10), &server);
    let summary = seen.latencies.summary().expect("operations");
    assert_eq!((summary.count, seen.measured.succeeded), (1_000, 1_000));
    assert!(near(summary.p50, 1_000.0), "{summary:?}");
    assert!(summary.p90 > 1_000.0 * 50.0, "{summary:?}");
    assert!(near(summary.max, 1_001_000.0), "{summary:?}");
}

#[test]
fn waiting_in_a_session_for_room_counts_as_latency() {
    // One request at a time, and each takes twice the time until the next falls due.
    let plan = Plan { outstanding: 1, ..open(100, 1) };
    let seen = play(&plan, &Server::steady(20 * MS));
    let summary = seen.latencies.summary().expect("operations");
    assert_eq!(summary.count, 100);
    assert!(near(summary.max, 1_010_000.0), "{summary:?}");
    assert!(near(summary.p50, 510_000.0), "{summary:?}");
}

#[test]
fn operations_without_an_answer_count_with_the_time_they_waited() {
    let server = Server { stall: (SECOND, u64::MAX), ..Server::steady(MS) };
    let seen = play(&Plan { outstanding: 4, ..open(10, 2) }, &server);
    let summary = seen.latencies.summary().expect("operations");
    assert_eq!(summary.count, 20);
    assert_eq!(seen.measured.succeeded, 10);
    assert_eq!(seen.measured.failed.get("no answer"), Some(&4));
    assert_eq!(seen.measured.failed.get(NEVER_SENT), Some(&6));
    // The first was due at 1.0 s; given up ten seconds after the fourth was sent.
    assert!(near(summary.max, 10_301_000.0), "{summary:?}");
}

#[test]
fn a_count_is_met_exactly_after_the_warm_up() {
    for (pace, sessions) in [(Loop::Closed, 3), (Loop::Open { rate: 700 }, 3)] {
        let plan = Plan {
            pace,
            sessions,
            outstanding: 5,
            warm_up: Duration::from_secs(1),
            extent: Extent::Count(1_234),
            ..Plan::example()
        };
        let seen = play(&plan, &Server::steady(MS));
        assert_eq!(seen.measured.succeeded, 1_234, "{pace:?}");
        assert!(seen.warm_up.succeeded > 600, "{pace:?}: {:?}", seen.warm_up);
        assert_eq!(seen.latencies.summary().map(|s| s.count), Some(1_234), "{pace:?}");
    }
}

#[test]
fn a_closed_window_lasts_as_long_as_it_was_told_after_the_warm_up() {
    let plan = Plan {
        warm_up: Duration::from_secs(2),
        extent: Extent::For(Duration::from_secs(3)),
        ..Plan::example()
    };
    let seen = play(&plan, &Server::steady(MS));
    assert_eq!((seen.warm_up.succeeded, seen.measured.succeeded), (2_000, 3_000));
    assert_eq!(seen.last_end, Some(5 * SECOND));
}

#[test]
fn refusals_and_wrong_data_are_counted_by_name() {
    let plan = Plan { extent: Extent::Count(5), ..Plan::example() };
    let refusing = Server { answer: |_| Outcome::Refused(OpError::NoNode.code()), ..Server::steady(MS) };
    let seen = play(&plan, &refusing);
    assert_eq!(seen.measured.failed.get("no node (-101)"), Some(&5), "{:?}", seen.measured);
    let seen = play(&Plan { size: 3, ..plan }, &Server::steady(MS));
    assert_eq!(seen.measured.succeeded, 0);
    assert_eq!((seen.measured.failed.values().sum::<u64>(), seen.measured.answered), (5, 5));
}

#[test]
fn writes_are_counted_in_warm_up_and_window() {
    let plan = Plan {
        operation: super::super::args::Operation::Mixed,
        reads_percent: 50,
        warm_up: Duration::from_secs(1),
        extent: Extent::For(Duration::from_secs(1)),
        ..Plan::example()
    };
    let seen = play(&plan, &Server::steady(MS));
    let all = seen.warm_up.succeeded + seen.measured.succeeded;
    assert_eq!(all, 2_000);
    assert!((900..1_100).contains(&seen.writes), "{}", seen.writes);
}

#[test]
fn an_overloaded_window_starts_without_the_warm_up_s_debt_and_stops_after_patience() {
    // A tenth of what falls due can be served.
    let plan = Plan {
        warm_up: Duration::from_secs(10),
        patience: Duration::from_secs(5),
        outstanding: 1,
        ..open(1_000, 10)
    };
    let seen = play(&plan, &Server::steady(10 * MS));
    let summary = seen.latencies.summary().expect("operations");
    assert_eq!(summary.count, 10_000);
    // Ten seconds of the window and five of patience, at 100 a second.
    assert!((1_498..=1_502).contains(&seen.measured.succeeded), "{:?}", seen.measured);
    assert_eq!(seen.measured.failed.get(NEVER_SENT), Some(&(10_000 - seen.measured.succeeded)));
    assert!(near(summary.min, 10_000.0), "{summary:?}");
}
