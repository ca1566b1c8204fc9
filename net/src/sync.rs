//! The locks and atomics under [`crate::gate`], [`crate::seat`], [`crate::client::outbuf`] and [`crate::peer::outgoing`]: real ones, or loom's.

#[cfg(feature = "loom")]
mod kind {
    pub(crate) use loom::sync::atomic;

    pub(crate) type Guard<'a> = loom::sync::RwLockReadGuard<'a, ()>;
    pub(crate) type Locked<'a> = loom::sync::RwLockWriteGuard<'a, ()>;

    #[derive(Debug)]
    pub(crate) struct Lock(loom::sync::RwLock<()>);

    impl Lock {
        pub(crate) fn new() -> Self {
            Self(loom::sync::RwLock::new(()))
        }
        pub(crate) fn share(&self) -> Guard<'_> {
            self.0.read().expect("nobody panics while holding it")
        }
        pub(crate) fn lock(&self) -> Locked<'_> {
            self.0.write().expect("nobody panics while holding it")
        }
    }

    pub(crate) type MutexGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("nobody panics while holding it")
        }
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

#[cfg(not(feature = "loom"))]
mod kind {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic;

    pub(crate) type Guard<'a> = parking_lot::RwLockReadGuard<'a, ()>;
    pub(crate) type Locked<'a> = parking_lot::RwLockWriteGuard<'a, ()>;

    #[derive(Debug)]
    pub(crate) struct Lock(parking_lot::RwLock<()>);

    impl Lock {
        pub(crate) const fn new() -> Self {
            Self(parking_lot::RwLock::new(()))
        }
        pub(crate) fn share(&self) -> Guard<'_> {
            self.0.read()
        }
        pub(crate) fn lock(&self) -> Locked<'_> {
            self.0.write()
        }
    }
}

pub(crate) use kind::*;
