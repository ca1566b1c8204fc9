//! [`Bell`]: what a thread sleeps by that others wake. To ring for one that is awake costs no system call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

/// Of one thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    thread: OnceLock<Thread>,
    rung: AtomicBool,
}

impl Bell {
    /// This thread will wait.
    pub(crate) fn belongs_here(&self) {
        self.thread.get_or_init(std::thread::current);
    }

    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Until it rings, or that long.
    pub(crate) fn wait(&self, at_most: Option<Duration>) {
        if self.rung.swap(false, Ordering::AcqRel) {
            return;
        }
        match at_most {
            None => std::thread::park(),
            Some(wait) => std::thread::park_timeout(wait),
        }
        self.rung.store(false, Ordering::Release);
    }
}
