//! Results as people read them: ratios with their spread, in the terminal and in `docs/benchmarks.md`.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::contestant::{Contestant, ZOO_CFG};
use super::matrix::{Cell, cells};
use super::memory::JVM as MEMORY_JVM;
use super::{JVM, Results, Run};

/// The least, the middle and the greatest of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Some(Self { min, median, max })
    }

    fn text(self) -> String {
        if self.min == self.max {
            return figure(self.median);
        }
        format!("{} ({}–{})", figure(self.median), figure(self.min), figure(self.max))
    }
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// One quantity of a run.
struct Quantity {
    name: &'static str,
    pointer: &'static str,
}

const QUANTITIES: [Quantity; 5] = [
    Quantity { name: "operations/s", pointer: "/operations_per_second" },
    Quantity { name: "server CPU, µs/op", pointer: "/server/cpu_us_per_operation" },
    Quantity { name: "latency p50, µs", pointer: "/latency_us/p50" },
    Quantity { name: "latency p99, µs", pointer: "/latency_us/p99" },
    Quantity { name: "latency p99.9, µs", pointer: "/latency_us/p999" },
];

/// The whole of it, as Markdown; for `docs/benchmarks.md` and for the terminal.
pub(super) fn markdown(results: &Results) -> Result<String> {
    let mut out = String::new();
    place(&mut out, results)?;
    if !results.runs.is_empty() {
        speed(&mut out, results)?;
    }
    if !results.failovers.is_empty() {
        failovers(&mut out, results)?;
    }
    if !results.memory.is_empty() {
        memory(&mut out, results)?;
    }
    Ok(out)
}

fn place(out: &mut String, results: &Results) -> Result<()> {
    let machine = &results.machine;
    writeln!(out, "Taken with `{}` at commit {}.\n", results.command, machine.commit)?;
    writeln!(
        out,
        "- Machine: {}, {} cores, {} GiB; Linux {}; data on {}.",
        machine.cpu, machine.cores, machine.memory_gib, machine.kernel, machine.file_system
    )?;
    writeln!(out, "- Java: {} (Debian), {}.", machine.zookeeper, machine.java)?;
    let lines: Vec<&str> = ZOO_CFG.lines().collect();
    writeln!(
        out,
        "- Both: {}, fresh dataDir, `{}`, forceSync on, snapCount 100000, client on the same machine.\n",
        if results.voters == 1 {
            "standalone".into()
        } else {
            format!("{} voters on one machine", results.voters)
        },
        lines.join("` `")
    )?;
    Ok(())
}

fn speed(out: &mut String, results: &Results) -> Result<()> {
    writeln!(
        out,
        "Medians of {} rounds (minimum–maximum). {} s each after {} s of warm-up; 1 KiB of data, 1000 paths. \
         Java's heap: `{}`. The ratio is Zoarium / Java, round by round.\n",
        results.rounds,
        results.seconds,
        results.warm_up_seconds,
        JVM.join(" ")
    )?;
    let others: Vec<f64> = results.runs.iter().filter_map(|run| run.report["other_cores"].as_f64()).collect();
    if let Some(others) = Spread::of(others) {
        writeln!(out, "Other programs used {} of the machine's cores meanwhile.\n", others.text())?;
    }
    let header: Vec<String> = results.servers.iter().map(ToString::to_string).collect();
    let both = results.servers.len() == 2;
    let ratio = if both { " | ratio" } else { "" };
    writeln!(out, "| load | | {}{ratio} |", header.join(" | "))?;
    writeln!(out, "|---|---|{}", "---:|".repeat(header.len() + usize::from(both)))?;
    for cell in cells(results.voters) {
        let runs: Vec<&Run> = results.runs.iter().filter(|run| run.cell == cell.name).collect();
        if !runs.is_empty() {
            rows(out, cell, &runs, &results.servers)?;
        }
    }
    writeln!(out)?;
    Ok(())
}

