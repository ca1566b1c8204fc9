//! The configurations under which both servers are compared.

/// What a chapter may use. A feature that the server does not have yet is in no world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `extendedTypesEnabled`: nodes with a time to live.
    Ttl,
    /// `enforceQuota`, and nodes below /zookeeper/quota.
    Quotas,
}

/// A configuration of both servers.
#[derive(Debug)]
pub struct World {
    /// What it is called.
    pub name: &'static str,
    /// Further lines of zoo.cfg. Java gets them as properties, too: some of its classes read those before zoo.cfg.
    pub settings: &'static [(&'static str, &'static str)],
    /// Lines for our server alone, to see that a difference is found.
    pub planted: &'static [(&'static str, &'static str)],
    /// What chapters use.
    pub features: &'static [Feature],
}

/// All of them; chapters take turns.
pub const WORLDS: &[World] = &[World { name: "plain", settings: &[], planted: &[], features: &[] }];

impl World {
    /// Whether chapters use this.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}
