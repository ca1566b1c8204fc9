//! Before and after a run: the znodes that it needs are made, everything that it left is removed.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};

use zk_core::error::OpError;
use zk_core::text::Text;
use zk_core::wire::client::{DeleteRequest, GetChildrenRequest, SetDataRequest};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use super::args::{Operation, Plan};
use super::engine::{Engine, Next, Outcome, Source};
use super::session::Sent;
use super::workload::{Workload, create};

/// Requests in flight over all sessions: below `globalOutstandingLimit` (1000), where Java begins to hold back.
const OUTSTANDING: usize = 900;
/// Directories whose children are listed at a time.
const LISTED: usize = 64;

/// Znodes above those of the run that were not there before, outermost first.
#[derive(Debug)]
pub(super) struct Ancestors(Vec<Text>);

/// Makes --root and the znodes in it; those that are there already get the run's data.
pub(super) fn make(engine: &mut Engine, plan: &Plan, workload: &Workload) -> Result<Ancestors> {
    let mut made = Vec::new();
    let ends = plan.root.match_indices('/').map(|(at, _)| at).skip(1).chain([plan.root.len()]);
    for end in ends {
        let path = Text::from(&plan.root[..end]);
        let request = create(path.clone(), bytes::Bytes::new(), 0);
        batch(engine, [request], |_, outcome| match outcome {
            Outcome::Answered(_) => {
                made.push(path.clone());
                Ok(())
            }
            Outcome::Refused(code) if code == OpError::NodeExists.code() => Ok(()),
            other => Err(unexpected(&other)),
        })
        .with_context(|| format!("making {path}"))?;
    }
    let mut stale = Vec::new();
    let requests = workload.foundation().map(|(path, data)| create(path, data, 0));
    batch(engine, requests, |nth, outcome| match outcome {
        Outcome::Answered(_) => Ok(()),
        Outcome::Refused(code) if code == OpError::NodeExists.code() => {
            stale.push(nth);
            Ok(())
        }
        other => Err(unexpected(&other)),
    })
    .context("making the run's znodes")?;
    stale.sort_unstable();
    let mut stale = stale.into_iter().peekable();
    let requests = (0_u64..).zip(workload.foundation()).filter_map(|(nth, (path, data))| {
        stale.next_if_eq(&nth)?;
        Some(Request::SetData(SetDataRequest { path, data: Some(data), version: -1 }))
    });
    batch(engine, requests, |_, outcome| expect_answer(outcome)).context("writing the run's znodes")?;
    Ok(Ancestors(made))
}

/// Removes what [`make`] and the run have made.
pub(super) fn remove(
    engine: &mut Engine,
    plan: &Plan,
    workload: &Workload,
    ancestors: Ancestors,
) -> Result<()> {
    let paths: Vec<Text> = workload.foundation().map(|(path, _)| path).collect();
    if plan.operation == Operation::Create {
        for directories in paths.chunks(LISTED) {
            remove_children(engine, directories).context("removing created znodes")?;
        }
    }
    let above = ancestors.0.into_iter().rev();
    batch(engine, paths.into_iter().map(delete), |_, outcome| expect_gone(outcome))
        .context("removing the run's znodes")?;
    for path in above {
        let shown = path.clone();
        batch(engine, [delete(path)], |_, outcome| expect_gone(outcome))
            .with_context(|| format!("removing {shown}"))?;
    }
    Ok(())
}

/// Closes the sessions, so that what belongs to them goes now and not when they expire.
pub(super) fn close(engine: &mut Engine) -> Result<()> {
    let mut closing = Closing { asked: BTreeSet::new(), fault: None };
    engine.drive(&mut closing)?;
    closing.fault.map_or(Ok(()), |fault| Err(fault.context("closing a session")))
}

