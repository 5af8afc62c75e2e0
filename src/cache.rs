//! The public local API: a thin, safe layer that checks arguments, pins, counts, and tells what happened.
//!
//! ```text
//!   builder   settings -> Cache        cache        the calls            value         what reads return
//!   options   what an insert may ask   reservation  a value in place     batch         get_many, reader, iter
//!   error     why something failed     stats        figures, explain     housekeeping  the background thread
//!   loads     what a miss reads from the database      invalidate   what it has changed
//!   clustered what a cluster needs of it            publish      figures as metrics, behind a feature
//! ```

#![forbid(unsafe_code)]

mod batch;
mod builder;
mod calls;
mod clustered;
mod error;
mod explain;
mod housekeeping;
mod invalidate;
mod loads;
mod options;
#[cfg(feature = "metrics")]
pub(crate) mod publish;
mod reads;
mod reservation;
mod stats;
mod value;

pub use batch::Reader;
pub use builder::Builder;
pub use calls::Cache;
pub(crate) use clustered::InCluster;
pub use error::{InsertError, OpenError};
pub use explain::{Explanation, Place};
pub use loads::{Answer, Bytes, Load, LoadError, LoadMany, Loaded};
pub use options::{InsertOptions, InsertVersion};
pub use reservation::Reservation;
pub use stats::{ClassStats, Stats};
pub use value::{PinnedValue, Value};
