//! The loop that keeps all sessions busy: one thread, one epoll.
//!
//! The servers under test often share a small machine with this client, so it must cost little: requests are encoded
//! into one buffer per session and leave in one write; replies come in one read and are slices of the receive buffer;
//! the clock is read once per read. Due times of an open loop come from a timer file descriptor, exact to
//! microseconds; a runtime's timer wheel, or epoll's own timeout, would add up to a millisecond to every latency.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use zk_core::ids::Zxid;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use super::session::{Arrived, Left, Sent, Session};

/// Where operations come from, and where their outcomes go.
pub(super) trait Source {
    /// Requests that a session may have in flight.
    fn outstanding(&self) -> usize;
    /// Called once per turn of the loop, before anything else of that turn.
    fn turn(&mut self, now: u64);
    /// What the session sends next; asked when it has room.
    fn next(&mut self, session: usize, now: u64) -> Next;
    /// An operation's end.
    fn ended(&mut self, sent: &Sent, outcome: Outcome, now: u64);
}

/// A source's answer to a session with room.
#[derive(Debug)]
pub(super) enum Next {
    /// This request; `started` is when its latency begins.
    Send { request: Request, started: u64, tag: u64 },
    /// Nothing before this time.
    At(u64),
    /// Nothing any more.
    Done,
}

/// How an operation ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With success.
    Answered(Reply),
    /// With an error code.
    Refused(i32),
    /// With a reply that cannot be read.
    Malformed(String),
    /// With nothing: the connection was lost, or patience.
    Unanswered,
}

/// A session's part in the present [`Engine::drive`].
#[derive(Clone, Debug)]
enum Standing {
    /// It may have more to send.
    Working,
    /// The source has nothing more for it; answers may still be awaited.
    Emptied,
    /// Emptied, and nothing is awaited.
    Settled,
    /// Its connection is gone.
    Lost,
}

/// All sessions and what wakes them.
pub(super) struct Engine {
    sessions: Vec<Session>,
    standing: Vec<Standing>,
    /// What epoll tells about each session's socket.
    interests: Vec<epoll::EventFlags>,
    /// When a session without anything to send has its next operation; `u64::MAX`: no such time.
    wakes: Vec<u64>,
    /// Sessions that are neither settled nor lost.
    working: usize,
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to.
    armed: u64,
    started: Instant,
    patience: Duration,
    scratch: Box<[u8]>,
    events: Vec<epoll::Event>,
    last_zxid: Zxid,
    /// Why sessions were lost.
    losses: Vec<String>,
}

/// Between looks at idle sessions and at patience.
const HOUSEKEEPING: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
const SCRATCH_BYTES: usize = 256 << 10;
const NEVER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX;

impl Engine {
    /// Opens this many sessions, dealt out to the servers in turn.
    pub(super) fn connect(
        servers: &[SocketAddr],
        sessions: usize,
        timeout_ms: i32,
        patience: Duration,
    ) -> Result<Self> {
        let started = Instant::now();
        // All ask before the first waits, so that the servers can open them in groups.
        let mut opened = (0..sessions)
            .map(|nth| {
                Session::open(servers[nth % servers.len()], timeout_ms, patience)
                    .with_context(|| format!("session {} of {sessions}", nth + 1))
            })
            .collect::<Result<Vec<Session>>>()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        for (nth, session) in opened.iter_mut().enumerate() {
            session
                .establish(nanos(started.elapsed()))
                .with_context(|| format!("session {} of {sessions}", nth + 1))?;
            epoll::add(&epoll, &*session, epoll::EventData::new_u64(nth as u64), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            standing: vec![Standing::Settled; sessions],
            interests: vec![epoll::EventFlags::IN; sessions],
            wakes: vec![NEVER; sessions],
            working: 0,
            epoll,
            timer,
            armed: NEVER,
            started,
            patience,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            events: Vec::with_capacity(sessions + 1),
            last_zxid: Zxid::ZERO,
            losses: Vec::new(),
            sessions: opened,
        })
    }

    /// Carries out everything that `source` has. Returns when all of it has ended, one way or another.
    pub(super) fn drive(&mut self, source: &mut impl Source) -> Result<()> {
        self.begin()?;
        let mut looked = self.now();
        while self.working > 0 {
            let now = self.now();
            source.turn(now);
            self.wake(source, now);
            self.wait()?;
            for at in 0..self.events.len() {
                let event = self.events[at];
                match event.data.u64() {
                    TIMER => self.clear_timer()?,
                    session => self.serve(session as usize, source),
                }
            }
            if now - looked > HOUSEKEEPING.tv_nsec as u64 {
                looked = now;
                self.look_after_sessions(source);
            }
        }
        Ok(())
    }

    /// Nanoseconds since the engine was made.
    pub(super) fn now(&self) -> u64 {
        nanos(self.started.elapsed())
    }

    /// The highest zxid that any reply carried.
    pub(super) const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Sessions that can still be used.
    pub(super) fn alive(&self) -> usize {
        self.standing.iter().filter(|standing| !matches!(standing, Standing::Lost)).count()
    }

    /// Why sessions were lost, in the order in which they were.
    pub(super) fn losses(&self) -> &[String] {
        &self.losses
    }

    fn begin(&mut self) -> Result<()> {
        ensure!(self.alive() > 0, "no session is left: {}", self.losses.join("; "));
        for (standing, wake) in self.standing.iter_mut().zip(&mut self.wakes) {
            if !matches!(standing, Standing::Lost) {
                (*standing, *wake) = (Standing::Working, 0);
            }
        }
        self.working = self.alive();
        Ok(())
    }

