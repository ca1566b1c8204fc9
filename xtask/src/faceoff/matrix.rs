//! What the servers are compared in: each cell one load, the same for both.

/// One load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Its name, in results and in `--cells`.
    pub(super) name: &'static str,
    /// What it shows, for the table.
    pub(super) what: &'static str,
    /// Arguments of `server bench`, without times.
    pub(super) load: &'static [&'static str],
}

/// Bytes of data in every znode of the matrix.
pub(super) const SIZE_BYTES: &str = "1024";

/// In the order in which they run. Creates come last: their znodes are removed, but not from the log and its snapshots.
pub(super) const CELLS: &[Cell] = &[
    Cell {
        name: "get-pipelined",
        what: "get, 1 session with 16 outstanding",
        load: &["--op", "get", "--sessions", "1", "--outstanding", "16"],
    },
    Cell {
        name: "get-64",
        what: "get, 64 sessions with 1 outstanding",
        load: &["--op", "get", "--sessions", "64", "--outstanding", "1"],
    },
    Cell {
        name: "get-serial",
        what: "get, 1 session with 1 outstanding",
        load: &["--op", "get", "--sessions", "1", "--outstanding", "1"],
    },
    Cell {
        name: "set-pipelined",
        what: "set, 1 session with 16 outstanding",
        load: &["--op", "set", "--sessions", "1", "--outstanding", "16"],
    },
    Cell {
        name: "set-64",
        what: "set, 64 sessions with 1 outstanding",
        load: &["--op", "set", "--sessions", "64", "--outstanding", "1"],
    },
    Cell {
        name: "set-serial",
        what: "set, 1 session with 1 outstanding",
        load: &["--op", "set", "--sessions", "1", "--outstanding", "1"],
    },
    Cell {
        name: "mixed-64",
        what: "90 % gets, 10 % sets, 64 sessions with 1 outstanding",
        load: &["--op", "mixed", "--reads", "90", "--sessions", "64", "--outstanding", "1"],
    },
    Cell {
        name: "mixed-open",
        what: "90 % gets, 10 % sets, 16 sessions, 2000 due per second",
        load: &["--op", "mixed", "--reads", "90", "--sessions", "16", "--rate", "2000"],
    },
    Cell {
        name: "create-64",
        what: "create, 64 sessions with 1 outstanding",
        load: &["--op", "create", "--sessions", "64", "--outstanding", "1"],
    },
];

/// What ensembles are compared in: what every write costs over all of them, and reads that each server answers alone.
pub(super) const ENSEMBLE_CELLS: &[Cell] = &[
    Cell {
        name: "ensemble-set-pipelined",
        what: "set, 3 sessions with 16 outstanding",
        load: &["--op", "set", "--sessions", "3", "--outstanding", "16"],
    },
    Cell {
        name: "ensemble-set-64",
        what: "set, 64 sessions with 1 outstanding",
        load: &["--op", "set", "--sessions", "64", "--outstanding", "1"],
    },
    Cell {
        name: "ensemble-set-500",
        what: "set, 15 sessions, 500 due per second",
        load: &["--op", "set", "--sessions", "15", "--rate", "500"],
    },
    Cell {
        name: "ensemble-set-serial",
        what: "set, 1 session with 1 outstanding",
        load: &["--op", "set", "--sessions", "1", "--outstanding", "1"],
    },
    Cell {
        name: "ensemble-get-pipelined",
        what: "get, 3 sessions with 16 outstanding",
        load: &["--op", "get", "--sessions", "3", "--outstanding", "16"],
    },
];

/// The cells for so many voters.
pub(super) fn cells(voters: u32) -> &'static [Cell] {
    if voters == 1 { CELLS } else { ENSEMBLE_CELLS }
}

/// Unmeasured loads before the first cell: the JVM compiles what it has seen often enough.
pub(super) const WARM_UPS: &[&[&str]] = &[CELLS[0].load, CELLS[3].load];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_one_cell_each() {
        let all = [CELLS, ENSEMBLE_CELLS].concat();
        for (nth, cell) in all.iter().enumerate() {
            assert!(all[..nth].iter().all(|other| other.name != cell.name), "{}", cell.name);
        }
    }
}
