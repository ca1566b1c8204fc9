//! Every interleaving of elections, within bounds that take seconds; `sim explore` takes larger ones.
//!
//! What is walked in full here, with three servers unless it says otherwise:
//!
//! | beginning | links | bounds |
//! |---|---|---|
//! | all down, each starts at some time | at once | one repetition; or one crash and restart |
//! | all elect | at once | one broken link |
//! | two of three (the third never comes), all down | fine | one repetition, one broken link, one crash and restart |
//! | an established ensemble | fine | one power cut with half-open links and one repetition; or one crash, one lost role |
//! | an established ensemble | at once | one crash, one lost role, one epoch more; or one crash, two lost roles |
//! | two voters and an observer that has more, all down | at once | one crash and restart |

use zk_sim::explore::election::{Beginning, Bounds, Ensemble, Planted, Setup, Wiring};
use zk_sim::explore::{Broken, Outcome, explore};

const NONE: Bounds = Bounds { silences: 0, breaks: 0, crashes: 0, power_cuts: 0, lost_roles: 0, epochs: 0 };

/// More than any of these walks has.
const STATES_MAX: usize = 3_000_000;

/// Three voters without a history.
fn three(beginning: Beginning, wiring: Wiring, bounds: Bounds) -> Setup {
    let (voters, observers) = (vec![(0, 0); 3], vec![]);
    Setup { voters, observers, absent: 0, beginning, wiring, bounds, planted: None }
}

/// Walks all of it; at least so many states, or the walk is not what it was.
fn holds(setup: &Setup, states_min: usize) {
    let report = explore(Ensemble::new(setup), STATES_MAX);
    assert_eq!(report.outcome, Outcome::Complete, "{report}");
    assert!(report.states >= states_min && report.ends > 0, "{report}");
}

/// The rule that a bug breaks, in a world that is sound without it as far as a short walk sees.
fn breaks(setup: Setup, planted: Planted) -> &'static str {
    let sound = explore(Ensemble::new(&setup), 20_000);
    assert!(!matches!(sound.outcome, Outcome::Broken { .. }), "{sound}");
    let report = explore(Ensemble::new(&Setup { planted: Some(planted), ..setup }), STATES_MAX);
    let Outcome::Broken { broken: Broken { rule, .. }, path, .. } = report.outcome else {
        panic!("the bug was not found: {report}");
    };
    assert!(!path.is_empty(), "a counterexample says how it came about");
    rule
}

#[test]
fn an_election_from_a_cold_start_holds_with_repetitions() {
    holds(&three(Beginning::Cold, Wiring::Coarse, Bounds { silences: 1, ..NONE }), 200_000);
}

#[test]
fn an_election_holds_when_a_link_breaks() {
    holds(&three(Beginning::Together, Wiring::Coarse, Bounds { breaks: 1, ..NONE }), 150_000);
}

#[test]
fn an_election_from_a_cold_start_holds_when_a_server_crashes_and_comes_back() {
    holds(&three(Beginning::Cold, Wiring::Coarse, Bounds { crashes: 1, ..NONE }), 500_000);
}

#[test]
fn an_election_by_epoch_zxid_and_sid_holds() {
    let voters = vec![(2, 0x1_0000_0005), (1, 0x1_0000_0009), (2, 0x1_0000_0004)];
    holds(&Setup { voters, ..three(Beginning::Cold, Wiring::Coarse, NONE) }, 20_000);
}

#[test]
fn links_hold_dial_by_dial_with_repetitions_breaks_and_crashes() {
    let bounds = Bounds { silences: 1, breaks: 1, crashes: 1, ..NONE };
    holds(&Setup { absent: 1, ..three(Beginning::Cold, Wiring::Fine, bounds) }, 50_000);
}

#[test]
fn half_open_links_are_replaced() {
    let bounds = Bounds { power_cuts: 1, silences: 1, ..NONE };
    holds(&three(Beginning::Established, Wiring::Fine, bounds), 5_000);
}

#[test]
fn an_ensemble_survives_a_crash_dial_by_dial() {
    let bounds = Bounds { crashes: 1, lost_roles: 1, ..NONE };
    holds(&three(Beginning::Established, Wiring::Fine, bounds), 50_000);
}

#[test]
fn an_ensemble_elects_and_establishes_again_after_a_crash() {
    let bounds = Bounds { crashes: 1, lost_roles: 1, epochs: 1, ..NONE };
    holds(&three(Beginning::Established, Wiring::Coarse, bounds), 10_000);
    let bounds = Bounds { crashes: 1, lost_roles: 2, ..NONE };
    holds(&three(Beginning::Established, Wiring::Coarse, bounds), 500_000);
}

#[test]
fn an_observer_never_counts() {
    let setup = three(Beginning::Cold, Wiring::Coarse, Bounds { crashes: 1, ..NONE });
    holds(&Setup { voters: vec![(0, 0); 2], observers: vec![(0, 9)], ..setup }, 50_000);
}

#[test]
fn an_order_of_votes_by_zxid_is_found() {
    let voters = vec![(1, 5), (1, 9), (2, 1)];
    let setup = Setup { voters, ..three(Beginning::Together, Wiring::Coarse, NONE) };
    assert_eq!(breaks(setup, Planted::ZxidBeforeEpoch), "I12");
}

#[test]
fn words_that_count_in_any_round_are_found() {
    let bounds = Bounds { crashes: 1, lost_roles: 2, epochs: 1, ..NONE };
    let setup = three(Beginning::Established, Wiring::Coarse, bounds);
    assert_eq!(breaks(setup, Planted::RoundsIgnored), "I11");
}

#[test]
fn words_that_count_in_one_round_only_are_found() {
    let bounds = Bounds { crashes: 1, lost_roles: 2, ..NONE };
    let setup = three(Beginning::Established, Wiring::Coarse, bounds);
    assert_eq!(breaks(setup, Planted::RoundsMustAgree), "I41");
}

#[test]
fn a_server_that_is_not_let_in_again_is_found() {
    let setup = three(Beginning::Established, Wiring::Fine, Bounds { power_cuts: 1, ..NONE });
    assert_eq!(breaks(setup, Planted::OldLinkKept), "I41");
}

#[test]
fn a_link_whose_end_ends_all_hearing_is_found() {
    let setup = three(Beginning::Together, Wiring::Coarse, Bounds { breaks: 1, ..NONE });
    assert_eq!(breaks(setup, Planted::OneEndEndsAll), "I41");
}

#[test]
fn an_observer_that_counts_is_found() {
    let setup = three(Beginning::Cold, Wiring::Coarse, NONE);
    let setup = Setup { voters: vec![(0, 0); 2], observers: vec![(0, 9)], ..setup };
    assert_eq!(breaks(setup, Planted::StrangersCount), "I11");
}

#[test]
fn a_walk_is_the_same_every_time() {
    let setup = three(Beginning::Established, Wiring::Fine, Bounds { power_cuts: 1, ..NONE });
    let [a, b] = [(); 2].map(|()| explore(Ensemble::new(&setup), STATES_MAX).to_string());
    assert_eq!(a, b);
}
