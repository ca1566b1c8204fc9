//! `cargo xtask museum`: plants bugs, looks for each, and tells which invariant caught it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use zk_core::museum::Exhibit;
use zk_fuzz::museum::{Row, Searcher, control, look_for};

/// Plants the bugs of the museum one at a time, and looks for each.
#[derive(Parser)]
struct Arguments {
    /// Rows, as P08; all of them if none is given.
    rows: Vec<String>,
    /// Seconds per row.
    #[arg(long, default_value_t = 300)]
    budget: u64,
    /// Drafts that are run with nothing planted.
    #[arg(long, default_value_t = 2_000)]
    control: u64,
    /// Puts the table into this file, between its marks.
    #[arg(long)]
    write: Option<PathBuf>,
}

const BEGIN: &str = "<!-- table: cargo xtask museum --write -->";
const END: &str = "<!-- end of table -->";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rows: Option<Vec<_>> = arguments.rows.iter().map(|id| Exhibit::parse(id)).collect();
    let Some(rows) = rows else {
        eprintln!("expected rows of the museum, as P08, found {:?}", arguments.rows);
        return ExitCode::from(2);
    };
    let rows = if rows.is_empty() { Exhibit::ALL.to_vec() } else { rows };
    // What planted bugs make panic is told in the table.
    std::panic::set_hook(Box::new(|_| ()));
    let began = Instant::now();
    let found = control(arguments.control);
    for (where_, failure) in &found {
        println!("nothing is planted, and {where_} finds {}: {}", failure.kind, failure.what);
    }
    println!(
        "control: {} drafts, {} failures, {:.0} s",
        arguments.control,
        found.len(),
        began.elapsed().as_secs_f64()
    );
    let mut table = String::from(HEAD);
    let mut caught = 0;
    for exhibit in &rows {
        let row = look_for(*exhibit, Duration::from_secs(arguments.budget));
        caught += usize::from(row.caught.is_some());
        let line = show(&row);
        println!("{line}");
        if let Some(how) = &row.caught {
            println!("    {}", how.failure.what.chars().take(200).collect::<String>());
        }
        table.push_str(&line);
        table.push('\n');
    }
    let total = format!("{caught} of {} caught", rows.len());
    println!("{total}, {:.0} s", began.elapsed().as_secs_f64());
    let control = format!(
        "\n{total}. With nothing planted {} drafts of the same seeds and the same walks found {}.\n",
        arguments.control,
        if found.is_empty() { "nothing".to_owned() } else { format!("{} failures", found.len()) }
    );
    table.push_str(&control);
    if let Some(file) = &arguments.write
        && let Err(error) = put(file, &table)
    {
        eprintln!("{}: {error}", file.display());
        return ExitCode::from(2);
    }
    // Nine of ten, and no false alarm.
    ExitCode::from(u8::from(!found.is_empty() || caught * 10 < rows.len() * 9))
}

const HEAD: &str =
    "| row | origin | what is planted | caught by | after | seconds |\n|---|---|---|---|---|---|\n";

fn show(row: &Row) -> String {
    let Row { exhibit, caught, drafts, took } = row;
    let (by, after) = match caught {
        None => ("not caught".to_owned(), format!("{drafts} drafts")),
        Some(caught) => {
            let after = match &caught.by {
                Searcher::Walk { states } => format!("{states} states"),
                Searcher::Drafts { seed } => format!("{} drafts", seed + 1),
                Searcher::Scenario { file } => format!("{drafts} drafts, then scenario {file}"),
            };
            (caught.failure.kind.clone(), after)
        }
    };
    let (origin, what) = (exhibit.origin(), exhibit.what().trim());
    format!("| {exhibit} | {origin} | {what} | {by} | {after} | {:.1} |", took.as_secs_f64())
}

fn put(file: &PathBuf, table: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let parts = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let Some((head, tail)) = parts else {
        return Err(std::io::Error::other(format!("expected {BEGIN} and {END} in it")));
    };
    std::fs::write(file, format!("{head}{BEGIN}\n{table}{END}{tail}"))
}
