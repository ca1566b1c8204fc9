//! Session passwords (client protocol §3.5): a function of the id, the same on every server of every ensemble, so
//! that a client can go on anywhere. They keep out mistakes, not attackers.

use crate::ids::SessionId;
use crate::rng::JavaRandom;

/// Bytes of a password.
pub const PASSWORD_LEN: usize = 16;

/// Java's `ZooKeeperServer.superSecret`.
const SECRET: i64 = 0xB341_5C00;

/// The session's password.
pub fn password(session: SessionId) -> [u8; PASSWORD_LEN] {
    let mut random = JavaRandom::new(session.0 ^ SECRET);
    let mut bytes = [0; PASSWORD_LEN];
    for chunk in bytes.chunks_exact_mut(4) {
        chunk.copy_from_slice(&random.next_i32().to_le_bytes());
    }
    bytes
}

/// True if `given` opens the session. Id 0 names no session and has no password.
pub fn is_right(session: SessionId, given: Option<&[u8]>) -> bool {
    session != SessionId::NONE && given == Some(password(session).as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_those_of_a_captured_handshake() {
        let session = SessionId(0x0100_0027_524e_0011);
        let captured = 0xd13f_0fda_5ecc_d05c_f0af_fc64_68e5_db23_u128.to_be_bytes();
        assert_eq!(password(session), captured);
        assert!(is_right(session, Some(&captured)));
    }

    #[test]
    fn wrong_absent_and_short_passwords_are_refused() {
        let session = SessionId(7);
        let mut given = password(session);
        assert!(!is_right(session, None));
        assert!(!is_right(session, Some(&given[..15])));
        given[15] ^= 1;
        assert!(!is_right(session, Some(&given)));
        assert!(!is_right(SessionId::NONE, Some(&password(SessionId::NONE))));
    }
}
