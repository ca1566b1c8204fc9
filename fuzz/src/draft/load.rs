//! What the clients of a draft do.

use super::api::Api;
use super::{Draw, Load};

pub(super) fn draw(draw: &mut Draw, api: &Api) -> Load {
    let weights =
        ["create", "set", "delete", "get", "exists", "children", "multi", "sync_get", "acl", "ping"];
    let mut mix: Vec<String> = Vec::new();
    for name in weights {
        if draw.chance(2, 3) {
            mix.push(format!("{name} = {}", draw.doubling(1, 5)));
        }
    }
    if mix.is_empty() {
        mix.push("set = 1".to_owned());
    }
    mix.extend(api.mix.iter().cloned());
    let timeout = draw.doubling(300, 5);
    let mut lines = vec![
        format!("sessions = {{ timeout = \"{timeout}ms..{}ms\" }}", timeout * 2),
        format!("mix = {{ {} }}", mix.join(", ")),
        format!(
            "paths = {{ space = {}, depth = {}, ephemeral = \"{}/4\", sequential = \"{}/4\" }}",
            draw.doubling(1, 5),
            draw.between(1, 3),
            draw.below(5),
            draw.below(4)
        ),
        format!("think = \"{}us\"", draw.doubling(500, 7)),
        format!("watch = \"{}/4\"", draw.below(5)),
        format!("pipeline = {}", draw.doubling(1, 6)),
        format!("data = \"{}\"", draw.doubling(1, 12)),
        format!("closing = \"1/{}\"", draw.doubling(20, 6)),
        format!("auth = {}", draw.chance(1, 4)),
        format!("read_only = {}", draw.chance(1, 3)),
    ];
    lines.extend(api.workload.iter().cloned());
    Load { clients: draw.between(1, 6), operations: draw.doubling(50, 3), lines }
}
