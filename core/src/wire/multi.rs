//! The framing inside multi and multiRead (client protocol §8).
