//! Encoding of frames (RFC 6455 section 5.2).

use crate::message::Kind;
use bytes::{BufMut, BytesMut};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// The longest header in bytes: two, a length of eight, and a masking key.
pub const MAX_HEADER: usize = 14;

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
    encode(out, &FrameHeader { is_final, opcode, ..FrameHeader::default() }, masked, payload);
}

/// Appends one frame with any header, such as one that marks a compressed message.
///
/// tungstenite writes headers to any `io::Write`, which took three times the instructions of this for a short frame.
#[inline]
pub fn encode(out: &mut BytesMut, header: &FrameHeader, masked: bool, payload: &[u8]) {
    out.reserve(MAX_HEADER + payload.len());
    begin(out, header, masked, payload.len());
    if masked {
        let mask = rand::random::<[u8; 4]>();
        out.put_slice(&mask);
        let start = out.len();
        out.extend_from_slice(payload);
        apply_whole_mask(out.get_mut(start..).unwrap_or_default(), mask);
    } else {
        out.extend_from_slice(payload);
    }
}

/// Appends the header of one frame, except for its masking key. Inlined where most of the header is known, it is two bytes that
/// are put together.
#[inline(always)]
pub fn begin(out: &mut BytesMut, header: &FrameHeader, masked: bool, length: usize) {
    // RFC 6455 section 5.5. The lengths of reasons and of ping payloads are limited where they come from.
    debug_assert!(!matches!(header.opcode, OpCode::Control(_)) || length <= 125, "a control frame is short");
    let reserved = u8::from(header.rsv1) << 6 | u8::from(header.rsv2) << 5 | u8::from(header.rsv3) << 4;
    let first = u8::from(header.is_final) << 7 | reserved | u8::from(header.opcode);
    let mask_bit = u8::from(masked) << 7;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => out.put_slice(&[first, mask_bit | length]),
        (_, Ok(length)) => {
            let [high, low] = length.to_be_bytes();
            out.put_slice(&[first, mask_bit | 126, high, low]);
        }
        (_, Err(_)) => {
            out.put_slice(&[first, mask_bit | 127]);
            out.put_u64(length as u64);
        }
    }
}

/// XORs the masking key over a part of a payload. Returns the key as the next part needs it.
///
/// tungstenite's is private, and does not return that.
pub fn apply_mask(payload: &mut [u8], mut mask: [u8; 4]) -> [u8; 4] {
    apply_whole_mask(payload, mask);
    mask.rotate_left(payload.len() % 4);
    mask
}

/// XORs the masking key over a payload, eight bytes at a time.
#[inline(always)]
pub fn apply_whole_mask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let keys = [a, b, c, d, a, b, c, d];
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(keys)).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(keys) {
        *byte ^= key;
    }
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
    fn headers_are_those_of_tungstenite() {
        let opcodes = [Data::Text, Data::Binary, Data::Continue].map(OpCode::Data);
        for (length, opcode) in [0, 1, 125, 126, 127, 65_535, 65_536].into_iter().flat_map(|n| opcodes.map(|o| (n, o)))
        {
            for bits in 0..16 {
                let [is_final, rsv1, rsv2, rsv3] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
                let header = FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask: None };
                let (mut ours, mut theirs, payload) = (BytesMut::new(), Vec::new(), vec![7; length]);
                encode(&mut ours, &header, false, &payload);
                header.format(length as u64, &mut theirs).expect("a Vec takes everything");
                assert_eq!(ours, [theirs, payload.clone()].concat());
                let (mut masked, mut theirs) = (BytesMut::new(), Vec::new());
                encode(&mut masked, &header, true, &payload);
                let key = *masked[..masked.len() - length].last_chunk::<4>().expect("a key");
                let header = FrameHeader { mask: Some(key), ..header };
                header.format(length as u64, &mut theirs).expect("a Vec takes everything");
                let mut payload = payload;
                apply_mask(&mut payload, key);
                assert_eq!(masked, [theirs, payload].concat());
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
