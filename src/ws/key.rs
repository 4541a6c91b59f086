//! The keys of the opening handshake (RFC 6455 section 4): made by tungstenite, which does not check a client's key.

use base64::{Engine, prelude::BASE64_STANDARD};
pub use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// Whether a client's `Sec-WebSocket-Key` is 16 bytes in base64.
pub fn is_request_key(key: &[u8]) -> bool {
    // Three bytes for every four characters, of which the last two are padding.
    BASE64_STANDARD.decode_slice(key, &mut [0; 18]).is_ok_and(|length| length == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_holds() {
        // RFC 6455 section 1.3.
        assert_eq!(derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        assert!(is_request_key(generate_key().as_bytes()));
        assert!(!is_request_key(b"dGhlIHNhbXBsZQ=="));
        assert!(!is_request_key(b"not base64 at all!!!!!!!"));
    }
}
