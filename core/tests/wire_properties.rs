//! Round trips of every record, and what hostile bytes can do to a decoder: nothing but be refused.

mod hostile;

use std::fmt::Debug;

use bytes::{BufMut, Bytes, BytesMut};
use hostile::{bounded, damage, peak_of};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use zk_core::error::DecodeErrorKind;
use zk_core::ids::{SessionId, Zxid};
use zk_core::text::Text;
use zk_core::time::WallMs;
use zk_core::wire::client::*;
use zk_core::wire::framing::{FrameError, FrameReader, put_frame};
use zk_core::wire::jute::{Jute, Reader};
use zk_core::wire::multi::{self, MultiKind, MultiResult};
use zk_core::wire::records::{Acl, Id, Stat, StatPersisted};
use zk_core::wire::reply::Reply;
use zk_core::wire::request::{MultiOp, Request};
use zk_core::wire::txn::{CreateKind, CreateTxn, Txn, TxnBody, TxnDigest, TxnHeader};

/// A type whose values proptest can draw.
trait Any: Sized + Debug + Clone + 'static {
    fn any() -> BoxedStrategy<Self>;
}

macro_rules! any_number {
    ($($t:ty => $s:expr;)*) => {$(
        impl Any for $t {
            fn any() -> BoxedStrategy<Self> { $s.boxed() }
        }
    )*};
}

any_number! {
    bool => proptest::bool::ANY;
    i32 => any::<i32>();
    i64 => any::<i64>();
    Zxid => any::<i64>().prop_map(Zxid);
    SessionId => any::<i64>().prop_map(SessionId);
    WallMs => any::<i64>().prop_map(WallMs);
    Text => ".{0,12}".prop_map(Text::from);
    Bytes => vec(any::<u8>(), 0..24).prop_map(Bytes::from);
}

impl<T: Any> Any for Option<T> {
    fn any() -> BoxedStrategy<Self> {
        option::of(T::any()).boxed()
    }
}

impl<T: Any> Any for Vec<T> {
    fn any() -> BoxedStrategy<Self> {
        vec(T::any(), 0..4).boxed()
    }
}

fn field<R, T: Any>(_: fn(&R) -> &T) -> BoxedStrategy<T> {
    T::any()
}

/// Makes records drawable, and lists those that are jute records for [`each_record`].
macro_rules! any_record {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(impl Any for $name {
            fn any() -> BoxedStrategy<Self> {
                ($(field(|r: &Self| &r.$field),)*).prop_map(|($($field,)*)| Self { $($field),* }).boxed()
            }
        })*
    };
}

macro_rules! jute_records {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        any_record! { $($name { $($field),* })* }

        /// Calls the visitor with every jute record there is.
        fn each_record(visit: &mut impl RecordVisitor) {
            $(visit.record::<$name>(stringify!($name));)*
        }
    };
}

trait RecordVisitor {
    fn record<T: Any + Jute + PartialEq>(&mut self, name: &str);
}