fn rows(out: &mut String, cell: &Cell, runs: &[&Run], servers: &[Contestant]) -> Result<()> {
    for (nth, quantity) in QUANTITIES.iter().enumerate() {
        let label = if nth == 0 { cell.what } else { "" };
        write!(out, "| {label} | {} |", quantity.name)?;
        for server in servers {
            let figures = runs.iter().filter(|run| run.server == *server);
            let figures = figures.map(|run| value(run, quantity)).collect::<Result<Vec<f64>>>()?;
            let text = Spread::of(figures).map_or_else(|| "–".into(), Spread::text);
            write!(out, " {text} |")?;
        }
        if servers.len() == 2 {
            let text = Spread::of(ratios(runs, quantity)?).map_or_else(|| "–".into(), Spread::text);
            write!(out, " {text} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Zoarium / Java, for each round that has both.
fn ratios(runs: &[&Run], quantity: &Quantity) -> Result<Vec<f64>> {
    let mut ratios = Vec::new();
    for ours in runs.iter().filter(|run| run.server == Contestant::Zoarium) {
        let theirs = runs.iter().find(|run| run.server == Contestant::Java && run.round == ours.round);
        if let Some(theirs) = theirs {
            ratios.push(value(ours, quantity)? / value(theirs, quantity)?);
        }
    }
    Ok(ratios)
}

fn value(run: &Run, quantity: &Quantity) -> Result<f64> {
    let value = run.report.pointer(quantity.pointer).and_then(Value::as_f64);
    value.with_context(|| format!("{} of {} has no {}", run.cell, run.server, quantity.pointer))
}

fn failovers(out: &mut String, results: &Results) -> Result<()> {
    writeln!(
        out,
        "From `kill -9` of the leader to the first write that was acknowledged, with 8 writers (`server failover`); \
         nothing acknowledged was missing afterwards.\n"
    )?;
    writeln!(out, "| server | kills | ms | writes in doubt |\n|---|---:|---:|---:|")?;
    for server in &results.servers {
        let of = || results.failovers.iter().filter(|failover| failover.server == *server);
        let text = |figures: Vec<f64>| Spread::of(figures).map_or_else(|| "–".into(), Spread::text);
        let ms = text(of().map(|failover| failover.ms).collect());
        let in_doubt = text(of().map(|failover| failover.in_doubt as f64).collect());
        writeln!(out, "| {server} | {} | {ms} | {in_doubt} |", of().count())?;
    }
    writeln!(out)?;
    Ok(())
}

fn memory(out: &mut String, results: &Results) -> Result<()> {
    writeln!(
        out,
        "Resident memory of a server with znodes of 100 bytes and names of 15, less the same server without. Java: \
         `{}`, after a full collection; live heap is what the collector counts as used then.\n",
        MEMORY_JVM.join(" ")
    )?;
    writeln!(
        out,
        "| server | znodes | empty, MiB | full, MiB | resident bytes/znode | live heap bytes/znode |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|")?;
    for memory in &results.memory {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let heap = memory.live_heap_per_znode().map_or_else(|| "–".into(), |bytes| format!("{bytes:.0}"));
        writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {heap} |",
            memory.server,
            memory.znodes,
            mib(memory.empty_bytes),
            mib(memory.full_bytes),
            memory.per_znode()
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// `page` with everything between its two markers replaced by `table`.
pub(super) fn replace_between_markers(page: &str, table: &str) -> Result<String> {
    const BEGIN: &str = "<!-- faceoff: begin -->\n";
    const END: &str = "<!-- faceoff: end -->";
    let (before, rest) = page.split_once(BEGIN).context("the page lacks its faceoff: begin marker")?;
    let (_, after) = rest.split_once(END).context("the page lacks its faceoff: end marker")?;
    Ok(format!("{before}{BEGIN}\n{}\n\n{END}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::memory::Memory;
    use super::*;
    use serde_json::json;

    fn run(round: u32, server: Contestant, speed: f64) -> Run {
        let latency = json!({"p50": 1.0, "p99": 2.0, "p999": 3.0});
        let report = json!({
            "other_cores": 0.25, "operations_per_second": speed, "server": {"cpu_us_per_operation": 10.0}, "latency_us": latency,
        });
        Run { round, server, cell: "get-64".into(), report }
    }

    fn results(runs: Vec<Run>, servers: Vec<Contestant>) -> Results {
        Results {
            command: "cargo xtask faceoff".into(),
            machine: Machine {
                cpu: "a processor".into(),
                cores: 2,
                memory_gib: 24,
                kernel: "6.1".into(),
                file_system: "ext4 on /dev/a".into(),
                commit: "abc".into(),
                java: "openjdk 17".into(),
                zookeeper: "libzookeeper-java 3.8.0".into(),
            },
            rounds: 3,
            seconds: 10.0,
            warm_up_seconds: 5.0,
            voters: 1,
            failovers: Vec::new(),
            servers,
            runs,
            memory: Vec::new(),
        }
    }

    #[test]
    fn the_middle_of_an_even_number_lies_between_two() {
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![4.0, 1.0, 3.0]), Some(Spread { min: 1.0, median: 3.0, max: 4.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
    }

    #[test]
    fn ratios_pair_the_servers_of_one_round() {
        use Contestant::{Java, Zoarium};
        // The machine was half as fast in the second round: for both.
        let runs = vec![
            run(1, Java, 100.0),
            run(1, Zoarium, 300.0),
            run(2, Zoarium, 160.0),
            run(2, Java, 50.0),
            run(3, Java, 100.0),
        ];
        let text = markdown(&results(runs, vec![Java, Zoarium])).expect("a table");
        let line = text.lines().find(|line| line.contains("operations/s")).expect("the cell's first line");
        assert_eq!(
            line,
            "| get, 64 sessions with 1 outstanding | operations/s | 100 (50.0–100) | 230 (160–300) | \
             3.10 (3.00–3.20) |"
        );
    }

    #[test]
    fn one_server_alone_has_no_ratio() {
        let results = results(vec![run(1, Contestant::Java, 7.0)], vec![Contestant::Java]);
        let text = markdown(&results).expect("a table");
        assert!(text.contains("| operations/s | 7.00 |\n"), "{text}");
        assert!(!text.contains("| ratio |"), "{text}");
        assert!(text.contains("Other programs used 0.25 of"), "{text}");
    }

    #[test]
    fn a_report_without_a_figure_is_an_error_that_names_it() {
        let mut run = run(1, Contestant::Java, 7.0);
        run.report["server"] = Value::Null;
        let error = markdown(&results(vec![run], vec![Contestant::Java])).expect_err("no CPU time");
        assert!(error.to_string().contains("/server/cpu_us_per_operation"), "{error}");
    }

    #[test]
    fn memory_has_a_row_for_each_server() {
        let mut results = results(Vec::new(), vec![Contestant::Java]);
        results.memory = vec![Memory {
            server: Contestant::Java,
            znodes: 1_000,
            empty_bytes: 1 << 20,
            full_bytes: 2 << 20,
            live_heap_bytes: Some((0, 700_000)),
        }];
        let text = markdown(&results).expect("a table");
        assert!(text.contains("| Java | 1000 | 1 | 2 | 1049 | 700 |"), "{text}");
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = "# Page\n<!-- faceoff: begin -->\nold\n<!-- faceoff: end -->\nrest\n";
        let new = replace_between_markers(page, "table\n").expect("both markers");
        assert_eq!(new, "# Page\n<!-- faceoff: begin -->\n\ntable\n\n<!-- faceoff: end -->\nrest\n");
        assert_eq!(replace_between_markers(&new, "table").expect("both markers"), new);
        assert!(replace_between_markers("# Page\n", "table").is_err());
    }
}
