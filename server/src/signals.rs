//! Signals, in one place.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Calls `asked` for every SIGTERM and SIGINT, with its name. From now on a write beyond the limit of file sizes is an
/// error like that of a full disk, and no longer kills the process.
pub(crate) fn watch(asked: impl Fn(&'static str) + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt, _file_size) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        )
    };
    let wait = async move {
        loop {
            let name = tokio::select! {
                biased;
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = interrupt.recv() => "SIGINT",
                else => return,
            };
            asked(name);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}
