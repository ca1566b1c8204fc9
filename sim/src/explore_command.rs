//! `sim explore`: every interleaving of an election, within bounds from the command line.

use std::time::Instant;

use clap::ValueEnum;
use zk_sim::explore::election::{Beginning, Bounds, Ensemble, Planted, Setup, Wiring};
use zk_sim::explore::{Outcome, explore};

/// Which world to walk.
#[derive(clap::Args)]
pub(crate) struct ExploreArguments {
    /// Current epoch and last zxid of each voter.
    #[arg(long, value_name = "EPOCH:ZXID", value_delimiter = ',', value_parser = data, default_value = "0:0,0:0,0:0")]
    voters: Vec<(u32, i64)>,
    /// The same of each observer.
    #[arg(long, value_name = "EPOCH:ZXID", value_delimiter = ',', value_parser = data)]
    observers: Vec<(u32, i64)>,
    /// How many of the voters, the last ones, never come up.
    #[arg(long, default_value_t = 0)]
    absent: usize,
    /// Where to begin.
    #[arg(long, value_enum, default_value_t = Begin::Cold)]
    begin: Begin,
    /// How connections come about.
    #[arg(long, value_enum, default_value_t = Wires::Fine)]
    wiring: Wires,
    /// Repetitions of a vote after a silence, all servers together; so are the bounds that follow.
    #[arg(long, default_value_t = 0)]
    silences: u8,
    /// Resets of links.
    #[arg(long, default_value_t = 0)]
    breaks: u8,
    /// Crashes with a restart.
    #[arg(long, default_value_t = 0)]
    crashes: u8,
    /// Crashes that leave links half open, with a restart.
    #[arg(long, default_value_t = 0)]
    power_cuts: u8,
    /// Roles lost for want of a leader or a quorum.
    #[arg(long, default_value_t = 0)]
    lost_roles: u8,
    /// Ensembles established.
    #[arg(long, default_value_t = 0)]
    epochs: u8,
    /// A bug to find.
    #[arg(long, value_enum)]
    plant: Option<Bug>,
    /// Give up after so many states.
    #[arg(long, default_value_t = 20_000_000)]
    states: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Begin {
    Cold,
    Together,
    Established,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wires {
    Fine,
    Coarse,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bug {
    ZxidBeforeEpoch,
    RoundsIgnored,
    RoundsMustAgree,
    OldLinkKept,
    OneEndEndsAll,
    StrangersCount,
}

fn data(text: &str) -> Result<(u32, i64), String> {
    let parsed = text.split_once(':').and_then(|(epoch, zxid)| {
        let zxid = zxid.strip_prefix("0x").map_or_else(|| zxid.parse(), |hex| i64::from_str_radix(hex, 16));
        Some((epoch.parse().ok()?, zxid.ok()?))
    });
    parsed.ok_or_else(|| format!("expected EPOCH:ZXID, as 1:0x100000005, found \"{text}\""))
}

/// Walks, and returns the exit code: 0 complete, 1 a rule was broken, 3 not live, 4 cut off or incomplete.
pub(crate) fn run(arguments: ExploreArguments) -> u8 {
    let states_max = arguments.states;
    let setup = Setup::from(arguments);
    if setup.voters.len() <= 2 * setup.absent {
        eprintln!("expected a majority of voters that come up, found none");
        return 2;
    }
    let began = Instant::now();
    let report = explore(Ensemble::new(&setup), states_max);
    print!("{report}");
    println!("{:.1} s", began.elapsed().as_secs_f64());
    match report.outcome {
        Outcome::Complete => 0,
        Outcome::Broken { broken, .. } if broken.rule >= "I40" => 3,
        Outcome::Broken { .. } => 1,
        Outcome::Cut | Outcome::Untaken(_) => 4,
    }
}

impl From<ExploreArguments> for Setup {
    fn from(a: ExploreArguments) -> Self {
        let ExploreArguments { silences, breaks, crashes, power_cuts, lost_roles, epochs, .. } = a;
        Self {
            voters: a.voters,
            observers: a.observers,
            absent: a.absent,
            beginning: match a.begin {
                Begin::Cold => Beginning::Cold,
                Begin::Together => Beginning::Together,
                Begin::Established => Beginning::Established,
            },
            wiring: match a.wiring {
                Wires::Fine => Wiring::Fine,
                Wires::Coarse => Wiring::Coarse,
            },
            bounds: Bounds { silences, breaks, crashes, power_cuts, lost_roles, epochs },
            planted: a.plant.map(|bug| match bug {
                Bug::ZxidBeforeEpoch => Planted::ZxidBeforeEpoch,
                Bug::RoundsIgnored => Planted::RoundsIgnored,
                Bug::RoundsMustAgree => Planted::RoundsMustAgree,
                Bug::OldLinkKept => Planted::OldLinkKept,
                Bug::OneEndEndsAll => Planted::OneEndEndsAll,
                Bug::StrangersCount => Planted::StrangersCount,
            }),
        }
    }
}
