//! Nodes on hosts of their own, as far as the network can tell: a namespace each, joined by a bridge.
//!
//! ```text
//!   ns a: eth0 10.99.0.1 --- va +--------+ vb --- eth0 10.99.0.2 :ns b
//!                               | bridge |
//!                               +--------+ vc --- eth0 10.99.0.3 :ns c        in a namespace of its own: the host is untouched
//! ```
//!
//! Needs root and `ip`; where namespaces can not be made, that is said, and nothing is checked.

use crate::group::{Group, Plan};
use crate::support::Watchdog;
use crate::until;
use std::process::Command;

/// Namespaces that are there until this is dropped.
struct Hosts {
    switch: String,
    hosts: Vec<String>,
}

fn ip(words: &str) -> Result<String, String> {
    run("ip", words)
}

fn run(program: &str, words: &str) -> Result<String, String> {
    let output =
        Command::new(program).args(words.split(' ')).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Hosts {
    fn new(count: usize) -> Result<Self, String> {
        let name = |of: &str| format!("also-cache-{}-{of}", std::process::id());
        let hosts = Self { switch: name("switch"), hosts: (0..count).map(|at| name(&at.to_string())).collect() };
        let switch = &hosts.switch;
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for (at, host) in hosts.hosts.iter().enumerate() {
            ip(&format!("netns add {host}"))?;
            ip(&format!("-n {host} link add eth0 type veth peer name v{at} netns {switch}"))?;
            ip(&format!("-n {switch} link set v{at} master br0 up"))?;
            ip(&format!("-n {host} addr add 10.99.0.{}/24 dev eth0", at + 1))?;
            ip(&format!("-n {host} link set eth0 up"))?;
            ip(&format!("-n {host} link set lo up"))?;
        }
        Ok(hosts)
    }

    /// Pulls the plug of a host, or puts it in again.
    fn plug(&self, at: usize, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        ip(&format!("-n {} link set v{at} {state}", self.switch)).expect("it is ours");
    }

    /// Makes the line out of a host a bad one; says what was made of it.
    fn spoil_line(&self, at: usize) -> Result<&'static str, String> {
        let host = &self.hosts[at];
        let netem = run("tc", &format!("-n {host} qdisc add dev eth0 root netem loss 5%"));
        netem.map(|_| "netem, 5 % lost").or_else(|no_netem| {
            println!("no netem ({no_netem}): a line of 1 Mbit/s that drops what it can not take stands in");
            let narrow = run("tc", &format!("-n {host} qdisc add dev eth0 root tbf rate 1mbit burst 4kb limit 12kb"));
            narrow.map(|_| "1 Mbit/s, the rest lost")
        })
    }

    /// Packets that the line out of a host has dropped.
    fn dropped(&self, at: usize) -> u64 {
        let text = run("tc", &format!("-n {} -s qdisc show dev eth0", self.hosts[at])).expect("it is ours");
        let count = text.split_once("dropped ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        count.expect("tc tells of drops")
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in self.hosts.iter().chain([&self.switch]) {
            // Not there if the making stopped before.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

#[test]
fn nodes_on_hosts_of_their_own_survive_a_pulled_plug_and_a_bad_line() {
    let _watchdog = Watchdog::new("namespaces", 80);
    let hosts = match Hosts::new(3) {
        Ok(hosts) => hosts,
        Err(why) => return println!("SKIPPED: no network namespaces can be made here: {why}"),
    };
    let namespaces = hosts.hosts.clone();
    let mut group = Group::new(Plan { namespaces, ..Plan::new("namespaces", 3_000) });
    group.load(400, 300);
    group.wait_for_writes(200);
    hosts.plug(2, false);
    until("c is noticed to be gone", || group.nodes[0].members().get("c").is_none_or(|state| state != "connected"));
    group.wait_for_writes(400);
    hosts.plug(2, true);
    group.wait_for_writes(100);
    let writes = group.converge();
    println!("a plug pulled and put in again: {writes} writes, converged");
    match hosts.spoil_line(0) {
        Err(why) => println!("SKIPPED: no bad line can be made here: {why}"),
        Ok(line) => {
            group.load(400, 300);
            until("much is lost", || hosts.dropped(0) >= 20);
            let lost: u64 = group.nodes.iter_mut().map(|node| node.told("lost")).sum();
            let dropped = hosts.dropped(0);
            let writes = group.converge();
            println!("a bad line ({line}): {dropped} packets dropped, {lost} members lost, {writes} writes, converged");
        }
    }
    drop(group);
}
