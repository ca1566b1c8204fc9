//! Length-prefixed frames of the client port.
