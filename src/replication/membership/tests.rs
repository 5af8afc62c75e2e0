//! Nodes in virtual time on a network that loses, doubles, delays and reorders what they send.

#![forbid(unsafe_code)]

mod bytes;
mod deaths;
mod golden;
mod names;
mod partitions;
mod world;
