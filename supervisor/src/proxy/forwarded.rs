//! Whom we believe, and what we say about the client: `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};

/// Networks whose clients may do more than others: those whose forwarding headers are believed (`trusted_proxy`), those that are served
/// in spite of maintenance. Nobody by default.
#[derive(Debug, Default)]
pub(super) struct Trust {
    networks: Vec<Network>,
    unix: bool,
}

impl Trust {
    /// Reads the table's list; the supervisor has checked it, so what cannot be read trusts nobody.
    pub(super) fn parse(list: &[String]) -> Self {
        let mut trust = Self::default();
        for entry in list {
            if entry == "unix" {
                trust.unix = true;
            } else if let Some(network) = Network::parse(entry) {
                trust.networks.push(network);
            } else {
                tracing::warn!(entry, "this is no network, ignored");
            }
        }
        trust
    }

    /// `peer` is none for a client on a unix socket.
    pub(super) fn covers(&self, peer: Option<SocketAddr>) -> bool {
        match peer {
            None => self.unix,
            Some(peer) => {
                !self.networks.is_empty() && self.covers_address(peer.ip().to_canonical())
            }
        }
    }

    /// An IPv4 address in IPv6 is none of IPv4.
    pub(super) fn covers_address(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

/// An address with the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or a single address.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().ok()?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().ok().filter(|&p| p <= width)?,
            None => width,
        };
        Some(Self { base, prefix })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(list: &[&str]) -> Trust {
        Trust::parse(&list.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn peer(text: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(text.parse().unwrap(), 1))
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        assert!(!trust(&[]).covers(peer("127.0.0.1")));
        assert!(!trust(&[]).covers(None));
    }

    #[test]
    fn a_network_covers_its_addresses_only() {
        let trust = trust(&["10.0.0.0/8", "fd00::/8", "192.0.2.7"]);
        assert!(trust.covers(peer("10.255.0.1")));
        assert!(trust.covers(peer("fd12::1")));
        assert!(trust.covers(peer("192.0.2.7")));
        assert!(
            trust.covers(peer("::ffff:10.1.1.1")),
            "an IPv4 client on an IPv6 socket"
        );
        assert!(!trust.covers(peer("11.0.0.1")));
        assert!(!trust.covers(peer("192.0.2.8")));
        assert!(!trust.covers(peer("fe80::1")));
        assert!(!trust.covers(None));
    }

    #[test]
    fn everything_can_be_trusted_and_unix_apart() {
        assert!(trust(&["0.0.0.0/0"]).covers(peer("1.2.3.4")));
        assert!(!trust(&["0.0.0.0/0"]).covers(None));
        assert!(trust(&["unix"]).covers(None));
        assert!(!trust(&["10.0.0.0/33", "nonsense"]).covers(peer("10.0.0.1")));
    }
}
