//! Which addresses a secret may be sent to (security test C1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// A block of addresses, as `10.0.0.0/8`; an address alone is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Not a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a network, as 10.0.0.0/8 or fd00::/8")]
pub struct InvalidNetwork;

impl Network {
    /// Whether `address` is inside.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address = address.parse::<IpAddr>().map_err(|_| InvalidNetwork)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).map_err(|_| InvalidNetwork)?;
        // An IPv4-mapped block would match nothing, since addresses are compared in their canonical form.
        if prefix > longest || address.to_canonical() != address {
            return Err(InvalidNetwork);
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.prefix)
    }
}

/// Whether `address` belongs to the public internet. Whatever wraps an IPv4 address is judged by it; what is
/// not known to be public is not.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The IANA special-purpose registry, and what is not unicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)     // this network, private, loopback, multicast, reserved, broadcast
            | (100, 64..=127, _)         // carrier-grade NAT
            | (169, 254, _)              // link-local: the cloud's metadata
            | (172, 16..=31, _)          // private
            | (192, 168, _)              // private
            | (192, 0, 0 | 2)            // protocol assignments, documentation
            | (192, 88, 99)              // 6to4 relays
            | (198, 18..=19, _)          // benchmarks
            | (198, 51, 100) | (203, 0, 113) // documentation
    )
}

/// Only global unicast, less what tunnels to elsewhere. Everything outside `2000::/3` falls away with it:
/// loopback, unspecified, IPv4-compatible, unique local, link-local, multicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 with the well-known prefix: how an IPv6-only cluster reaches the IPv4 internet.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        [0x2001, 0..=0x1ff | 0xdb8, ..] // protocol assignments, with Teredo; documentation
        | [0x2002, ..]                   // 6to4
        | [0x3fff, 0..=0xfff, ..]        // documentation
        => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}
