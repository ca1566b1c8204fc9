//! Scheme `ip`: addresses and networks, v4 and v6. Text decides: no v4-mapped conversion is made.

use core::net::Ipv6Addr;

/// An address, left-aligned, with its width.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Address {
    bits: u128,
    width: u32,
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            let bits = text.parse::<Ipv6Addr>().ok()?.to_bits();
            return Some(Self { bits, width: 128 });
        }
        Self::parse_v4(text)
    }

    /// Four decimal parts. Leading zeros and a plus are fine, as they are to Java's `parseInt`.
    fn parse_v4(text: &str) -> Option<Self> {
        let mut bits = 0u128;
        let mut parts = 0;
        for part in text.split('.') {
            let value = part.parse::<i32>().ok().and_then(|v| u8::try_from(v).ok())?;
            bits = (bits << 8) | u128::from(value);
            parts += 1;
            if parts > 4 {
                return None;
            }
        }
        (parts == 4).then_some(Self { bits: bits << 96, width: 32 })
    }

    /// The first `length` bits.
    const fn prefix(self, length: u32) -> u128 {
        if length == 0 { 0 } else { self.bits >> (128 - length) }
    }
}

/// An address with the number of leading bits that count: `10.0.0.0/8`, `fe80::1`.
fn parse_network(text: &str) -> Option<(Address, u32)> {
    let Some((address, length)) = text.split_once('/') else {
        let address = Address::parse(text)?;
        return Some((address, address.width));
    };
    let address = Address::parse(address)?;
    let length = length.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok())?;
    (length <= address.width).then_some((address, length))
}

/// True if an ACL may hold this id.
pub(super) fn is_valid(id: &str) -> bool {
    parse_network(id).is_some()
}

/// True if the address is in the network.
pub(super) fn matches(address: &str, network: &str) -> bool {
    let (Some(address), Some((network, length))) = (Address::parse(address), parse_network(network)) else {
        return false;
    };
    address.width == network.width && address.prefix(length) == network.prefix(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_ids_are_those_that_java_takes() {
        let good = [
            "1.2.3.4",
            "1.2.3.4/0",
            "1.2.3.4/32",
            "0.0.0.0",
            "255.255.255.255",
            "01.2.3.4",
            "::",
            "fe80::1/64",
        ];
        good.into_iter().for_each(|id| assert!(is_valid(id), "{id}"));
        let bad = [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4/",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.256",
            "1.2.3.-1",
            "a.b.c.d",
        ];
        let bad = bad.into_iter().chain(["::/129", ":::", "1.2.3.4/8/8", "1..2.3", "/8"]);
        bad.into_iter().for_each(|id| assert!(!is_valid(id), "{id}"));
    }

    #[test]
    fn an_address_matches_by_its_leading_bits() {
        for (address, network, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.2", "127.0.0.1", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.2/31", true),
            ("10.1.2.4", "10.1.2.2/31", false),
            ("1.2.3.4", "9.9.9.9/0", true),
            ("::1", "::/0", true),
            ("1.2.3.4", "::/0", false),
            ("fe80::17", "fe80::/10", true),
            ("::ffff:1.2.3.4", "1.2.3.4", false),
            ("not an address", "0.0.0.0/0", false),
        ] {
            assert_eq!(matches(address, network), expected, "{address} in {network}");
        }
    }
}
