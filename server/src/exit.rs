//! What the process ends with. Scripts and service managers rely on Java's numbers (`org.apache.zookeeper.server.ExitCode`).

/// Stopped as asked.
pub const CLEAN: u8 = 0;
/// Anything that no other number speaks of: a used port, damaged data, a disk that fails.
pub const UNEXPECTED: u8 = 1;
/// The command line or the configuration cannot be used.
pub const INVALID_CONFIG: u8 = 2;
/// `diff`: the trees differ.
pub const DIFFERENT: u8 = 1;
/// `diff`: they could not be compared, or not in whole.
pub const NOT_COMPARED: u8 = 2;
/// The data directory cannot be used: missing, not a directory, not writable, in use.
pub const DATA_DIR: u8 = 3;
/// The election port cannot be taken.
pub const ELECTION_PORT: u8 = 14;
