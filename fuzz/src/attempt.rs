//! One run of a draft, and a panic of the code under test taken for what it is: something that broke.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use zk_sim::run::Run;

use crate::draft::Draft;

/// How a draft failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In a word that does not change with seeds: an invariant's number, or `panic`.
    pub kind: String,
    /// In a sentence.
    pub what: String,
}

/// What came of a draft.
#[derive(Debug)]
pub struct Attempt {
    /// The run; `None` if it panicked.
    pub run: Option<Run>,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// Runs it. Panics print what they always print, unless the caller has set another hook.
pub fn attempt(draft: &Draft) -> Attempt {
    match catch_unwind(AssertUnwindSafe(|| draft.run())) {
        Ok(run) => {
            let (kind, what) = (run.verdict.kind(), format!("{:?}", run.verdict));
            let failure = (!run.verdict.is_good()).then_some(Failure { kind, what });
            Attempt { run: Some(run), failure }
        }
        Err(panic) => {
            let failure = Failure { kind: "panic".to_owned(), what: message(panic.as_ref()) };
            Attempt { run: None, failure: Some(failure) }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    text.unwrap_or("a panic without words").to_owned()
}