jute_records! {
    Id { scheme, id }
    Acl { perms, id }
    Stat {
        czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, data_length, num_children, pzxid,
    }
    StatPersisted { czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeral_owner, pzxid }
    TxnHeader { session, cxid, zxid, time, kind }
    TxnDigest { version, digest }
    ConnectRequest { protocol_version, last_zxid_seen, timeout_ms, session, password, read_only }
    ConnectResponse { protocol_version, timeout_ms, session, password, read_only }
    RequestHeader { xid, op }
    ReplyHeader { xid, zxid, err }
    CreateRequest { path, data, acl, flags }
    CreateTtlRequest { path, data, acl, flags, ttl_ms }
    CreateResponse { path }
    Create2Response { path, stat }
    DeleteRequest { path, version }
    DeleteContainerRequest { path }
    ExistsRequest { path, watch }
    ExistsResponse { stat }
    GetDataRequest { path, watch }
    GetDataResponse { data, stat }
    SetDataRequest { path, data, version }
    SetDataResponse { stat }
    GetAclRequest { path }
    GetAclResponse { acl, stat }
    SetAclRequest { path, acl, version }
    SetAclResponse { stat }
    GetChildrenRequest { path, watch }
    GetChildrenResponse { children }
    GetChildren2Request { path, watch }
    GetChildren2Response { children, stat }
    GetAllChildrenNumberRequest { path }
    GetAllChildrenNumberResponse { total }
    GetEphemeralsRequest { prefix }
    GetEphemeralsResponse { paths }
    SyncRequest { path }
    SyncResponse { path }
    CheckVersionRequest { path, version }
    ReconfigRequest { joining, leaving, new_members, config }
    CheckWatchesRequest { path, kind }
    RemoveWatchesRequest { path, kind }
    AddWatchRequest { path, mode }
    SetWatches { relative_zxid, data, exist, child }
    SetWatches2 { relative_zxid, data, exist, child, persistent, recursive }
    AuthPacket { kind, scheme, auth }
    GetSaslRequest { token }
    SetSaslResponse { token }
    ClientInfo { scheme, user }
    WhoAmIResponse { clients }
    ErrorResponse { err }
    MultiHeader { kind, done, err }
    WatcherEvent { kind, state, path }
}

/// Makes an enum drawable: variants that hold one drawable value, then strategies for the others.
macro_rules! any_enum {
    ($name:ident { $($variant:ident),* $(,)? } $(; $more:expr)* $(;)?) => {
        impl Any for $name {
            fn any() -> BoxedStrategy<Self> {
                let variants = vec![$(drawn(Self::$variant),)* $($more.boxed(),)*];
                proptest::strategy::Union::new(variants).boxed()
            }
        }
    };
}

fn drawn<A: Any, T: Debug + 'static>(make: fn(A) -> T) -> BoxedStrategy<T> {
    A::any().prop_map(make).boxed()
}

any_enum! {
    Request {
        Create, Create2, CreateContainer, CreateTtl, Delete, DeleteContainer, SetData, SetAcl, Check, Reconfig,
        Exists, GetData, GetAcl, GetChildren, GetChildren2, GetAllChildrenNumber, GetEphemerals, Sync, CheckWatches,
        RemoveWatches, AddWatch, SetWatches, SetWatches2, Auth, Sasl,
    }
    ; vec(multi_op(MultiKind::Write), 0..5).prop_map(Request::Multi)
    ; vec(multi_op(MultiKind::Read), 0..5).prop_map(Request::MultiRead)
    ; Just(Request::WhoAmI)
    ; Just(Request::Ping)
    ; Just(Request::CloseSession)
    ; any::<i32>().prop_map(|timeout_ms| Request::CreateSession { timeout_ms })
}

any_enum! {
    MultiResult { Create, Create2, SetData, GetData, GetChildren, Error }
    ; Just(MultiResult::Delete)
    ; Just(MultiResult::Check)
}

fn multi_op(kind: MultiKind) -> BoxedStrategy<MultiOp> {
    match kind {
        MultiKind::Write => prop_oneof![
            drawn(MultiOp::Create),
            drawn(MultiOp::Create2),
            drawn(MultiOp::CreateContainer),
            drawn(MultiOp::CreateTtl),
            drawn(MultiOp::Delete),
            drawn(MultiOp::SetData),
            drawn(MultiOp::Check),
        ]
        .boxed(),
        MultiKind::Read => prop_oneof![drawn(MultiOp::GetData), drawn(MultiOp::GetChildren)].boxed(),
    }
}

