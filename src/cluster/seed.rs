//! Seeds: where other nodes may be found.
//!
//! ```text
//!   10.0.0.7:7400   [fd00::7]:7400    an address, dialled as it is
//!   users.svc:7400                    a name, resolved again and again, all its addresses dialled
//! ```

#![forbid(unsafe_code)]

use std::net::SocketAddr;

/// Longest name of a host in bytes, by RFC 1035.
const HOST_BYTES_MAX: usize = 253;

/// One seed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seed {
    Address(SocketAddr),
    Name { host: String, port: u16 },
}

impl Seed {
    /// Reads `host:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() != 0 && !address.ip().is_unspecified()).then_some(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let is_host = (1..=HOST_BYTES_MAX).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_host.then(|| Self::Name { host: host.to_owned(), port })
    }

    /// Whether it stays on this host.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.ip().to_canonical().is_loopback(),
            Self::Name { host, .. } => host.eq_ignore_ascii_case("localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        assert!(matches!(Seed::parse("10.0.0.7:7400"), Some(Seed::Address(_))));
        assert!(matches!(Seed::parse("[fd00::7]:7400"), Some(Seed::Address(_))));
        let name = Seed::Name { host: "users.svc".to_owned(), port: 7400 };
        assert_eq!(Seed::parse("users.svc:7400"), Some(name));
    }

    #[test]
    fn what_can_not_be_reached_is_no_seed() {
        for text in
            ["", "users.svc", ":7400", "users.svc:0", "users.svc:70000", "0.0.0.0:7400", "a b:1", "fd00::7:7400"]
        {
            assert_eq!(Seed::parse(text), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_known_by_address_and_by_name() {
        for (text, is_loopback) in [
            ("127.0.0.2:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("Localhost:1", true),
            ("10.0.0.1:1", false),
            ("localhost.example:1", false),
        ] {
            assert_eq!(Seed::parse(text).map(|seed| seed.is_loopback()), Some(is_loopback), "{text}");
        }
    }
}
