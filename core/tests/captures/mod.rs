//! The recorded traffic between real servers under `golden/quorum`: see the README of the fixtures it was copied from.
#![allow(dead_code)] // each test that reads captures uses a part of this

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

pub(crate) const SCENARIOS: [&str; 8] = [
    "multi-address",
    "observer-master",
    "reconfig",
    "rollover",
    "sasl",
    "snap-and-observer",
    "start-crash-rejoin",
    "trunc",
];

pub(crate) struct Capture {
    /// `version/scenario`.
    pub(crate) name: String,
    pub(crate) connections: Vec<Connection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Election,
    Quorum,
}

pub(crate) struct Connection {
    /// Number in the order of opening.
    pub(crate) n: u64,
    pub(crate) kind: Kind,
    /// `serverN`, or `observermaster`.
    pub(crate) dialer: String,
    pub(crate) listener: String,
    pub(crate) from_dialer: Side,
    pub(crate) from_listener: Side,
}

/// What one side sent.
pub(crate) struct Side {
    pub(crate) records: Vec<Record>,
    /// When it said FIN or RST, s.
    pub(crate) ended: Option<f64>,
}

/// One message as on the wire.
pub(crate) struct Record {
    /// s.
    pub(crate) time: f64,
    pub(crate) bytes: Bytes,
    /// What the recorder wrote beside it.
    pub(crate) note: String,
}

impl Side {
    fn read(directory: &Path, side: &Value) -> Self {
        let Some(file) = side["file"].as_str() else { return Self { records: vec![], ended: None } };
        let bytes = Bytes::from(fs::read(directory.join(file)).unwrap());
        let (mut records, mut at) = (vec![], 0);
        for message in side["messages"].as_array().unwrap() {
            let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            assert_eq!(len as u64, message[1].as_u64().unwrap(), "{file}");
            let bytes = bytes.slice(at + 4..at + 4 + len);
            at += 4 + len;
            let (time, note) = (message[0].as_f64().unwrap(), message[2].as_str().unwrap().to_owned());
            records.push(Record { time, bytes, note });
        }
        assert_eq!(at, bytes.len(), "{file}");
        Self { records, ended: side["ended"][1].as_f64() }
    }

    pub(crate) fn stream(&self) -> Vec<u8> {
        self.records.iter().flat_map(|record| record.bytes.clone()).collect()
    }
}

pub(crate) fn captures() -> Vec<Capture> {
    let versions = ["3.8.0", "3.9.5"];
    versions.iter().flat_map(|version| SCENARIOS.map(|scenario| capture(version, scenario))).collect()
}

pub(crate) fn capture(version: &str, scenario: &str) -> Capture {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/quorum");
    let directory = root.join(version).join(scenario);
    let index: Value = serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    let connections = index["connections"].as_array().unwrap().iter().filter_map(|c| {
        let kind = match c["kind"].as_str().unwrap() {
            "election" => Kind::Election,
            "quorum" => Kind::Quorum,
            _ => return None,
        };
        let side = |who: &str| Side::read(&directory, &c["files"][who]);
        let name = |who: &str| c[who].as_str().unwrap().to_owned();
        let (from_dialer, from_listener) = (side("dialer"), side("listener"));
        let n = c["n"].as_u64().unwrap();
        Some(Connection {
            n,
            kind,
            dialer: name("dialer"),
            listener: name("listener"),
            from_dialer,
            from_listener,
        })
    });
    Capture { name: format!("{version}/{scenario}"), connections: connections.collect() }
}
