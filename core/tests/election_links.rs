//! The links of the election port, one command at a time; and what holds whatever the network does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use zk_core::address::HostPort;
use zk_core::election::Delivery;
use zk_core::election::links::{
    AfterGreeting, Hello, LinkCommand, LinkEvent, LinkId, LinkSettings, Links, Part, STRANGERS_MAX,
    UNNAMED_MAX,
};
use zk_core::election::vote::{Notification, Vote};
use zk_core::ids::{PeerState, Sid, Zxid};
use zk_core::time::Mono;

fn address(text: &str) -> HostPort {
    HostPort::parse(text).unwrap()
}

/// Server 2 of 1, 2 and 3; 1 has two addresses.
fn links() -> Links {
    let settings =
        LinkSettings { addresses: vec![address("h2:2")], dial_timeout_ms: 5000, hello_timeout_ms: 2000 };
    let directory = [(Sid(1), vec![address("h1:2"), address("g1:2")]), (Sid(3), vec![address("h3:2")])];
    Links::new(Sid(2), settings, directory.into())
}

fn word(round: i64) -> Notification {
    let vote = Vote { leader: Sid(2), zxid: Zxid::ZERO, peer_epoch: 0 };
    Notification { state: PeerState::Looking, vote, round, version: 2, config: None }
}

fn hello(sid: i64, addresses: &[&str]) -> LinkEvent {
    LinkEvent::Heard(Hello { sid: Sid(sid), addresses: addresses.iter().map(|a| address(a)).collect() })
}

type Said = Vec<(LinkId, LinkCommand)>;

