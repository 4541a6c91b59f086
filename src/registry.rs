//! The one table of addresses and overlays. The parser, `--help`, the man page, the completions and the did-you-mean
//! errors all read it; an address is one file in [`crate::address`] or [`crate::overlay`] and one line in its `TABLE`.

use crate::{address, endpoint::Entry, overlay};

/// All rows, addresses first.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    address::TABLE.iter().chain(overlay::TABLE).copied()
}

/// The row with this name or alias.
pub fn find(name: &str) -> Option<&'static Entry> {
    table().find(|entry| entry.names.contains(&name))
}
