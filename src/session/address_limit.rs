//! `--max-per-address` for listeners other than the room server, which counts the members behind proxies itself.

use crate::{
    config::Config,
    net::{Peer, address_counts, address_counts::AddressCounts, counted_address},
};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts the open connections of each address.
pub(super) struct AddressLimit {
    most: u32,
    config: Arc<Config>,
    open: Mutex<AddressCounts>,
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
        if let Some(address) = address
            && !address_counts::enter(&mut self.lock(), address, self.most)
        {
            return None;
        }
        Some(Counted { limit: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, AddressCounts> {
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
        if let Some(address) = self.address {
            address_counts::leave(&mut self.limit.lock(), address);
        }
    }
}
