//! What every rule of quorums must hold, whatever the config; and a naive count to compare with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use zk_core::config::member::{Member, Role};
use zk_core::config::quorum_config::{Hierarchy, QuorumConfig};
use zk_core::ids::{Sid, Zxid};
use zk_core::quorum::{Acks, Membership, QuorumVerifier, Standing};

fn config() -> ProptestConfig {
    // No regression files: a failing case is printed, and becomes a test of its own.
    ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() }
}

fn member(sid: Sid, role: Role) -> Member {
    let text = if role == Role::Observer { "h:1:2:observer" } else { "h:1:2" };
    Member::parse(sid, text).unwrap()
}

/// Of servers 1 to 9, some participants, some observers, some not there at all; majority or groups.
fn quorum_config() -> BoxedStrategy<QuorumConfig> {
    let role = prop_oneof![3 => Just(Role::Participant), 1 => Just(Role::Observer)];
    let members = btree_map((1..=9i64).prop_map(Sid), role, 1..=9);
    let groups = vec(1..=4i64, 9);
    let weights = btree_map((1..=9i64).prop_map(Sid), prop_oneof![Just(0), 0..5u32], 0..=9);
    (members, proptest::option::of((groups, weights)))
        .prop_filter_map("somebody votes, with some weight", |(members, hierarchy)| {
            let hierarchy = hierarchy.map(|(of, weights)| {
                let mut groups = BTreeMap::<i64, Vec<Sid>>::new();
                for (i, group) in of.into_iter().enumerate() {
                    groups.entry(group).or_default().push(Sid(i as i64 + 1));
                }
                Hierarchy { groups, weights }
            });
            let members = members.into_iter().map(|(sid, role)| member(sid, role));
            QuorumConfig::new(Zxid::ZERO, members, hierarchy).ok()
        })
        .boxed()
}

/// Servers that may or may not be members.
fn sids() -> BoxedStrategy<BTreeSet<Sid>> {
    btree_set((0..=11i64).prop_map(Sid), 0..=12).boxed()
}

/// The rule in its plainest words.
fn is_quorum(config: &QuorumConfig, acked: &BTreeSet<Sid>) -> bool {
    let acked: BTreeSet<Sid> = config.voters().filter(|sid| acked.contains(sid)).collect();
    let Some(Hierarchy { groups, weights }) = config.hierarchy() else {
        return 2 * acked.len() > config.voters().count();
    };
    let weight = |sids: &[Sid], of: &dyn Fn(&Sid) -> bool| -> u32 {
        let voters: BTreeSet<_> = config.voters().collect();
        sids.iter().filter(|sid| voters.contains(sid) && of(sid)).map(|sid| weights[sid]).sum()
    };
    let heavy: Vec<_> = groups.values().filter(|sids| weight(sids, &|_| true) > 0).collect();
    let won = heavy
        .iter()
        .filter(|sids| 2 * weight(sids, &|sid| acked.contains(sid)) > weight(sids, &|_| true))
        .count();
    2 * won > heavy.len()
}

