//! What the sessions ask for: which operation comes next, and whether its reply is the right one.

use bytes::Bytes;

use zk_core::rng::Dice;
use zk_core::text::Text;
use zk_core::wire::client::{CreateRequest, GetDataRequest, SetDataRequest};
use zk_core::wire::records::{Acl, perms};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::Request;

use super::args::{Operation, Plan};

/// Streams of the run's seed.
const CHOICES: u64 = 0;
const DATA: u64 = 1;

/// A source of requests, the same for the same seed.
#[derive(Debug)]
pub(super) struct Workload {
    operation: Operation,
    reads_percent: u64,
    /// Flags of the znodes that `create` makes.
    flags: i32,
    /// Znodes to get and set, or directories to create in.
    paths: Vec<Text>,
    data: Bytes,
    dice: Dice,
    created: u64,
}

impl Workload {
    /// The workload of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let name = match plan.operation {
            Operation::Create => "dir",
            Operation::Get | Operation::Set | Operation::Mixed => "node",
        };
        Self {
            operation: plan.operation,
            reads_percent: plan.reads_percent.into(),
            flags: plan.created.flags(),
            paths: (0..plan.paths).map(|n| format!("{}/{name}-{n:010}", plan.root).into()).collect(),
            data: data(plan.size, plan.seed),
            dice: Dice::new(plan.seed, CHOICES),
            created: 0,
        }
    }

    /// The next operation.
    pub(super) fn next(&mut self) -> Request {
        match self.operation {
            Operation::Get => self.get(),
            Operation::Set => self.set(),
            Operation::Mixed if self.dice.chance(self.reads_percent, 100) => self.get(),
            Operation::Mixed => self.set(),
            Operation::Create => self.create(),
        }
    }

    /// What is wrong with a successful reply, if anything is.
    pub(super) fn fault(&self, reply: &Reply) -> Option<String> {
        let Reply::GetData(reply) = reply else { return None };
        let found = reply.data.as_ref().map_or(0, Bytes::len);
        let expected = self.data.len();
        (found != expected).then(|| format!("data of {found} bytes where {expected} were written"))
    }

    /// Znodes that must be there before the first operation, with their data.
    pub(super) fn foundation(&self) -> impl Iterator<Item = (Text, Bytes)> + '_ {
        let data = match self.operation {
            Operation::Create => Bytes::new(),
            Operation::Get | Operation::Set | Operation::Mixed => self.data.clone(),
        };
        self.paths.iter().map(move |path| (path.clone(), data.clone()))
    }

    fn path(&mut self) -> Text {
        self.paths[self.dice.below(self.paths.len() as u64) as usize].clone()
    }

    fn get(&mut self) -> Request {
        Request::GetData(GetDataRequest { path: self.path(), watch: false })
    }

    fn set(&mut self) -> Request {
        Request::SetData(SetDataRequest { path: self.path(), data: Some(self.data.clone()), version: -1 })
    }

    /// Names of 15 bytes, whether we number them or the server does.
    fn create(&mut self) -> Request {
        let n = self.created;
        self.created += 1;
        let directory = &self.paths[(n % self.paths.len() as u64) as usize];
        let sequential = self.flags & 2 != 0;
        let path =
            if sequential { format!("{directory}/node-") } else { format!("{directory}/node-{n:010}") };
        create(path.into(), self.data.clone(), self.flags)
    }
}

/// A create request for a znode that everybody may use.
pub(super) fn create(path: Text, data: Bytes, flags: i32) -> Request {
    Request::Create(CreateRequest { path, data: Some(data), acl: vec![Acl::world(perms::ALL)], flags })
}

/// Data that does not compress.
fn data(size: usize, seed: u64) -> Bytes {
    let mut dice = Dice::new(seed, DATA);
    let words = (0..size.div_ceil(8)).flat_map(|_| dice.next_u64().to_be_bytes());
    words.take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::super::args::Created;
    use super::*;
    use zk_core::wire::client::{GetDataResponse, op};
    use zk_core::wire::records::Stat;

    fn plan(operation: Operation, created: Created) -> Plan {
        Plan { operation, created, size: 100, paths: 10, ..Plan::example() }
    }

    #[test]
    fn one_seed_asks_for_the_same_again() {
        let plan = plan(Operation::Mixed, Created::Persistent);
        let mut twice = [Workload::new(&plan), Workload::new(&plan)];
        let [first, second] = twice.each_mut().map(|w| (0..100).map(|_| w.next()).collect::<Vec<_>>());
        assert_eq!(first, second);
    }

    #[test]
    fn mixed_reads_as_often_as_it_was_told() {
        let mut workload = Workload::new(&plan(Operation::Mixed, Created::Persistent));
        let reads = (0..10_000).filter(|_| workload.next().op() == op::GET_DATA).count();
        assert!((8_900..9_100).contains(&reads), "{reads}");
    }

    #[test]
    fn creates_are_dealt_out_to_the_directories_and_never_meet() {
        let mut workload = Workload::new(&plan(Operation::Create, Created::Ephemeral));
        let directories: Vec<Text> = workload.foundation().map(|(path, _)| path).collect();
        assert_eq!(directories.len(), 10);
        let mut names = std::collections::BTreeSet::new();
        for n in 0..30 {
            let Request::Create(request) = workload.next() else { panic!("a create") };
            let (directory, name) = request.path.rsplit_once('/').expect("a path");
            assert_eq!(directory, directories[n % 10].as_str());
            assert_eq!((name.len(), request.flags, request.data.map(|d| d.len())), (15, 1, Some(100)));
            names.insert(name.to_owned());
        }
        assert_eq!(names.len(), 30);
    }

    #[test]
    fn the_server_numbers_sequential_znodes() {
        let mut workload = Workload::new(&plan(Operation::Create, Created::Sequential));
        let Request::Create(request) = workload.next() else { panic!("a create") };
        assert_eq!(request.path.as_str(), "/bench/dir-0000000000/node-");
    }

    #[test]
    fn data_of_another_length_is_a_fault() {
        let workload = Workload::new(&plan(Operation::Get, Created::Persistent));
        let reply = |data| Reply::GetData(GetDataResponse { data, stat: Stat::default() });
        assert_eq!(workload.fault(&reply(Some(Bytes::from(vec![0; 100])))), None);
        assert!(workload.fault(&reply(Some(Bytes::from(vec![0; 99])))).is_some());
        assert!(workload.fault(&reply(None)).is_some());
    }
}
