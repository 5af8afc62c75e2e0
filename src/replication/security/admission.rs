//! How often a network may knock, and how often be wrong.
//!
//! ```text
//!   network: an IPv4 address, a /64 of IPv6         connections   failures
//!        10.0.0.7                                   [ooooooo..]   [ooo..]      buckets, refilled with time
//!        2001:db8:0:1::/64                          [........ ]   [.....]      empty: turned away
//!        all that find no room in the table         [ooo......]   [oo...]
//!
//!   accept -> admit(now, address) -> Ok: handshake -> wrong: failed(now, address)
//!                                 -> Err(why): close, without having read a byte
//! ```
//!
//! Whoever was wrong too often is not let in before its bucket has filled again, so guessing secrets is slow and a flood
//! costs one look into a table. The table is bounded; a row whose buckets are full again says nothing, and makes room.

#![forbid(unsafe_code)]

use crate::sync::bite;
use crate::types::limits::NETWORKS_MAX;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

/// How much one network may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Connections: so many at once, and one more after each interval.
    pub(crate) connections: u32,
    pub(crate) connection_interval_us: u64,
    /// Failed handshakes: so many at once, and one more after each interval.
    pub(crate) failures: u32,
    pub(crate) failure_interval_us: u64,
}

impl Default for Rates {
    /// 64 connections and 10 a second: more than a whole cluster behind one address needs. 8 failures and one each 2 s.
    fn default() -> Self {
        Self { connections: 64, connection_interval_us: 100_000, failures: 8, failure_interval_us: 2_000_000 }
    }
}

/// Why a connection was turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Turned {
    /// Too many connections from there lately.
    #[error("too many connections from this network")]
    TooMany,
    /// Too many failed handshakes from there lately.
    #[error("too many failed handshakes from this network")]
    TooWrong,
}

/// What has been turned away so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct AdmissionCounters {
    pub(crate) too_many: u64,
    pub(crate) too_wrong: u64,
    /// Looks at the row that networks without one share.
    pub(crate) shared: u64,
}

/// The table of networks.
#[derive(Debug)]
pub(crate) struct Admission {
    rates: Rates,
    rows: BTreeMap<IpAddr, Row>,
    shared: Row,
    counters: AdmissionCounters,
    /// Before this, no row can have become idle: a full table is not searched again.
    search_us: u64,
}

/// Two buckets, as the times at which they will be full.
#[derive(Clone, Copy, Default, Debug)]
struct Row {
    connections_full_us: u64,
    failures_full_us: u64,
}

impl Admission {
    pub(crate) fn new(rates: Rates) -> Self {
        let counters = AdmissionCounters::default();
        Self { rates, rows: BTreeMap::new(), shared: Row::default(), counters, search_us: 0 }
    }

    /// Whether a new connection may go on. Takes one from its network's bucket.
    pub(crate) fn admit(&mut self, now_us: u64, address: IpAddr) -> Result<(), Turned> {
        let Rates { connections, connection_interval_us, failures, failure_interval_us } = self.rates;
        let row = self.row(now_us, address);
        let wrong = !has_one(row.failures_full_us, now_us, failures, failure_interval_us);
        let many = !take_one(&mut row.connections_full_us, now_us, connections, connection_interval_us);
        match (wrong && !bite("security.failures-forgiven"), many) {
            (true, _) => {
                self.counters.too_wrong += 1;
                Err(Turned::TooWrong)
            }
            (_, true) => {
                self.counters.too_many += 1;
                Err(Turned::TooMany)
            }
            _ => Ok(()),
        }
    }

    /// A connection from there failed its handshake, or sent what no node sends.
    pub(crate) fn failed(&mut self, now_us: u64, address: IpAddr) {
        let Rates { failures, failure_interval_us, .. } = self.rates;
        take_one(&mut self.row(now_us, address).failures_full_us, now_us, failures, failure_interval_us);
    }

    pub(crate) fn counters(&self) -> AdmissionCounters {
        self.counters
    }

    fn row(&mut self, now_us: u64, address: IpAddr) -> &mut Row {
        let network = network(address);
        if self.rows.len() >= NETWORKS_MAX && !self.rows.contains_key(&network) && !self.make_room(now_us) {
            self.counters.shared += 1;
            return &mut self.shared;
        }
        self.rows.entry(network).or_default()
    }

