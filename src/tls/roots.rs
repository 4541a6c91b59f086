//! The CAs that are trusted by default.

use tokio_rustls::rustls::RootCertStore;

/// The CAs of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are respected), or, where it has none, as in an empty container, the
/// built-in list of Mozilla.
pub fn system_or_built_in() -> RootCertStore {
    let mut store = RootCertStore::empty();
    // Skip certificates that cannot be parsed, such as very old ones.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}
