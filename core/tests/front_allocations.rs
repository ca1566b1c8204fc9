//! The two paths that every client takes all day allocate nothing: a getData, and a setData from commit to reply.

mod one_server;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use one_server::{Server, frame_of};
use zk_core::action::Commit;
use zk_core::front::{Host, Intake, apply, receive};
use zk_core::ids::{SessionId, Zxid};
use zk_core::time::WallMs;
use zk_core::wire::client::*;
use zk_core::wire::records::Acl;
use zk_core::wire::request::Request;
use zk_core::wire::txn::{Txn, TxnBody, TxnHeader};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    f();
    COUNT.with(Cell::get) - before
}

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

#[test]
fn serving_a_get_allocates_nothing_once_the_output_has_room() {
    let mut server = Server::new();
    let conn = server.connect();
    let data = Some(Bytes::from(vec![7; 1024]));
    let create = CreateRequest { path: "/a".into(), data, acl: vec![Acl::world(31)], flags: 0 };
    server.call_and_forget(conn, &Request::Create(create));
    let get = Request::GetData(GetDataRequest { path: "/a".into(), watch: false });
    let frames: Vec<_> = (0..64).map(|_| frame_of(7, &get)).collect();
    let mut intake = Intake::default();
    intake.dirty.reserve(1);
    intake.inputs.reserve(1);
    server.with(conn, |c| c.output().reserve(128 << 10));
    server.lend(conn, |c, host: &Host<'_, _, _>| {
        // The first one reports a sign of life.
        receive(c, frames[0].clone(), host, &mut intake);
        let count = allocations(|| frames[1..].iter().for_each(|f| receive(c, f.clone(), host, &mut intake)));
        assert_eq!(count, 0);
        assert_eq!(c.output().split().len(), 64 * (4 + 16 + 4 + 1024 + 68));
    });
}

#[test]
fn applying_a_set_with_its_reply_allocates_nothing_once_the_output_has_room() {
    let mut server = Server::new();
    let conn = server.connect();
    let data = || Some(Bytes::from(vec![7; 1024]));
    let create = CreateRequest { path: "/a".into(), data: data(), acl: vec![Acl::world(31)], flags: 0 };
    server.call_and_forget(conn, &Request::Create(create));
    server.instantly = false;
    for version in 1..=64 {
        let set = Request::SetData(SetDataRequest { path: "/a".into(), data: data(), version: -1 });
        server.send_as(conn, version, &set);
    }
    let session: SessionId = server.session_of(conn);
    let first = server.tree.last_zxid().0;
    let commits: Vec<_> = (1..=64)
        .map(|version| {
            let zxid = Zxid(first + i64::from(version));
            let header = TxnHeader { session, cxid: version, zxid, time: WallMs(5), kind: 5 };
            let path = zk_core::text::Text::from_bytes_lossy(Bytes::from_static(b"/a"));
            let body = TxnBody::SetData { path, data: data(), version };
            Commit::Txn {
                txn: Arc::new(Txn { header, body, digest: None }),
                origin: Some(conn),
                mode: zk_core::tree::ApplyMode::Live,
            }
        })
        .collect();
    server.with(conn, |c| c.output().reserve(64 << 10));
    let mut intake = Intake::default();
    let Server { config, tree, table, shards, now, .. } = &mut server;
    apply(config, tree, &commits[..1], table, shards, *now, &mut intake);
    let count = allocations(|| apply(config, tree, &commits[1..], table, shards, *now, &mut intake));
    assert_eq!(count, 0);
    assert_eq!(server.with(conn, |c| c.output().split().len()), 64 * (4 + 16 + 68));
}