/// A reply body and an opcode that it answers.
fn reply() -> BoxedStrategy<(i32, Reply)> {
    fn with<A: Any>(op: i32, make: fn(A) -> Reply) -> BoxedStrategy<(i32, Reply)> {
        A::any().prop_map(move |a| (op, make(a))).boxed()
    }
    proptest::strategy::Union::new([
        Just((op::DELETE, Reply::Empty)).boxed(),
        with(op::CREATE, Reply::Create),
        with(op::CREATE2, Reply::Create2),
        with(op::SET_DATA, Reply::SetData),
        with(op::SET_ACL, Reply::SetAcl),
        with(op::MULTI, Reply::Multi),
        with(op::EXISTS, Reply::Exists),
        with(op::GET_DATA, Reply::GetData),
        with(op::GET_ACL, Reply::GetAcl),
        with(op::GET_CHILDREN, Reply::GetChildren),
        with(op::GET_CHILDREN2, Reply::GetChildren2),
        with(op::GET_ALL_CHILDREN_NUMBER, Reply::GetAllChildrenNumber),
        with(op::GET_EPHEMERALS, Reply::GetEphemerals),
        with(op::SYNC, Reply::Sync),
        with(op::ADD_WATCH, Reply::AddWatch),
        with(op::SASL, Reply::Sasl),
        with(op::WHO_AM_I, Reply::WhoAmI),
    ])
    .boxed()
}

impl Any for CreateTxn {
    fn any() -> BoxedStrategy<Self> {
        let kind = prop_oneof![
            Just(CreateKind::Create),
            Just(CreateKind::Create2),
            Just(CreateKind::Container),
            any::<i64>().prop_map(CreateKind::Ttl),
        ];
        (kind, Text::any(), Option::<Bytes>::any(), Vec::<Acl>::any(), any::<bool>(), any::<i32>())
            .prop_map(|(kind, path, data, acl, ephemeral, parent_cversion)| {
                let ephemeral = ephemeral && matches!(kind, CreateKind::Create | CreateKind::Create2);
                Self { kind, path, data, acl, ephemeral, parent_cversion }
            })
            .boxed()
    }
}

/// Bodies that may stand inside a multi.
fn multi_entry() -> BoxedStrategy<TxnBody> {
    prop_oneof![
        any::<i32>().prop_map(|err| TxnBody::Error { err }),
        drawn(TxnBody::Create),
        Text::any().prop_map(|path| TxnBody::Delete { path }),
        Text::any().prop_map(|path| TxnBody::DeleteContainer { path }),
        (Text::any(), Option::<Bytes>::any(), any::<i32>())
            .prop_map(|(path, data, version)| TxnBody::SetData { path, data, version }),
        (Text::any(), any::<i32>()).prop_map(|(path, version)| TxnBody::Check { path, version }),
    ]
    .boxed()
}

