//! What clients of a real ensemble did and heard, judged by the simulator's own checker: writes linearise, reads see a state
//! that was committed and never an older one than before, a sync sees everything that had completed.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use live::ensemble::{Ensemble, Kind, Part};
use live::zoarium::Profile;
use zk_core::disk::{Compression, Dir, DiskConfig, Vfs, history, layout};
use zk_core::ids::{SessionId, Zxid};
use zk_core::input::LogPart;
use zk_core::replica::LogShare;
use zk_core::tree::TreeConfig;
use zk_core::wire::client::{
    ConnectRequest, ConnectResponse, CreateRequest, GetDataRequest, SetDataRequest, SyncRequest,
};
use zk_core::wire::framing::{FrameReader, put_frame, put_request};
use zk_core::wire::jute::Jute;
use zk_core::wire::records::Acl;
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;
use zk_core::wire::txn::Txn;
use zk_net::disk::files::{Files, Paths};
use zk_sim::oracle::{ClientId, Commits, Histories, Seen};

const CLIENTS: u32 = 4;
const PATHS: u64 = 3;
const KILLS: usize = 5;
/// Operations between two kills.
const PACE: usize = 2000;

/// What all clients did and saw, in an order that agrees with time: an asking is noted before it is sent, an answer when it
/// has come.
type Record = Mutex<Vec<(ClientId, Seen)>>;

/// A client that goes on with its session at the next server when it loses one.
struct Client {
    id: ClientId,
    record: Arc<Record>,
    session: SessionId,
    password: Option<Bytes>,
    last: Zxid,
    xid: i32,
    socket: Option<(TcpStream, FrameReader)>,
}

impl Client {
    fn note(&self, seen: Seen) {
        self.record.lock().expect("nobody panics with it").push((self.id, seen));
    }

    /// True once it has a session on this server.
    fn connect(&mut self, port: u16) -> Result<bool> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.set_nodelay(true)?;
        self.socket = Some((socket, FrameReader::new(1 << 20)));
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last,
            timeout_ms: 30_000,
            session: self.session,
            password: Some(self.password.clone().unwrap_or_else(|| Bytes::from_static(&[0; 16]))),
            read_only: Some(false),
        };
        let mut out = BytesMut::new();
        put_frame(&mut out, |out| request.encode(out));
        self.send(&out)?;
        let Some(frame) = self.frame()? else { return Ok(false) };
        let response = ConnectResponse::from_bytes(frame)?;
        ensure!(response.timeout_ms > 0, "the session {} has expired", self.session);
        (self.session, self.password) = (response.session, response.password);
        self.note(Seen::Connected { session: self.session, identities: Arc::new([]), read_only: false });
        Ok(true)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.as_mut().context("connected")?.0.write_all(bytes)?)
    }

    fn frame(&mut self) -> Result<Option<Bytes>> {
        let (socket, frames) = self.socket.as_mut().context("connected")?;
        loop {
            if let Some(frame) = frames.next_frame()? {
                return Ok(Some(frame));
            }
            let mut piece = [0; 4096];
            match socket.read(&mut piece)? {
                0 => return Ok(None),
                n => frames.push(&piece[..n]),
            }
        }
    }

    /// Asks for all of these at once, and takes the answers; false when the server was lost before the last.
    fn ask(&mut self, requests: Vec<Request>) -> Result<bool> {
        let mut out = BytesMut::new();
        let mut waiting = VecDeque::new();
        for request in requests {
            self.xid += 1;
            put_request(&mut out, self.xid, &request);
            waiting.push_back(request.op());
            self.note(Seen::Asked { xid: self.xid, request: Arc::new(request) });
        }
        if self.send(&out).is_err() {
            return Ok(false);
        }
        while let Some(op) = waiting.pop_front() {
            let Ok(Some(mut body)) = self.frame() else { return Ok(false) };
            let (xid, zxid, err) = (body.get_i32(), Zxid(body.get_i64()), body.get_i32());
            let reply = if err == 0 { Reply::decode(op, body)? } else { None };
            self.last = self.last.max(zxid);
            self.note(Seen::Replied { xid, zxid, err, reply });
        }
        Ok(true)
    }

    /// Works until it is told to stop; counts what was answered.
    fn work(mut self, ports: &[u16], stop: &AtomicBool, answered: &AtomicUsize) -> Result<()> {
        let mut round = u64::from(self.id.0);
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            let port = ports[round as usize % ports.len()];
            if !self.connect(port).unwrap_or(false) {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                let requests = requests(self.id, round);
                let count = requests.len();
                if !self.ask(requests)? {
                    break;
                }
                answered.fetch_add(count, Ordering::Relaxed);
            }
            self.note(Seen::Lost);
            self.socket = None;
        }
        Ok(())
    }
}

/// A few things to ask at once, in an order that is a different one every time.
fn requests(client: ClientId, round: u64) -> Vec<Request> {
    let path = |n: u64| format!("/h{}", n % PATHS);
    let value = Some(Bytes::from(format!("{} {round}", client.0)));
    let set = Request::SetData(SetDataRequest {
        path: path(round / 3).as_str().into(),
        data: value.clone(),
        version: -1,
    });
    let get = |n: u64| Request::GetData(GetDataRequest { path: path(n).as_str().into(), watch: false });
    let sync = Request::Sync(SyncRequest { path: Some("/".into()) });
    match round % 4 {
        0 => vec![Request::Create(CreateRequest {
            path: path(round).as_str().into(),
            data: value,
            acl: vec![Acl::world(31)],
            flags: 0,
        })],
        1 => vec![set, get(round / 3)],
        2 => vec![sync, get(round), get(round + 1)],
        _ => vec![get(round), set, sync, get(round / 3)],
    }
}

