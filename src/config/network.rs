//! Address ranges.

use std::{fmt, net::IpAddr, str::FromStr};

/// A range of addresses in CIDR notation, e.g. `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address range such as `10.0.0.0/8` or `fd00::/8`, without bits beyond the prefix")]
pub struct InvalidNetwork;

impl Network {
    /// Whether `address` is in the range. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is the IPv4
    /// address: the attack this stops is another spelling of a private one.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                (ours.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                (ours.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The bits beyond the prefix are zero, as in a range that somebody meant.
    fn is_exact(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.to_bits().checked_shl(u32::from(self.prefix)).unwrap_or(0) == 0,
            IpAddr::V6(address) => address.to_bits().checked_shl(u32::from(self.prefix)).unwrap_or(0) == 0,
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').ok_or(InvalidNetwork)?;
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let prefix: u8 = prefix.parse().map_err(|_| InvalidNetwork)?;
        let network = Self { address, prefix };
        let fits = prefix <= if address.is_ipv4() { 32 } else { 128 };
        if fits && network.is_exact() { Ok(network) } else { Err(InvalidNetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl serde::Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
