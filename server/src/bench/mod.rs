//! `server bench`: a load generator for ZooKeeper servers, ours and Apache's alike.
//!
//! It answers two questions: how long operations take (`latency`), and what one costs the server (`usage`). On a
//! machine that client and server share, throughput says as much about the client as about the server; CPU time per
//! operation does not, and the client states its own beside it.
//!
//! One thread drives all sessions (`engine`); what they ask for comes from a `workload`, when they ask from the `run`.
//! TLS, authentication and watches are outside its scope.

mod args;
mod engine;
mod latency;
mod report;
mod run;
mod schedule;
mod session;
mod setup;
mod usage;
mod workload;

use anyhow::{Context, Result};

pub use args::{Args, Created, Operation};

pub(crate) use args::{resolve, seconds};
pub(crate) use session::put_session_request;

use args::{Afterwards, Plan};
use engine::Engine;
use report::Report;
use workload::Workload;

/// How a bench ended, if it could be carried out at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every operation succeeded.
    Clean,
    /// Operations failed or sessions were lost; the report names them.
    Failures,
}

/// Makes the run's znodes, loads the servers, prints the report, removes the znodes.
pub fn run(args: &Args) -> Result<Verdict> {
    let plan = Plan::new(args)?;
    let pids = usage::processes(&plan.pids, &plan.servers)?;
    let mut engine = Engine::connect(&plan.servers, plan.sessions, plan.session_timeout_ms, plan.patience)?;
    let mut workload = Workload::new(&plan);
    let ancestors = setup::make(&mut engine, &plan, &workload).context("before the run")?;
    let found = run::run(&mut engine, &plan, &mut workload, &pids)?;
    let report = Report::new(&plan, &pids, &found, engine.losses());
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    if plan.afterwards == Afterwards::Remove {
        setup::remove(&mut engine, &plan, &workload, ancestors).context("after the run")?;
    }
    setup::close(&mut engine)?;
    Ok(if report.is_clean() { Verdict::Clean } else { Verdict::Failures })
}