/// Every txn in the log below `dir`.
fn log(dir: &Path) -> Result<Vec<Arc<Txn>>> {
    let below = dir.join("data/version-2");
    let mut files = Files::new(Paths { data: dir.join("data"), snap: below.clone(), log: below });
    let config = DiskConfig {
        prealloc: 0,
        force_sync: true,
        compression: Compression::None,
        trust_empty: false,
        digest: true,
        record_max: 4 << 20,
        tree: TreeConfig::default(),
    };
    let names = files.list(Dir::Log).map_err(anyhow::Error::msg)?;
    let first =
        names.iter().filter_map(|(name, _)| layout::log_zxid(name)).min().context("there is a log")?;
    let last = zk_core::disk::recovery::recover(&mut files, &config)?.last_zxid;
    let LogPart::Records(records) = history::read(&mut files, &config, first, last, LogShare::Any)? else {
        anyhow::bail!("the log does not reach from {first} to {last}");
    };
    let whole = records.is_sorted_by(|a, b| b.zxid.may_follow(a.zxid));
    ensure!(whole, "the log below {} has a hole", dir.display());
    records.into_iter().map(|record| Ok(Arc::new(Txn::decode(record.bytes)?))).collect()
}

/// Lets the simulator's checker judge the record against the commits.
fn judge(record: &[(ClientId, Seen)], txns: &[Arc<Txn>]) -> Result<u64> {
    let (mut commits, mut histories) = (Commits::default(), Histories::default());
    let mut rest = txns.iter();
    let mut commit = |commits: &mut Commits| -> Result<()> {
        let txn = rest.next().context("an answer tells of more than the log holds")?;
        commits.commit(txn).map_err(|violation| anyhow::anyhow!("{violation:?}")).map(drop)
    };
    for (client, seen) in record {
        match seen {
            // Nothing is heard before it is committed.
            Seen::Replied { zxid, .. } => {
                while commits.states().last() < *zxid {
                    commit(&mut commits)?;
                }
            }
            Seen::Connected { session, .. } => {
                while commits.states().session(*session).is_none() {
                    commit(&mut commits)?;
                }
            }
            _ => {}
        }
        let judged = histories.take(*client, seen.clone(), &mut commits);
        judged.map_err(|violation| anyhow::anyhow!("{violation:?}"))?;
    }
    Ok(histories.checked())
}

#[test]
fn histories_over_kills_of_the_leader_are_linearizable() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let kinds = [(Kind::Zoarium(Profile::Same), Part::Voter); 3];
    // A snapshot sent to a learner would leave a hole in its log: however long the log is, it is sent instead.
    let lines = "maxSessionTimeout=60000\npreAllocSize=64\nsnapshotSizeFactor=0\n";
    let mut ensemble = Ensemble::new(dir.path(), &kinds, lines)?;
    ensemble.start()?;
    let ports: Vec<u16> = ensemble.members.iter().map(|member| member.port).collect();
    let (record, stop, answered) = (Arc::new(Record::default()), AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (session, record) = (SessionId::NONE, Arc::clone(&record));
                let (id, last) = (ClientId(n), Zxid::ZERO);
                let client = Client { id, record, session, password: None, last, xid: 0, socket: None };
                let (ports, stop, answered) = (&ports, &stop, &answered);
                scope.spawn(move || client.work(ports, stop, answered))
            })
            .collect();
        let killed = (1..=KILLS).try_for_each(|kill| {
            live::process::wait_until("clients are answered", || {
                Ok(answered.load(Ordering::Relaxed) >= kill * PACE)
            })?;
            let leader = ensemble.wait_serving()?;
            ensemble.kill_nine(leader)?;
            ensemble.launch(leader)?;
            ensemble.wait_serving().map(drop)
        });
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        killed
    })
    .with_context(|| ensemble.said())?;
    ensemble.wait_serving()?;
    ensemble.agree()?;
    let home = ensemble.member(1)?.dir.clone();
    ensemble.stop()?;
    let record = record.lock().expect("all clients have ended");
    let txns = log(&home)?;
    let checked = judge(&record, &txns)?;
    ensure!(checked as usize >= KILLS * PACE, "only {checked} answers were judged");
    println!("{checked} answers judged, {} txns, {KILLS} kills", txns.len());
    // The judge is awake: of a lie in the middle it would have told.
    let mut lie = record.clone();
    let half = lie.len() / 2;
    let read = lie[half..].iter_mut().find_map(|(_, seen)| match seen {
        Seen::Replied { reply: Some(Reply::GetData(read)), .. } => Some(read),
        _ => None,
    });
    read.context("somebody read something")?.data = Some(Bytes::from_static(b"never written"));
    let told = judge(&lie, &txns).err().context("nobody noticed what was never written")?;
    ensure!(told.to_string().contains("never written"), "{told}");
    Ok(())
}
