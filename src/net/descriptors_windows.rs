//! The limit on open descriptors, of which Windows has none that matters.

/// Does nothing.
pub fn raise_descriptor_limit() {}