impl Any for Txn {
    fn any() -> BoxedStrategy<Self> {
        let body = prop_oneof![
            6 => multi_entry(),
            1 => any::<i32>().prop_map(|timeout_ms| TxnBody::CreateSession { timeout_ms }),
            2 => Option::<Vec<Text>>::any().prop_map(|paths| TxnBody::CloseSession { paths }),
            1 => (Text::any(), Option::<Bytes>::any(), any::<i32>())
                .prop_map(|(path, data, version)| TxnBody::Reconfig { path, data, version }),
            1 => (Text::any(), Vec::<Acl>::any(), any::<i32>())
                .prop_map(|(path, acl, version)| TxnBody::SetAcl { path, acl, version }),
            2 => vec(multi_entry(), 0..5).prop_map(TxnBody::Multi),
        ];
        let digest = option::of(any::<i64>().prop_map(|digest| TxnDigest { version: 2, digest }));
        (TxnHeader::any(), body, digest)
            .prop_map(|(mut header, body, digest)| {
                header.kind = body.kind();
                Self { header, body, digest }
            })
            .boxed()
    }
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

fn config() -> ProptestConfig {
    // No regression files: a failing case is printed, and becomes a test of its own.
    ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn every_record_comes_back_from_its_bytes_and_from_no_prefix_of_them() {
    struct RoundTrip;
    impl RecordVisitor for RoundTrip {
        fn record<T: Any + Jute + PartialEq>(&mut self, name: &str) {
            proptest!(config(), |(value in T::any())| {
                let bytes = value.to_bytes();
                prop_assert!(bytes.len() >= T::MIN_LEN, "{name}: {} bytes", bytes.len());
                let r = &mut Reader::new(bytes.clone());
                prop_assert_eq!(&T::decode(r).unwrap(), &value);
                prop_assert_eq!(r.left(), 0, "{}", name);
                // Only the handshake's last byte may be missing.
                let optional = usize::from(name.starts_with("Connect"));
                for len in 0..bytes.len() - optional {
                    prop_assert!(T::from_bytes(bytes.slice(..len)).is_err(), "{} cut to {}", name, len);
                }
            });
        }
    }
    each_record(&mut RoundTrip);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..config() })]

    #[test]
    fn requests_come_back_from_their_bytes(request in Request::any(), trailing in Bytes::any()) {
        let bytes = encoded(|out| { request.encode(out); out.put_slice(&trailing); });
        prop_assert_eq!(Request::decode(request.op(), bytes).unwrap(), Some(request));
    }

    #[test]
    fn replies_come_back_from_their_bytes((op, reply) in reply()) {
        let bytes = encoded(|out| reply.encode(out));
        prop_assert_eq!(Reply::decode(op, bytes).unwrap(), Some(reply));
    }

    #[test]
    fn txns_come_back_from_their_bytes_and_from_no_others(txn in Txn::any()) {
        let bytes = txn.to_bytes();
        prop_assert_eq!(&Txn::decode(bytes.clone()).unwrap(), &txn);
        let longer = encoded(|out| { out.put_slice(&bytes); out.put_u8(0); });
        prop_assert!(Txn::decode(longer).is_err(), "a byte behind the end is refused");
    }

    #[test]
    fn frames_come_back_from_any_pieces(payloads in vec(vec(any::<u8>(), 1..40), 0..8), piece in 1usize..50) {
        let stream = encoded(|out| for p in &payloads { put_frame(out, |out| out.put_slice(p)) });
        let mut reader = FrameReader::new(40);
        let mut frames = Vec::new();
        for piece in stream.chunks(piece) {
            reader.push(piece);
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame.to_vec());
            }
        }
        prop_assert_eq!(frames, payloads);
    }

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused_within_the_memory_limit(bytes in vec(any::<u8>(), 0..400)) {
        decode_with_everything(&Bytes::from(bytes));
    }

    #[test]
    fn damaged_requests_are_decoded_or_refused_within_the_memory_limit(
        request in Request::any(), damage in damage(),
    ) {
        decode_with_everything(&damage.apply(&encoded(|out| request.encode(out))));
    }

    #[test]
    fn damaged_txns_are_decoded_or_refused_within_the_memory_limit(txn in Txn::any(), damage in damage()) {
        decode_with_everything(&damage.apply(&txn.to_bytes()));
    }

    #[test]
    fn a_txn_that_decodes_keeps_its_bytes_or_its_meaning(txn in Txn::any(), damage in damage()) {
        if let Ok(found) = Txn::decode(damage.apply(&txn.to_bytes())) {
            prop_assert_eq!(Txn::decode(found.to_bytes()).unwrap(), found);
        }
    }
}

/// Opcodes, known and unknown.
const OPS: std::ops::RangeInclusive<i32> = -12..=108;

fn decode_with_everything(bytes: &Bytes) {
    struct Decode<'a>(&'a Bytes);
    impl RecordVisitor for Decode<'_> {
        fn record<T: Any + Jute + PartialEq>(&mut self, name: &str) {
            bounded(name, self.0, |bytes| T::from_bytes(bytes).is_ok());
        }
    }
    each_record(&mut Decode(bytes));
    for op in OPS {
        bounded("Request", bytes, |bytes| Request::decode(op, bytes).is_ok());
        bounded("Reply", bytes, |bytes| Reply::decode(op, bytes).is_ok());
    }
    bounded("Txn", bytes, |bytes| Txn::decode(bytes).is_ok());
    bounded("FrameReader", bytes, |bytes| {
        let mut reader = FrameReader::new(100);
        reader.push(&bytes);
        while let Ok(Some(_)) = reader.next_frame() {}
        true
    });
}

#[test]
fn the_counting_allocator_sees_what_is_held() {
    assert!((5000..6000).contains(&peak_of(|| drop(Vec::<u8>::with_capacity(5000))).1));
}

