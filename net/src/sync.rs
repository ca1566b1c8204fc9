//! The locks and atomics under [`crate::gate`] and [`crate::client::outbuf`]: real ones, or loom's.

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
}

#[cfg(not(feature = "loom"))]
mod kind {
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
