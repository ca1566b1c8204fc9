//! The silent, the deaf and the dying: connections that end without saying so.
//!
//! One task looks at all of them every second; deadlines are rounded up to ten seconds anyway (client protocol §3.6), and
//! a timer for each connection would have to be moved with every frame.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use zk_core::action::CloseReason;
use zk_core::time::Mono;

use super::Client;
use crate::shared::Shared;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Rounds that a closing connection has for reading what is left for it.
const ROUNDS_TO_LEAVE: u8 = 5;

/// Goes round for ever.
pub(crate) async fn rounds(shared: Arc<Shared>) {
    let mut clock = tokio::time::interval(ROUND);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let now = shared.clock.mono();
        for client in shared.table.all() {
            look_at(&shared, &client, now);
        }
    }
}

fn look_at(shared: &Shared, client: &Client, now: Mono) {
    let mut state = client.state.lock();
    if state.closing().is_some() {
        drop(state);
        if client.leaving.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= ROUNDS_TO_LEAVE {
            client.cut();
        }
        return;
    }
    let heard = state.stats().received;
    if client.heard.swap(heard, std::sync::atomic::Ordering::Relaxed) == heard && state.output().is_empty() {
        // Idle connections hold no buffers.
        *state.output() = BytesMut::new();
    }
    if now < state.idle_deadline() {
        return;
    }
    let has_session = state.session().is_some();
    drop(state);
    if !has_session {
        shared.metrics.sessionless_expired.increment();
    }
    client.close(if client.is_blocked() { CloseReason::SlowReader } else { CloseReason::Idle });
}
