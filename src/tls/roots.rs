//! The authorities that are trusted unless told otherwise.

use tokio_rustls::rustls::RootCertStore;

/// The system's (`SSL_CERT_FILE` and `SSL_CERT_DIR` included); Mozilla's, which are built in, where the machine has none,
/// such as in an empty container.
pub fn system_or_built_in() -> RootCertStore {
    let mut store = RootCertStore::empty();
    // A system's store may hold certificates that are too old to parse; the others still count.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}
