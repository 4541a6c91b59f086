//! The keys of the opening handshake (RFC 6455 section 4).

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::digest;

/// The GUID of RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A new `Sec-WebSocket-Key`: 16 random bytes in base64.
pub fn request_key() -> String {
    BASE64_STANDARD.encode(rand::random::<[u8; 16]>())
}

/// Whether a client's `Sec-WebSocket-Key` is 16 bytes in base64.
pub fn is_request_key(key: &[u8]) -> bool {
    BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// The `Sec-WebSocket-Accept` that answers a key.
pub fn accept_key(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    BASE64_STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_holds() {
        // RFC 6455 section 1.3.
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        assert!(is_request_key(request_key().as_bytes()));
        assert!(!is_request_key(b"dGhlIHNhbXBsZQ=="));
        assert!(!is_request_key(b"not base64 at all!!!!!!!"));
    }
}
