//! The client conversations captured from Java servers (`golden/client`).

#![allow(dead_code, unreachable_pub)] // every test file uses its part

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

/// One direction of a connection: its frames (prefix included), when each was sent, and what was noted about it.
pub struct Side {
    pub frames: Vec<Bytes>,
    /// Microseconds since the capture began.
    pub times: Vec<u64>,
    pub notes: Vec<String>,
}

impl Side {
    fn read(directory: &Path, side: &Value) -> Self {
        let file = directory.join(side["file"].as_str().unwrap());
        let bytes = Bytes::from(fs::read(&file).unwrap());
        let (mut frames, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            frames.push(bytes.slice(at + 4..at + 4 + len));
            at += 4 + len;
        }
        let messages = side["messages"].as_array().unwrap();
        let sizes: Vec<_> = messages.iter().map(|m| m[1].as_u64().unwrap() as usize).collect();
        assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), sizes, "{}", file.display());
        let times = messages.iter().map(|m| (m[0].as_f64().unwrap() * 1e6) as u64).collect();
        let notes = messages.iter().map(|m| m[2].as_str().unwrap().to_owned()).collect();
        Self { frames, times, notes }
    }
}

pub struct Capture {
    /// Version and scenario.
    pub name: String,
    /// What the client sent, and what the server sent.
    pub connections: Vec<(Side, Side)>,
}

pub fn captures() -> Vec<Capture> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/client");
    let mut captures = Vec::new();
    for version in ["3.8.0", "3.9.5"] {
        for scenario in ["client-all-ops", "client-kazoo"] {
            let directory = root.join(version).join(scenario);
            let index: Value =
                serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
            let connections = index["connections"].as_array().unwrap().iter().map(|c| {
                let side = |who: &str| Side::read(&directory, &c["files"][who]);
                (side("dialer"), side("listener"))
            });
            let connections = connections.collect();
            captures.push(Capture { name: format!("{version}/{scenario}"), connections });
        }
    }
    captures
}
