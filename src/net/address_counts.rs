//! Open connections by address.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    net::IpAddr,
};

/// How many connections each address has open; none has 0.
pub type AddressCounts = HashMap<IpAddr, u32>;

/// Counts a connection. Returns false if the address has `most` already.
pub fn enter(counts: &mut AddressCounts, address: IpAddr, most: u32) -> bool {
    let count = counts.entry(address).or_default();
    let is_allowed = *count < most;
    *count += u32::from(is_allowed);
    is_allowed
}

/// A connection that was counted has ended.
pub fn leave(counts: &mut AddressCounts, address: IpAddr) {
    match counts.get_mut(&address) {
        Some(count) if *count > 1 => *count -= 1,
        _ => _ = counts.remove(&address),
    }
    shrink(counts);
}

/// Gives back the memory of a table that was large.
pub fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 64 && table.len() < table.capacity() / 4 {
        table.shrink_to_fit();
    }
}
