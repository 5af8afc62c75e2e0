//! The driver.

#![forbid(unsafe_code)]
pub(crate) mod deadlines;
pub(crate) mod log;
pub(crate) mod promise;
pub(crate) mod sockets;
pub(crate) mod spill;
pub(crate) mod waits;
pub(crate) mod wake;
