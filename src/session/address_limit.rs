//! `--max-per-address` for listeners other than the room server, which counts the members behind proxies itself.

use crate::{
    config::Config,
    net::{Peer, counted_address},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts the open connections of each address.
pub(super) struct AddressLimit {
    most: u32,
    config: Arc<Config>,
    open: Mutex<HashMap<IpAddr, u32>>,
}

impl AddressLimit {
    /// The limit for a listener, if it has one.
    pub fn new(config: &Arc<Config>) -> Option<Arc<Self>> {
        let most = config.server.max_per_address?;
        Some(Arc::new(Self { most, config: config.clone(), open: Mutex::default() }))
    }

    /// The largest number of connections from one address.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Counts a connection until the result is dropped; `None` if its address has as many as it may. Unix sockets and trusted
    /// proxies, through which many clients come, are not counted.
    pub fn enter(self: &Arc<Self>, peer: &Peer) -> Option<Counted> {
        let trusted = &self.config.server.access.trusted_proxies;
        let counted = peer.ip.filter(|address| !trusted.iter().any(|network| network.contains(address)));
        let address = counted.map(counted_address);
        if let Some(address) = address {
            let mut open = self.lock();
            let count = open.entry(address).or_default();
            if *count >= self.most {
                return None;
            }
            *count += 1;
        }
        Some(Counted { limit: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted.
pub(super) struct Counted {
    limit: Arc<AddressLimit>,
    address: Option<IpAddr>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut open = self.limit.lock();
        match open.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = open.remove(&address),
        }
        if open.capacity() > 64 && open.len() < open.capacity() / 4 {
            open.shrink_to_fit();
        }
    }
}