#[test]
fn a_count_that_the_input_cannot_hold_is_refused_before_anything_is_reserved() {
    let claim = |count: i32| encoded(|out| (out.put_i32(count), out.put_bytes(0, 40)).1);
    let error = Vec::<Text>::from_bytes(claim(i32::MAX)).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Length { found: i32::MAX.into(), limit: 10 });
    assert_eq!(error.offset, 0);
    assert_eq!(Vec::<Text>::from_bytes(claim(10)).unwrap().len(), 10);
    assert!(Vec::<Text>::from_bytes(claim(11)).is_err());
}

#[test]
fn a_full_frame_of_the_densest_vectors_stays_within_the_memory_limit() {
    let nulls = encoded(|out| {
        out.put_i32(250_000);
        out.put_bytes(0, 1_000_000);
    });
    assert!(bounded("Vec<Text>", &nulls, |bytes| Vec::<Text>::from_bytes(bytes).unwrap().len() == 250_000));
    let reads = vec![MultiOp::GetData(GetDataRequest { path: Text::EMPTY, watch: false }); 70_000];
    let reads = encoded(|out| multi::encode_ops(&reads, out));
    assert!(bounded("multiRead", &reads, |bytes| Request::decode(op::MULTI_READ, bytes).unwrap().is_some()));
}

#[test]
fn negative_counts_read_as_java_reads_them() {
    let count = |n: i32| encoded(|out| out.put_i32(n));
    assert_eq!(Option::<Vec<Text>>::from_bytes(count(-1)).unwrap(), None);
    assert_eq!(Option::<Vec<Text>>::from_bytes(count(-2)).unwrap(), Some(vec![]));
    assert_eq!(Vec::<Text>::from_bytes(count(-1)).unwrap().len(), 0);
    let error = Option::<Bytes>::from_bytes(count(-2)).unwrap_err();
    assert!(matches!(error.kind, DecodeErrorKind::Length { found: -2, .. }));
}

#[test]
fn a_null_scheme_reads_as_the_empty_scheme_and_a_null_id_is_refused() {
    let with = |scheme: Option<Text>, id: Option<Text>| {
        encoded(|out| {
            scheme.encode(out);
            id.encode(out);
        })
    };
    let digest = Some(Text::from("digest"));
    let empty = Id { scheme: Text::EMPTY, id: Text::EMPTY };
    assert_eq!(Id::from_bytes(with(None, None)).unwrap(), empty);
    assert_eq!(Id::from_bytes(with(None, digest.clone())).unwrap().scheme, "");
    assert!(matches!(Id::from_bytes(with(digest, None)).unwrap_err().kind, DecodeErrorKind::Null(_)));
}

#[test]
fn handshakes_are_as_long_as_the_protocol_says() {
    let request = |password: Option<Bytes>, read_only| ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(7),
        timeout_ms: 4000,
        session: SessionId(9),
        password,
        read_only,
    };
    let password = Some(Bytes::from_static(&[1; 16]));
    assert_eq!(request(None, None).to_bytes().len(), 28);
    assert_eq!(request(password.clone(), None).to_bytes().len(), 44);
    assert_eq!(request(password.clone(), Some(false)).to_bytes().len(), 45);
    assert!(ConnectRequest::from_bytes(request(None, None).to_bytes().slice(..27)).is_err());
    let response = |read_only| ConnectResponse {
        protocol_version: 0,
        timeout_ms: 4000,
        session: SessionId(9),
        password: password.clone(),
        read_only,
    };
    assert_eq!(response(Some(true)).to_bytes().len(), 37);
    assert_eq!(response(None).to_bytes().len(), 36);
}

#[test]
fn a_frame_length_is_judged_as_soon_as_it_is_there() {
    let judged = |length: i32| {
        let mut reader = FrameReader::new(1_048_575);
        let prefix = length.to_be_bytes();
        reader.push(&prefix[..3]);
        assert_eq!(reader.next_frame(), Ok(None), "three bytes are no length");
        reader.push(&prefix[3..]);
        reader.next_frame()
    };
    assert_eq!(judged(1_048_575), Ok(None));
    assert_eq!(judged(1_048_576), Err(FrameError::TooLong { found: 1_048_576, limit: 1_048_575 }));
    assert_eq!(judged(-1), Err(FrameError::Negative(-1)));
    assert_eq!(judged(0), Err(FrameError::Empty));
}