    /// Drops the rows that are as good as new.
    fn make_room(&mut self, now_us: u64) -> bool {
        if now_us < self.search_us {
            return false;
        }
        self.rows.retain(|_, row| row.connections_full_us > now_us || row.failures_full_us > now_us);
        self.search_us = now_us + self.rates.connection_interval_us;
        self.rows.len() < NETWORKS_MAX
    }
}

/// Whether a bucket that will be full at `full_us` has one now.
fn has_one(full_us: u64, now_us: u64, most: u32, interval_us: u64) -> bool {
    let missing_us = full_us.saturating_sub(now_us);
    missing_us.saturating_add(interval_us) <= u64::from(most).saturating_mul(interval_us)
}

/// Takes one if there is one.
fn take_one(full_us: &mut u64, now_us: u64, most: u32, interval_us: u64) -> bool {
    let has = has_one(*full_us, now_us, most, interval_us);
    if has {
        *full_us = (*full_us).max(now_us).saturating_add(interval_us);
    }
    has
}

/// What counts as one: whoever has an IPv6 address has a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates =
        Rates { connections: 3, connection_interval_us: 1_000, failures: 2, failure_interval_us: 10_000 };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_flood_is_turned_away_and_others_are_not() {
        let mut admission = Admission::new(RATES);
        let verdicts: Vec<bool> = (0..5).map(|_| admission.admit(50, address(1)).is_ok()).collect();
        assert_eq!(verdicts, [true, true, true, false, false]);
        assert_eq!(admission.admit(50, address(1)), Err(Turned::TooMany));
        assert_eq!(admission.admit(50, address(2)), Ok(()));
        assert_eq!(admission.admit(1_050, address(1)), Ok(()), "one interval later there is one again");
        assert_eq!(admission.admit(1_051, address(1)), Err(Turned::TooMany));
        assert_eq!(admission.counters(), AdmissionCounters { too_many: 4, ..Default::default() });
    }

    #[test]
    fn who_is_wrong_too_often_waits() {
        let mut admission = Admission::new(RATES);
        admission.failed(0, address(1));
        assert_eq!(admission.admit(0, address(1)), Ok(()), "once is no attack");
        admission.failed(0, address(1));
        assert_eq!(admission.admit(5_000, address(1)), Err(Turned::TooWrong));
        assert_eq!(admission.admit(5_000, address(2)), Ok(()));
        assert_eq!(admission.admit(10_000, address(1)), Ok(()));
    }

    #[test]
    fn addresses_that_one_host_has_are_one() {
        let mut admission = Admission::new(RATES);
        for host in 0..3 {
            assert_eq!(admission.admit(0, IpAddr::from([0x2001, 0xdb8, 0, 1, host, 2, 3, 4])), Ok(()));
        }
        assert_eq!(admission.admit(0, IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9])), Err(Turned::TooMany));
        assert_eq!(admission.admit(0, IpAddr::from([0x2001, 0xdb8, 0, 2, 9, 9, 9, 9])), Ok(()));
        let mapped = "::ffff:10.0.0.1".parse::<IpAddr>().expect("an address");
        assert_eq!(network(mapped), address(1));
    }

    #[test]
    fn the_table_is_bounded_and_empties_itself() {
        let mut admission = Admission::new(RATES);
        for host in 0..NETWORKS_MAX as u32 {
            assert_eq!(admission.admit(0, IpAddr::V4(host.into())), Ok(()));
        }
        let late = (0..10).filter(|host| admission.admit(0, IpAddr::from([99, 0, 0, *host])).is_ok()).count();
        assert_eq!((late, admission.rows.len()), (3, NETWORKS_MAX), "they share one row");
        assert_eq!(admission.counters(), AdmissionCounters { too_many: 7, shared: 10, ..Default::default() });
        assert_eq!(admission.admit(500, address(1)), Err(Turned::TooMany), "not searched again so soon");
        assert_eq!(admission.admit(1_000, address(1)), Ok(()));
        assert_eq!(admission.rows.len(), 1);
    }
}