fn remove_children(engine: &mut Engine, directories: &[Text]) -> Result<()> {
    let lists = directories
        .iter()
        .map(|path| Request::GetChildren(GetChildrenRequest { path: path.clone(), watch: false }));
    let mut children = Vec::new();
    batch(engine, lists, |nth, outcome| match outcome {
        Outcome::Answered(Reply::GetChildren(list)) => {
            let directory = &directories[nth as usize];
            children.extend(list.children.iter().map(|name| Text::from(format!("{directory}/{name}"))));
            Ok(())
        }
        other => Err(unexpected(&other)),
    })?;
    batch(engine, children.into_iter().map(delete), |_, outcome| expect_gone(outcome))
}

fn delete(path: Text) -> Request {
    Request::Delete(DeleteRequest { path, version: -1 })
}

fn expect_answer(outcome: Outcome) -> Result<()> {
    match outcome {
        Outcome::Answered(_) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// An ephemeral may have gone with its session meanwhile.
fn expect_gone(outcome: Outcome) -> Result<()> {
    match outcome {
        Outcome::Refused(code) if code == OpError::NoNode.code() => Ok(()),
        other => expect_answer(other),
    }
}

fn unexpected(outcome: &Outcome) -> anyhow::Error {
    anyhow!("{}", describe(outcome))
}

/// What became of an operation, in words that name the error.
pub(super) fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(_) => "answered".into(),
        Outcome::Refused(code) => match OpError::from_code(*code) {
            Some(error) => format!("{error} ({code})"),
            None => format!("error {code}"),
        },
        Outcome::Malformed(what) => format!("malformed reply: {what}"),
        Outcome::Unanswered => "no answer".into(),
    }
}

/// Carries out a list of requests in no particular order and hands each outcome, with the request's place in the
/// list, to `each`; its first error ends the batch.
fn batch<I, F>(engine: &mut Engine, requests: I, each: F) -> Result<()>
where
    I: IntoIterator<Item = Request>,
    F: FnMut(u64, Outcome) -> Result<()>,
{
    let outstanding = (OUTSTANDING / engine.alive().max(1)).clamp(1, 128);
    let mut batch = Batch { requests: (0..).zip(requests), each, outstanding, fault: None };
    engine.drive(&mut batch)?;
    if let Some(fault) = batch.fault {
        return Err(fault);
    }
    if batch.requests.next().is_some() {
        bail!("no session is left: {}", engine.losses().join("; "));
    }
    Ok(())
}

struct Batch<I, F> {
    requests: I,
    each: F,
    outstanding: usize,
    fault: Option<anyhow::Error>,
}

impl<I, F> Source for Batch<I, F>
where
    I: Iterator<Item = (u64, Request)>,
    F: FnMut(u64, Outcome) -> Result<()>,
{
    fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn turn(&mut self, _now: u64) {}

    fn next(&mut self, _session: usize, now: u64) -> Next {
        if self.fault.is_some() {
            return Next::Done;
        }
        match self.requests.next() {
            Some((tag, request)) => Next::Send { request, started: now, tag },
            None => Next::Done,
        }
    }

    fn ended(&mut self, sent: &Sent, outcome: Outcome, _now: u64) {
        if let Err(fault) = (self.each)(sent.tag, outcome) {
            self.fault.get_or_insert(fault);
        }
    }
}

/// One closeSession on each session.
struct Closing {
    /// Sessions that have sent theirs.
    asked: BTreeSet<usize>,
    fault: Option<anyhow::Error>,
}

impl Source for Closing {
    fn outstanding(&self) -> usize {
        1
    }

    fn turn(&mut self, _now: u64) {}

    fn next(&mut self, session: usize, now: u64) -> Next {
        if !self.asked.insert(session) {
            return Next::Done;
        }
        Next::Send { request: Request::CloseSession, started: now, tag: 0 }
    }

    fn ended(&mut self, _sent: &Sent, outcome: Outcome, _now: u64) {
        if let Err(fault) = expect_answer(outcome) {
            self.fault.get_or_insert(fault);
        }
    }
}