#[test]
fn a_closed_session_without_a_list_keeps_its_digest() {
    let header = |kind| TxnHeader { session: SessionId(1), cxid: 2, zxid: Zxid(3), time: WallMs(4), kind };
    for paths in
        [None, Some(vec![]), Some(vec![Text::from("/a")]), Some(vec![Text::from("/a"), Text::from("/b")])]
    {
        for digest in [None, Some(TxnDigest { version: 2, digest: i64::MIN })] {
            let body = TxnBody::CloseSession { paths: paths.clone() };
            let txn = Txn { header: header(body.kind()), body, digest };
            assert_eq!(Txn::decode(txn.to_bytes()).unwrap(), txn);
        }
    }
}

#[test]
fn a_create_of_3_3_reads_without_its_parents_cversion() {
    let create = |parent_cversion| CreateTxn {
        kind: CreateKind::Create,
        path: Text::from("/old"),
        data: None,
        acl: vec![Acl::world(31)],
        ephemeral: true,
        parent_cversion,
    };
    let body = TxnBody::Create(create(5));
    let header =
        TxnHeader { session: SessionId(1), cxid: 2, zxid: Zxid(3), time: WallMs(4), kind: body.kind() };
    let bytes = Txn { header, body, digest: None }.to_bytes();
    let old = Txn::decode(bytes.slice(..bytes.len() - 4)).unwrap();
    assert_eq!(old.body, TxnBody::Create(create(-1)));
}

#[test]
fn a_multi_inside_a_multi_is_refused_however_deep_it_claims_to_go() {
    let mut body = encoded(|out| out.put_i32(0));
    for _ in 0..20_000 {
        body = encoded(|out| {
            out.put_i32(1);
            out.put_i32(op::MULTI);
            Some(body).encode(out);
        });
    }
    let header =
        TxnHeader { session: SessionId(1), cxid: 2, zxid: Zxid(3), time: WallMs(4), kind: op::MULTI };
    let bytes = encoded(|out| {
        header.encode(out);
        out.put_slice(&body);
    });
    let error = Txn::decode(bytes).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Unknown { what: "txn type", found: op::MULTI.into() });
}

#[test]
fn a_multi_refuses_reads_and_a_multi_read_refuses_writes() {
    let read = MultiOp::GetData(GetDataRequest { path: Text::from("/a"), watch: false });
    let write = MultiOp::Delete(DeleteRequest { path: Text::from("/a"), version: -1 });
    let bytes = |ops: &[MultiOp]| encoded(|out| multi::encode_ops(ops, out));
    assert!(Request::decode(op::MULTI, bytes(&[write.clone(), read.clone()])).is_err());
    assert!(Request::decode(op::MULTI_READ, bytes(&[read.clone(), write.clone()])).is_err());
    assert!(Request::decode(op::MULTI, bytes(&[write])).is_ok());
    assert!(Request::decode(op::MULTI_READ, bytes(&[read])).is_ok());
}

#[test]
fn a_multi_without_its_last_header_is_refused() {
    let bytes = encoded(|out| multi::encode_ops(&[], out));
    assert_eq!(Request::decode(op::MULTI, bytes.clone()).unwrap(), Some(Request::Multi(vec![])));
    assert!(Request::decode(op::MULTI, bytes.slice(..8)).is_err());
}

#[test]
fn opcodes_that_name_no_request_are_told_apart_from_malformed_ones() {
    for op in [op::NOTIFICATION, op::ERROR, 10, 23, 99, 108, i32::MIN] {
        assert_eq!(Request::decode(op, Bytes::new()), Ok(None), "{op}");
    }
    assert!(Request::decode(op::CREATE, Bytes::new()).is_err());
}
