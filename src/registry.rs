//! The table of addresses and overlays. The parser, `--help`, the man page, the completions and the did-you-mean errors read it.
//! To add an address, add a file to [`crate::address`] or [`crate::overlay`] and a line to its `TABLE`.

use crate::{address, endpoint::Entry, overlay};

/// All entries, addresses first.
pub fn table() -> impl Iterator<Item = &'static Entry> {
    address::TABLE.iter().chain(overlay::TABLE).copied()
}

/// The entry with this name or alias.
pub fn find(name: &str) -> Option<&'static Entry> {
    table().find(|entry| entry.names.contains(&name))
}