    /// Lets every session fill up for which it is time.
    fn wake(&mut self, source: &mut impl Source, now: u64) {
        if self.wakes.iter().all(|wake| *wake > now) {
            return;
        }
        for session in 0..self.sessions.len() {
            if self.wakes[session] <= now {
                self.fill(session, source, now);
                self.push_out(session, source);
            }
        }
    }

    /// Queues what the session may send now.
    fn fill(&mut self, nth: usize, source: &mut impl Source, now: u64) {
        self.wakes[nth] = NEVER;
        if !matches!(self.standing[nth], Standing::Working) {
            return;
        }
        let session = &mut self.sessions[nth];
        while session.in_flight() < source.outstanding() {
            match source.next(nth, now) {
                Next::Send { request, started, tag } => session.put(&request, started, tag, now),
                Next::At(time) => {
                    self.wakes[nth] = time;
                    break;
                }
                Next::Done => {
                    self.standing[nth] = Standing::Emptied;
                    break;
                }
            }
        }
    }

    /// Sends what is queued and notes whether the session has come to its end.
    fn push_out(&mut self, nth: usize, source: &mut impl Source) {
        let session = &mut self.sessions[nth];
        let flushed = session.flush().and_then(|left| {
            let interest = match left {
                Left::Nothing => epoll::EventFlags::IN,
                Left::Some => epoll::EventFlags::IN | epoll::EventFlags::OUT,
            };
            if interest != self.interests[nth] {
                epoll::modify(&self.epoll, &*session, epoll::EventData::new_u64(nth as u64), interest)?;
                self.interests[nth] = interest;
            }
            Ok(())
        });
        match flushed {
            Err(error) => self.lose(nth, source, &error.to_string()),
            Ok(()) if matches!(self.standing[nth], Standing::Emptied) && session.in_flight() == 0 => {
                self.standing[nth] = Standing::Settled;
                self.working -= 1;
            }
            Ok(()) => {}
        }
    }

    /// A socket has something to read, or room to write.
    fn serve(&mut self, nth: usize, source: &mut impl Source) {
        if matches!(self.standing[nth], Standing::Lost) {
            return;
        }
        let arrived = self.sessions[nth].receive(&mut self.scratch);
        let now = self.now();
        if let Err(error) = self.take_replies(nth, source, now) {
            return self.lose(nth, source, &format!("{error:#}"));
        }
        match arrived {
            Err(error) => self.lose(nth, source, &error.to_string()),
            Ok(Arrived::End) => self.lose(nth, source, "closed by the server"),
            Ok(Arrived::Open) => {
                self.fill(nth, source, now);
                self.push_out(nth, source);
            }
        }
    }

    fn take_replies(&mut self, nth: usize, source: &mut impl Source, now: u64) -> Result<()> {
        while let Some((sent, header, body)) = self.sessions[nth].next_reply(now)? {
            self.last_zxid = self.last_zxid.max(header.zxid);
            if sent.is_ping() {
                continue;
            }
            let outcome = match header.err {
                0 => match Reply::decode(sent.op, body) {
                    Ok(Some(reply)) => Outcome::Answered(reply),
                    Ok(None) => Outcome::Malformed(format!("opcode {} has no reply", sent.op)),
                    Err(error) => Outcome::Malformed(error.to_string()),
                },
                code => Outcome::Refused(code),
            };
            source.ended(&sent, outcome, now);
        }
        Ok(())
    }

    /// Ends a session whose connection cannot be used any more.
    fn lose(&mut self, nth: usize, source: &mut impl Source, why: &str) {
        if matches!(self.standing[nth], Standing::Working | Standing::Emptied) {
            self.working -= 1;
        }
        self.standing[nth] = Standing::Lost;
        self.wakes[nth] = NEVER;
        self.losses.push(format!("session {} with {}: {why}", nth + 1, self.sessions[nth].server()));
        // The descriptor stays open until the end; a closed connection would be reported again and again.
        let _ = epoll::delete(&self.epoll, &self.sessions[nth]);
        let now = self.now();
        for sent in self.sessions[nth].take_in_flight().iter().filter(|sent| !sent.is_ping()) {
            source.ended(sent, Outcome::Unanswered, now);
        }
    }

    /// Pings for those that would expire, an end for those that wait in vain.
    fn look_after_sessions(&mut self, source: &mut impl Source) {
        let now = self.now();
        for nth in 0..self.sessions.len() {
            if matches!(self.standing[nth], Standing::Lost) {
                continue;
            }
            if self.sessions[nth].waited(now) > self.patience {
                self.lose(nth, source, &format!("no answer for {:?}", self.patience));
                continue;
            }
            self.sessions[nth].keep_alive(now);
            self.push_out(nth, source);
        }
    }

    /// Waits for sockets, the timer or the next look at idle sessions.
    fn wait(&mut self) -> Result<()> {
        let wake = self.wakes.iter().copied().min().unwrap_or(NEVER);
        if wake != NEVER && wake != self.armed {
            // A time that has come by now is the shortest the timer knows: 0 would switch it off.
            let left = wake.saturating_sub(self.now()).max(1);
            let value =
                Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
            let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
            self.armed = wake;
        }
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&HOUSEKEEPING)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(io::Error::from(error)).context("epoll"),
        }
    }

    fn clear_timer(&mut self) -> Result<()> {
        self.armed = NEVER;
        let mut expirations = [0; 8];
        match rustix::io::read(&self.timer, &mut expirations) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(io::Error::from(error)).context("timer"),
        }
    }
}

/// A time in nanoseconds; runs are far shorter than the 584 years that fit.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
