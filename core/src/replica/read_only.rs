//! Without a leader, and not for the first moment: clients that asked for no more are shown what this server has
//! (`readonlymode.enabled`; semantics §14; Java: `ReadOnlyZooKeeperServer`).
//!
//! Everything that is committed here has been applied before votes are asked for, and nothing is applied until a leader is
//! found: what is read does not change, and no watch fires. A server that has just started holds all of its log, as in Java,
//! and cannot know of its end whether that is committed. When a leader is found the connections are closed.

use alloc::vec::Vec;

use super::local::{Ask, Locals};
use super::outbox::Turn;
use super::role::{ClientService, Standing};
use crate::action::{Action, CloseReason, Commit, SessionAnswer};
use crate::error::OpError;
use crate::ids::ConnId;
use crate::input::{Access, ClientRequest, Input, SessionAsk, Touch};
use crate::session::SessionInfo;
use crate::time::Mono;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) enum ReadOnly {
    /// It never does.
    #[default]
    Off,
    /// From then on.
    From(Mono),
    /// As soon as disk and tree have come to rest.
    Settling,
    /// It does.
    Serving(Locals),
}

impl ReadOnly {
    /// A leader is looked for.
    pub(super) fn begin(turn: &Turn<'_>) -> Self {
        match turn.ensemble().read_only_after_ms {
            None => Self::Off,
            Some(ms) => Self::From(turn.after_ms(ms.into())),
        }
    }

    /// One input while there is no leader.
    pub(super) fn step(&mut self, input: Input, turn: &mut Turn<'_>) {
        if matches!(self, Self::From(at) if *at <= turn.now.mono) {
            *self = Self::Settling;
        }
        if matches!(self, Self::Settling) && turn.log.is_settled() {
            let kind = turn.ensemble().local_sessions;
            *self = Self::Serving(Locals::read_only(kind, turn.config.tick_ms, turn.now.mono));
            turn.stand(Standing { clients: ClientService::ReadOnly, ..Standing::LOOKING });
        }
        match (self, input) {
            (Self::Serving(locals), Input::Tick) => locals.on_tick(turn),
            (Self::Serving(locals), Input::Touched(touches)) => {
                let _ = locals.touched(touches, turn.now.mono);
            }
            (Self::Serving(locals), Input::Connect { conn, ask, access: Access::ReadOnly }) => {
                connect(locals, conn, ask, turn);
            }
            (Self::Serving(locals), Input::Request(request)) => answer(locals, &request, turn),
            (_, Input::Connect { conn, .. } | Input::Request(ClientRequest { conn, .. })) => {
                turn.close(conn, CloseReason::NotServing);
            }
            _ => {}
        }
    }

    pub(super) fn clients(&self) -> ClientService {
        if matches!(self, Self::Serving(_)) { ClientService::ReadOnly } else { ClientService::Closed }
    }

    /// Sessions of those who read.
    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        if let Self::Serving(locals) = self { locals.list() } else { Vec::new() }
    }

    /// When it wants a `Tick`.
    pub(super) fn deadline(&self) -> Option<Mono> {
        match self {
            Self::Off | Self::Settling => None,
            Self::From(at) => Some(*at),
            Self::Serving(locals) => locals.deadline(),
        }
    }
}

/// A session of the ensemble cannot go on here, and none can begin. (Java answers a client that wants one with bytes that no
/// client understands; a closed connection sends it on as well.)
fn connect(locals: &mut Locals, conn: ConnId, ask: SessionAsk, turn: &mut Turn<'_>) {
    match ask {
        SessionAsk::New { timeout_ms } if locals.are_on() => {
            let tree = turn.tree;
            locals.open(conn, timeout_ms, turn, |id| tree.session(id).is_some());
        }
        SessionAsk::Reattach { session, timeout_ms } if turn.tree.session(session).is_none() => {
            let answer = locals.reattach(Touch { session, timeout_ms }, turn.now.mono);
            let answer = answer.unwrap_or(SessionAnswer::Invalid);
            turn.out.push(Action::Session { conn, answer });
        }
        SessionAsk::New { .. } | SessionAsk::Reattach { .. } => turn.close(conn, CloseReason::NotServing),
    }
}

fn answer(locals: &mut Locals, request: &ClientRequest, turn: &mut Turn<'_>) {
    let conn = request.conn;
    match locals.ask(request, turn.now.mono) {
        Ask::Close => locals.close_answered(turn, |_, _| false),
        Ask::Closing => {}
        Ask::Foreign => turn.close(conn, CloseReason::SessionExpired),
        Ask::Local => {
            let error = OpError::NotReadOnly;
            turn.out.push(Action::Apply([Commit::Refused { conn, error }].into()));
        }
        Ask::Upgrade { .. } => panic!("invariant: no session is upgraded without a leader"),
    }
}
