//! Words that a draft may have beside the first ones: draws of their own, so that the rest of a seed's draft stays what it
//! was before there were such words.

use super::Draw;

/// Lines for the cluster, and for every workload.
#[derive(Clone, Debug, Default)]
pub(super) struct Api {
    pub(super) cluster: Vec<String>,
    /// Operations with their weights.
    pub(super) mix: Vec<String>,
    pub(super) workload: Vec<String>,
}

pub(super) fn draw(draw: &mut Draw) -> Api {
    let mut api = Api::default();
    if draw.chance(1, 2) {
        ends(draw, &mut api);
    }
    if draw.chance(1, 3) {
        if draw.chance(3, 4) {
            api.cluster.push("enforce_quota = true".to_owned());
        }
        api.mix.push(format!("quota = {}", draw.doubling(1, 4)));
    }
    api
}

/// Containers and TTL nodes, and servers that look for those that are over more or less often.
fn ends(draw: &mut Draw, api: &mut Api) {
    if draw.chance(3, 4) {
        api.cluster.push("extended_types = true".to_owned());
    }
    api.cluster.push(format!("container_check = \"{}ms\"", draw.doubling(50, 6)));
    if draw.chance(1, 2) {
        api.cluster.push(format!("container_unused = \"{}ms\"", draw.doubling(100, 5)));
    }
    if draw.chance(1, 3) {
        api.cluster.push(format!("containers_per_minute = {}", draw.doubling(100, 10)));
    }
    api.mix.push(format!("container = {}", draw.doubling(1, 4)));
    api.mix.push(format!("ttl = {}", draw.doubling(1, 4)));
    api.workload.push(format!("ttl = \"1ms..{}ms\"", draw.doubling(50, 6)));
}
