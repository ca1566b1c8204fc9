//! The zoo.cfg that all servers under test share, ours and Apache's.

use std::path::Path;

/// Lines for a server over `dir/data` that listens for clients on this port of the loopback address. A line that is given
/// again behind them wins.
pub(crate) fn lines(dir: &Path, port: u16) -> String {
    format!(
        "tickTime=500\ndataDir={}/data\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\n",
        dir.display()
    )
}