fn acks(membership: &Membership, sids: &BTreeSet<Sid>) -> Acks {
    let mut acks = Acks::new(membership.quorums().clone());
    sids.iter().for_each(|sid| assert_eq!(acks.add(*sid), membership.quorums().is_voter(*sid)));
    acks
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_quorum_is_what_the_plain_rule_says(config in quorum_config(), acked in sids()) {
        let verifier = QuorumVerifier::of(&config);
        prop_assert_eq!(verifier.contains_quorum(|sid| acked.contains(&sid)), is_quorum(&config, &acked));
    }

    #[test]
    fn two_quorums_have_a_voter_in_common(config in quorum_config(), a in sids(), b in sids()) {
        let verifier = QuorumVerifier::of(&config);
        let [in_a, in_b] = [&a, &b].map(|set| verifier.contains_quorum(|sid| set.contains(&sid)));
        let common = verifier.voters().iter().any(|sid| a.contains(sid) && b.contains(sid));
        prop_assert!(!(in_a && in_b) || common);
    }

    #[test]
    fn a_quorum_and_its_complement_are_not_both_quorums(config in quorum_config(), a in sids()) {
        let verifier = QuorumVerifier::of(&config);
        let is = verifier.contains_quorum(|sid| a.contains(&sid));
        prop_assert!(!is || !verifier.contains_quorum(|sid| !a.contains(&sid)));
    }

    #[test]
    fn more_acknowledgements_never_undo_a_quorum(config in quorum_config(), a in sids(), more in sids()) {
        let verifier = QuorumVerifier::of(&config);
        let before = verifier.contains_quorum(|sid| a.contains(&sid));
        prop_assert!(!before || verifier.contains_quorum(|sid| a.contains(&sid) || more.contains(&sid)));
    }

    #[test]
    fn all_voters_are_a_quorum_and_nobody_is_none(config in quorum_config()) {
        let verifier = QuorumVerifier::of(&config);
        prop_assert!(verifier.contains_quorum(|_| true));
        prop_assert!(!verifier.contains_quorum(|_| false));
    }

    #[test]
    fn only_voters_are_asked(config in quorum_config()) {
        let verifier = QuorumVerifier::of(&config);
        verifier.contains_quorum(|sid| {
            assert!(config.voters().any(|voter| voter == sid), "{sid} is no voter");
            true
        });
    }

    #[test]
    fn both_configs_must_agree_while_one_is_on_its_way(
        in_force in quorum_config(),
        last_seen in quorum_config(),
        version in 0..2i64,
        acked in sids(),
    ) {
        let last_seen = last_seen.with_version(Zxid(version));
        let membership = Membership::new(Arc::new(in_force.clone()), Arc::new(last_seen.clone()));
        let newer = version > 0;
        let both = is_quorum(&in_force, &acked) && (!newer || is_quorum(&last_seen, &acked));
        prop_assert_eq!(acks(&membership, &acked).has_quorum(), both);

        let mut voters: BTreeSet<_> = in_force.voters().collect();
        if newer {
            voters.extend(last_seen.voters());
        }
        prop_assert_eq!(membership.quorums().voters().collect::<Vec<_>>(), voters.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_server_counts_once_and_until_it_is_taken_back(config in quorum_config(), words in vec((0..=11i64, any::<bool>()), 0..40)) {
        let membership = Membership::settled(Arc::new(config.clone()));
        let (mut acks, mut model) = (Acks::new(membership.quorums().clone()), BTreeSet::new());
        for (sid, add) in words {
            let sid = Sid(sid);
            if add {
                let counts = membership.standing(sid) == Standing::Voter;
                prop_assert_eq!(acks.add(sid), counts && model.insert(sid));
            } else {
                prop_assert_eq!(acks.remove(sid), model.remove(&sid));
            }
            prop_assert_eq!(acks.sids(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(acks.has_quorum(), is_quorum(&config, &model));
        }
    }
}

#[test]
fn groups_that_weigh_nothing_are_not_counted() {
    let text = "server.1=h:1:2\nserver.2=h:1:2\nserver.3=h:1:2\nserver.4=h:1:2\n\
        group.1=1:2:3\ngroup.2=4\nweight.3=0\nweight.4=0";
    let verifier = QuorumVerifier::of(&QuorumConfig::parse(text).unwrap());
    let quorum = |sids: &[i64]| verifier.contains_quorum(|sid| sids.contains(&sid.0));
    assert!(quorum(&[1, 2]), "all the weight of the only group");
    assert!(!quorum(&[1, 3, 4]), "half of the weight");
    assert!(verifier.is_voter(Sid(4)) && !verifier.may_lead(Sid(4)));
    assert!(verifier.may_lead(Sid(1)) && !verifier.may_lead(Sid(9)));
}

#[test]
fn three_groups_of_three_need_two_of_two() {
    let members: String = (1..=9).map(|sid| format!("server.{sid}=h:1:2\n")).collect();
    let text = members + "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9";
    let verifier = QuorumVerifier::of(&QuorumConfig::parse(&text).unwrap());
    let quorum = |sids: &[i64]| verifier.contains_quorum(|sid| sids.contains(&sid.0));
    assert!(quorum(&[1, 2, 4, 5]));
    assert!(!quorum(&[1, 2, 3, 4, 7]), "five of nine, but one group only");
}
