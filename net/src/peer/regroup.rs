//! Other members, or the same in other places: the files that say so, and the ports that move.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::sleep;
use tracing::{info, warn};
use zk_core::address::HostPort;
use zk_core::config::quorum_config::QuorumConfig;
use zk_core::error::DiskFault;
use zk_core::input::Input;
use zk_core::quorum::Membership;

use super::ports;
use crate::client::{listener, socket};
use crate::pace::Pace;
use crate::shared::Shared;

/// Writes the configs down where the server finds them when it starts again. When it returns they are durable.
#[derive(Clone)]
pub struct Record(Arc<Write>);

type Write = dyn Fn(&Membership) -> io::Result<()> + Send + Sync;

impl Record {
    /// By this function.
    pub fn by(write: impl Fn(&Membership) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Nowhere: for members that never change.
    pub fn nowhere() -> Self {
        Self::by(|_| Ok(()))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record")
    }
}

impl Shared {
    /// Who belongs to the ensemble from here on.
    pub(crate) fn regroup(self: &Arc<Self>, membership: Arc<Membership>) {
        let peers = self.peers();
        let before = std::mem::replace(&mut *peers.membership.lock(), Arc::clone(&membership));
        if let Err(error) = (peers.config.record.0)(&membership) {
            let same = before.in_force().same_as(membership.in_force())
                && before.last_seen().same_as(membership.last_seen());
            if same {
                // A version is given anew, members would be forgotten.
                warn!(%error, "the files of members cannot be rewritten; the members in them are the same");
            } else {
                let fault = DiskFault::Io {
                    file: "the files of members".to_owned(),
                    op: "rewriting",
                    error: error.to_string(),
                };
                self.consensus.submit_one(Input::DiskFailed(fault));
                self.consensus.ring();
            }
        }
        let (old, new) = (before.in_force(), membership.in_force());
        if old.version() != new.version() {
            info!(
                version = format!("{:x}", new.version().0),
                members = new.members_text(),
                "config in force"
            );
            self.move_ports(old, new);
        }
    }

    fn move_ports(self: &Arc<Self>, old: &QuorumConfig, new: &QuorumConfig) {
        let me = self.peers().config.me;
        // Whoever is put out goes on where it is.
        let Some(own) = new.member(me) else { return };
        let was = old.member(me);
        let places = |config: &QuorumConfig| -> Vec<HostPort> {
            config.member(me).into_iter().flat_map(|member| member.election_addresses()).collect()
        };
        if was.is_some() && places(old) != places(new) {
            self.move_election_port(places(new));
        }
        if let Some(client) = &own.client
            && was.is_some_and(|was| was.client.as_ref() != Some(client))
        {
            self.move_client_port(client.clone());
        }
    }

    fn move_election_port(self: &Arc<Self>, own: Vec<HostPort>) {
        let peers = self.peers();
        let places = ports::places(own.into_iter(), peers.config.listen_on);
        info!(?places, "the election port moves");
        let opening = ports::open(Arc::clone(self), places, "election", Self::accept_election);
        peers.vote_with(peers.runtime.spawn(opening).abort_handle());
    }

    /// Clients that are connected stay.
    fn move_client_port(self: &Arc<Self>, to: HostPort) {
        let shared = Arc::clone(self);
        let task = self.peers().runtime.spawn(async move { shared.open_client_port(to).await });
        self.entrance.moves(task.abort_handle());
    }

    async fn open_client_port(self: Arc<Self>, to: HostPort) {
        let host = Some(to.host.clone()).filter(|_| !to.is_wildcard());
        let mut failures = Pace::default();
        loop {
            let (host, port) = (host.clone(), to.port);
            let bound = spawn_blocking(move || socket::bind(host.as_deref(), port)).await;
            let Ok(bound) = bound else { return };
            let listening =
                bound.and_then(|bound| Ok((bound.address(), bound.listen(self.facts.listen_backlog)?)));
            match listening {
                Ok((address, listener)) => {
                    info!(%address, "the client port moves");
                    let accepting = listener::accept_all(Arc::clone(&self), listener);
                    let task = self.peers().runtime.spawn(accepting).abort_handle();
                    return self.entrance.opened(address, task);
                }
                Err(error) => {
                    // The same port in another place: the old one has to go first.
                    if error.kind() == io::ErrorKind::AddrInUse {
                        self.entrance.close_if_at(port);
                    }
                    if let Some(more) = failures.complain() {
                        warn!(%to, %error, since_last_time = more, "cannot take the new client port yet");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(100);

impl super::Peers {
    /// This task takes votes from here on.
    pub(super) fn vote_with(&self, task: AbortHandle) {
        if let Some(before) = self.voting.lock().replace(task) {
            before.abort();
        }
    }
}
