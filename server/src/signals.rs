//! Signals, in one place.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::asked::Signal;

/// Calls `asked` for every SIGTERM and SIGINT, with which of them it was. From now on a write beyond the limit of file sizes is an
/// error like that of a full disk, and no longer kills the process.
pub(crate) fn watch(mut asked: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
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
            let signal = tokio::select! {
                biased;
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = interrupt.recv() => Signal::Interrupt,
                else => return,
            };
            asked(signal);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}