fn at(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

/// What comes of an event at time 0.
fn tell(links: &mut Links, link: LinkId, event: LinkEvent) -> Said {
    let mut out = vec![];
    links.on_event(at(0), link, event, &mut out);
    out
}

fn send(links: &mut Links, to: i64, round: i64) -> Said {
    let mut out = vec![];
    links.send(at(0), Sid(to), word(round), &mut out);
    out
}

const fn dialled(n: u64) -> LinkId {
    LinkId::Dialled(n)
}

const fn accepted(n: u64) -> LinkId {
    LinkId::Accepted(n)
}

fn dial(n: u64, sid: i64, to: &str) -> (LinkId, LinkCommand) {
    (dialled(n), LinkCommand::Dial { sid: Sid(sid), address: address(to) })
}

fn greet(link: LinkId, then: AfterGreeting) -> (LinkId, LinkCommand) {
    (link, LinkCommand::Greet { hello: Hello { sid: Sid(2), addresses: vec![address("h2:2")] }, then })
}

const fn hang_up(link: LinkId) -> (LinkId, LinkCommand) {
    (link, LinkCommand::HangUp)
}

/// Server 3 dials, and is kept.
fn linked_with_3() -> Links {
    let mut links = links();
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    assert_eq!(tell(&mut links, accepted(0), hello(3, &["h3:2"])), []);
    links
}

#[test]
fn the_smaller_server_is_dialled_and_kept_and_the_larger_is_rung() {
    let mut links = links();
    assert_eq!(send(&mut links, 1, 1), [dial(0, 1, "h1:2")]);
    assert_eq!(send(&mut links, 3, 1), [dial(1, 3, "h3:2")]);
    assert_eq!(
        tell(&mut links, dialled(0), LinkEvent::Connected),
        [greet(dialled(0), AfterGreeting::Keep), (dialled(0), LinkCommand::Send(word(1)))]
    );
    assert_eq!(
        tell(&mut links, dialled(1), LinkEvent::Connected),
        [greet(dialled(1), AfterGreeting::HangUp)]
    );
    assert_eq!(links.part_of(dialled(0)), Part::Kept(Sid(1)));
    assert_eq!(send(&mut links, 3, 2), [], "it was rung and will dial back");
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    assert_eq!(
        tell(&mut links, accepted(0), hello(3, &["h3:2"])),
        [(accepted(0), LinkCommand::Send(word(2)))],
        "the newer word took the place of the unsent one"
    );
}

#[test]
fn a_server_that_does_not_dial_back_is_rung_again_after_a_while() {
    let mut links = links();
    send(&mut links, 3, 1);
    tell(&mut links, dialled(0), LinkEvent::Connected);
    assert_eq!(send(&mut links, 3, 2), []);
    links.ring_again();
    assert_eq!(send(&mut links, 3, 3), [dial(1, 3, "h3:2")]);
}

#[test]
fn one_message_is_on_its_way_and_one_waits() {
    let mut links = linked_with_3();
    assert_eq!(send(&mut links, 3, 1), [(accepted(0), LinkCommand::Send(word(1)))]);
    assert_eq!(links.delivery(), Delivery::Some);
    assert_eq!(send(&mut links, 3, 2), []);
    assert_eq!(links.delivery(), Delivery::None, "nobody took all that was sent");
    assert_eq!(send(&mut links, 3, 3), []);
    assert_eq!(tell(&mut links, accepted(0), LinkEvent::Sent), [(accepted(0), LinkCommand::Send(word(3)))]);
    assert_eq!(tell(&mut links, accepted(0), LinkEvent::Sent), []);
}

#[test]
fn the_last_word_is_said_again_on_the_next_link() {
    let mut links = linked_with_3();
    send(&mut links, 3, 1);
    tell(&mut links, accepted(0), LinkEvent::Sent);
    assert_eq!(tell(&mut links, accepted(0), LinkEvent::Closed), [], "who has nothing to say does not dial");
    tell(&mut links, accepted(1), LinkEvent::Accepted);
    assert_eq!(
        tell(&mut links, accepted(1), hello(3, &["h3:2"])),
        [(accepted(1), LinkCommand::Send(word(1)))]
    );
}

#[test]
fn a_new_link_takes_the_place_of_an_old_one_that_may_be_half_open() {
    let mut links = linked_with_3();
    tell(&mut links, accepted(1), LinkEvent::Accepted);
    assert_eq!(tell(&mut links, accepted(1), hello(3, &["h3:2"])), [hang_up(accepted(0))]);
    assert_eq!((links.sid_of(accepted(0)), links.sid_of(accepted(1))), (None, Some(Sid(3))));
    assert_eq!(
        tell(&mut links, accepted(0), LinkEvent::Closed),
        [],
        "the old one's end is not the new one's"
    );
    assert_eq!(links.sid_of(accepted(1)), Some(Sid(3)));
}

#[test]
fn a_ring_is_answered_at_the_address_that_it_tells_and_then_at_the_configured_ones() {
    let mut links = links();
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    let answer = tell(&mut links, accepted(0), hello(1, &["0.0.0.0:2", "n1:9"]));
    assert_eq!(answer, [hang_up(accepted(0)), dial(0, 1, "n1:9")]);
    assert_eq!(tell(&mut links, dialled(0), LinkEvent::Failed), [dial(1, 1, "h1:2")]);
    assert_eq!(tell(&mut links, dialled(1), LinkEvent::Failed), [dial(2, 1, "g1:2")]);
    assert_eq!(tell(&mut links, dialled(2), LinkEvent::Failed), []);
    assert_eq!(links.part_of(dialled(2)), Part::None);
}

#[test]
fn a_ring_ends_the_link_of_which_the_other_side_knows_nothing() {
    let mut links = links();
    send(&mut links, 1, 1);
    tell(&mut links, dialled(0), LinkEvent::Connected);
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    let answer = tell(&mut links, accepted(0), hello(1, &["h1:2"]));
    assert_eq!(answer, [hang_up(accepted(0)), hang_up(dialled(0)), dial(1, 1, "h1:2")]);
}

#[test]
fn a_dial_on_its_way_is_not_doubled_and_turns_to_the_address_that_a_ring_tells() {
    let mut links = links();
    assert_eq!(send(&mut links, 1, 1), [dial(0, 1, "h1:2")]);
    assert_eq!(send(&mut links, 1, 2), []);
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    assert_eq!(tell(&mut links, accepted(0), hello(1, &["n1:9"])), [hang_up(accepted(0))]);
    assert_eq!(tell(&mut links, dialled(0), LinkEvent::Failed), [dial(1, 1, "n1:9")]);
}

#[test]
fn a_dial_that_hangs_ends_at_its_deadline_and_the_next_address_is_tried() {
    let mut links = links();
    send(&mut links, 1, 1);
    assert_eq!(links.deadline(), Some(at(5000)));
    let mut out = vec![];
    links.on_timer(at(4999), &mut out);
    assert_eq!(out, []);
    links.on_timer(at(5000), &mut out);
    assert_eq!(out, [hang_up(dialled(0)), dial(1, 1, "g1:2")]);
    assert_eq!(tell(&mut links, dialled(0), LinkEvent::Connected), [], "it comes too late");
}

#[test]
fn who_does_not_say_who_it_is_is_hung_up_on_after_a_while_or_when_others_want_in() {
    let mut links = links();
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    let mut out = vec![];
    links.on_timer(at(2000), &mut out);
    assert_eq!((out, links.deadline()), (vec![hang_up(accepted(0))], None));
    assert_eq!(tell(&mut links, accepted(0), hello(3, &["h3:2"])), [], "it comes too late");

    for n in 1..=UNNAMED_MAX as u64 {
        assert_eq!(tell(&mut links, accepted(n), LinkEvent::Accepted), []);
    }
    assert_eq!(tell(&mut links, accepted(1000), LinkEvent::Accepted), [hang_up(accepted(1))]);
}

#[test]
fn twins_the_anonymous_and_strangers_beyond_their_number_are_turned_away() {
    let mut links = links();
    let mut come = |n: u64, sid: i64| {
        tell(&mut links, accepted(n), LinkEvent::Accepted);
        tell(&mut links, accepted(n), hello(sid, &["h9:2"]))
    };
    for (n, sid) in (0..).zip([2, -1, i64::MIN, i64::MAX]) {
        assert_eq!(come(n, sid), [hang_up(accepted(n))], "{sid}");
    }
    for n in 10..10 + STRANGERS_MAX as u64 {
        assert_eq!(come(n, n as i64), []);
    }
    assert_eq!(come(500, 500), [hang_up(accepted(500))]);
    assert_eq!(come(501, 10), [hang_up(accepted(10))], "one of them may come again");
    assert_eq!(come(502, 3), [], "a member always may");
}

#[test]
fn a_stranger_that_leaves_leaves_nothing_behind() {
    let mut links = links();
    let empty = links.clone();
    tell(&mut links, accepted(0), LinkEvent::Accepted);
    tell(&mut links, accepted(0), hello(9, &["h9:2"]));
    assert_eq!(send(&mut links, 9, 1), [(accepted(0), LinkCommand::Send(word(1)))]);
    tell(&mut links, accepted(0), LinkEvent::Closed);
    assert_eq!(send(&mut links, 9, 2), [], "nobody knows where it is");
    assert_eq!(links, empty);
}

#[test]
fn a_restart_hangs_up_on_everybody_and_forgets_the_last_words() {
    let mut links = linked_with_3();
    send(&mut links, 3, 1);
    send(&mut links, 1, 1);
    let mut out = vec![];
    links.restart(&mut out);
    assert_eq!(out, [hang_up(dialled(0)), hang_up(accepted(0))]);
    tell(&mut links, accepted(1), LinkEvent::Accepted);
    assert_eq!(tell(&mut links, accepted(1), hello(3, &["h3:2"])), []);
}

/// One thing that the world may do.
#[derive(Clone, Debug)]
enum Step {
    Accept,
    /// To the n-th link that is open, counted over the end.
    Hello(usize, i64),
    Connected(usize),
    Failed(usize),
    Sent(usize),
    Closed(usize),
    /// An event for a link that was hung up.
    Late(usize, u8),
    Send(i64),
    ConnectAll,
    RingAgain,
    Pass(u64),
}

fn step() -> BoxedStrategy<Step> {
    let n = 0..8usize;
    prop_oneof![
        Just(Step::Accept),
        (n.clone(), 0..6i64).prop_map(|(n, sid)| Step::Hello(n, sid)),
        n.clone().prop_map(Step::Connected),
        n.clone().prop_map(Step::Failed),
        n.clone().prop_map(Step::Sent),
        n.clone().prop_map(Step::Closed),
        (n, 0..4u8).prop_map(|(n, event)| Step::Late(n, event)),
        prop_oneof![Just(1), Just(3), Just(5)].prop_map(Step::Send),
        Just(Step::ConnectAll),
        Just(Step::RingAgain),
        (0..3000u64).prop_map(Step::Pass),
    ]
    .boxed()
}

/// What a driver knows of the links that it has open.
#[derive(Default)]
struct Driver {
    open: BTreeMap<LinkId, Stage>,
    gone: Vec<LinkId>,
    accepted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Dialling,
    Named { busy: bool },
    Unnamed,
}

impl Driver {
    /// Carries commands out, and checks that they make sense.
    fn carry_out(&mut self, out: Said) {
        for (link, command) in out {
            match command {
                LinkCommand::Dial { sid, .. } => {
                    assert_ne!(sid, Sid(2));
                    assert!(!self.gone.contains(&link), "{link:?} is used for the second time");
                    assert_eq!(self.open.insert(link, Stage::Dialling), None, "{link:?} is open");
                }
                LinkCommand::Greet { then, .. } => {
                    assert_eq!(self.open.insert(link, Stage::Named { busy: false }), Some(Stage::Dialling));
                    if then == AfterGreeting::HangUp {
                        self.close(link);
                    }
                }
                LinkCommand::Send(_) => {
                    let was = self.open.insert(link, Stage::Named { busy: true });
                    assert!(
                        matches!(was, Some(Stage::Named { busy: false } | Stage::Unnamed)),
                        "{link:?} was {was:?}"
                    );
                }
                LinkCommand::HangUp => assert!(self.close(link), "{link:?} is not open"),
            }
        }
    }

    fn close(&mut self, link: LinkId) -> bool {
        self.gone.push(link);
        self.open.remove(&link).is_some()
    }

    /// The n-th open link, if it is at this stage.
    fn nth(&self, n: usize, is: impl Fn(Stage) -> bool) -> Option<LinkId> {
        let links: Vec<_> =
            self.open.iter().filter(|(_, stage)| is(**stage)).map(|(link, _)| *link).collect();
        (!links.is_empty()).then(|| links[n % links.len()])
    }
}

fn run(steps: Vec<Step>) {
    let (mut links, mut driver, mut now) = (links(), Driver::default(), 0);
    for step in steps {
        let mut out = vec![];
        let dialling = |stage| stage == Stage::Dialling;
        let event = match step {
            Step::Accept => {
                driver.accepted += 1;
                let link = accepted(driver.accepted);
                driver.open.insert(link, Stage::Unnamed);
                Some((link, LinkEvent::Accepted))
            }
            Step::Hello(n, sid) => {
                driver.nth(n, |stage| stage == Stage::Unnamed).map(|link| (link, hello(sid, &["h0:2"])))
            }
            Step::Connected(n) => driver.nth(n, dialling).map(|link| (link, LinkEvent::Connected)),
            Step::Failed(n) => driver.nth(n, dialling).map(|link| (link, LinkEvent::Failed)),
            Step::Sent(n) => driver.nth(n, |stage| stage == Stage::Named { busy: true }).map(|link| {
                driver.open.insert(link, Stage::Named { busy: false });
                (link, LinkEvent::Sent)
            }),
            Step::Closed(n) => {
                driver.nth(n, |stage| stage != Stage::Dialling).map(|link| (link, LinkEvent::Closed))
            }
            Step::Late(n, event) => driver.gone.get(n).map(|link| {
                let events = [LinkEvent::Connected, LinkEvent::Failed, LinkEvent::Sent, LinkEvent::Closed];
                (*link, events[usize::from(event)].clone())
            }),
            Step::Send(to) => {
                links.send(at(now), Sid(to), word(1), &mut out);
                None
            }
            Step::ConnectAll => {
                links.connect_all(at(now), &mut out);
                None
            }
            Step::RingAgain => {
                links.ring_again();
                None
            }
            Step::Pass(ms) => {
                now += ms;
                links.on_timer(at(now), &mut out);
                assert!(links.deadline().is_none_or(|deadline| deadline > at(now)));
                None
            }
        };
        if let Some((link, event)) = event {
            if matches!(event, LinkEvent::Failed | LinkEvent::Closed) {
                driver.close(link);
            }
            links.on_event(at(now), link, event, &mut out);
        }
        driver.carry_out(out);
        check(&links, &mut driver);
    }
}

/// One link and one dial for a server at most, and every open link has a part to play.
fn check(links: &Links, driver: &mut Driver) {
    let mut parts = BTreeSet::new();
    for (link, stage) in &mut driver.open {
        let part = links.part_of(*link);
        match part {
            Part::Kept(sid) => {
                assert_eq!(sid > Sid(2), matches!(link, LinkId::Accepted(_)), "the larger server dials");
                if *stage == Stage::Unnamed {
                    *stage = Stage::Named { busy: false };
                }
            }
            Part::Dialling(_) => assert_eq!(*stage, Stage::Dialling),
            Part::Unnamed => assert_eq!(*stage, Stage::Unnamed),
            Part::None => panic!("{link:?} is open and forgotten"),
        }
        assert!(part == Part::Unnamed || parts.insert(part), "two links are {part:?}");
    }
    assert!(driver.gone.iter().all(|link| links.part_of(*link) == Part::None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_open_link_has_one_part_and_every_server_one_link(steps in proptest::collection::vec(step(), 0..80)) {
        run(steps);
    }
}
