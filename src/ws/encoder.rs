//! Encoding of frames (RFC 6455 section 5.2).

use crate::message::Kind;
use bytes::{BufMut, BytesMut};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

impl From<Kind> for Data {
    /// The opcode of a message's first frame.
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

/// Appends one frame. A client's is masked with a fresh random key (section 5.3).
pub fn append(out: &mut BytesMut, opcode: OpCode, is_final: bool, masked: bool, payload: &[u8]) {
    encode(out, FrameHeader { is_final, opcode, ..FrameHeader::default() }, masked, payload);
}

/// Appends one frame with any header, such as one that marks a compressed message.
pub fn encode(out: &mut BytesMut, mut header: FrameHeader, masked: bool, payload: &[u8]) {
    // RFC 6455 section 5.5. The lengths of reasons and of ping payloads are limited where they come from.
    debug_assert!(!matches!(header.opcode, OpCode::Control(_)) || payload.len() <= 125, "a control frame is short");
    header.mask = masked.then(rand::random::<[u8; 4]>);
    let length = payload.len() as u64;
    out.reserve(header.len(length) + payload.len());
    let formatted = header.format(length, &mut out.writer());
    debug_assert!(formatted.is_ok(), "a BytesMut takes everything");
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = header.mask {
        apply_mask(out.get_mut(start..).unwrap_or_default(), mask);
    }
}

/// XORs the masking key over a part of a payload, eight bytes at a time. Returns the key as the next part needs it.
///
/// tungstenite's is private, and does not return that.
pub fn apply_mask(payload: &mut [u8], mut mask: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(payload.len() % 4);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_repeats_every_four_bytes_whatever_the_length() {
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).collect();
            let mut masked = plain.clone();
            apply_mask(&mut masked, [1, 2, 4, 8]);
            for (i, byte) in masked.iter().enumerate() {
                assert_eq!(*byte, plain[i] ^ [1, 2, 4, 8][i % 4], "byte {i} of {length}");
            }
        }
    }

    #[test]
    fn the_unmasked_hello_of_the_rfc_is_encoded() {
        // RFC 6455 section 5.7.
        let mut out = BytesMut::new();
        append(&mut out, OpCode::Data(Data::Text), true, false, b"Hello");
        assert_eq!(&out[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }
}
