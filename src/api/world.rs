//! The daemon's parts, as handlers see them.

/// The daemon's parts. `kilnd` makes one at its start; handlers share it.
#[derive(Debug)]
pub struct World {}
