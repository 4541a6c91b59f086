//! What one publication contains: a header, and a batch of frames or a chunk of it.
//!
//! ```text
//! "wspl" version(1)  node(8) number(8)  index(4) count(4) first(8)  plain(8) total(8)  length(4) room  body
//! ```
//!
//! Numbers are big-endian. The batch is `total` bytes: `plain` bytes of frames, then the same messages with compression, if a member
//! of the node that publishes takes them so. It is cut into `count` chunks, since engines limit what they take; chunk `index` is stored under the
//! number `number + index`, and `first` is the sequence of chunk 0.

use bytes::{BufMut, Bytes, BytesMut};

const MAGIC: &[u8; 4] = b"wspl";
/// Nodes ignore what has another version.
const VERSION: u8 = 1;
/// The length of a header without the room.
const FIXED: usize = 4 + 1 + 8 + 8 + 4 + 4 + 8 + 8 + 8 + 4;

/// The frames of a batch, as members receive them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The messages, each one frame.
    pub plain: Bytes,
    /// The same for members that take compressed messages, if it differs.
    pub deflated: Option<Bytes>,
}

impl Body {
    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.plain.len() + self.deflated.as_ref().map_or(0, Bytes::len)
    }

    /// Appends a part of it.
    fn append(&self, start: usize, end: usize, out: &mut BytesMut) {
        let plain = self.plain.len();
        let deflated = self.deflated.as_deref().unwrap_or_default();
        out.extend_from_slice(self.plain.get(start.min(plain)..end.min(plain)).unwrap_or_default());
        out.extend_from_slice(deflated.get(start.saturating_sub(plain)..end.saturating_sub(plain)).unwrap_or_default());
    }

    /// Splits what was joined from chunks, and counts its messages. `None` if it is not what a node sends: whole frames, unmasked, each
    /// a message.
    pub fn parse(mut whole: Bytes, plain: usize) -> Option<(Self, u64)> {
        if plain > whole.len() {
            return None;
        }
        let deflated = whole.split_off(plain);
        let messages = count_messages(&whole, false)?;
        let deflated = Some(deflated).filter(|bytes| !bytes.is_empty());
        if let Some(bytes) = &deflated
            && count_messages(bytes, true)? != messages
        {
            return None;
        }
        Some((Self { plain: whole, deflated }, messages))
    }
}

/// The number of frames, if each is a text or binary message from a server (RFC 6455 section 5.2).
fn count_messages(mut bytes: &[u8], may_be_deflated: bool) -> Option<u64> {
    let mut count = 0;
    while let [first, second, rest @ ..] = bytes {
        let is_message = matches!(first, 0x81 | 0x82) || (may_be_deflated && matches!(first, 0xc1 | 0xc2));
        let (length, rest) = match second {
            126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
            127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
            length => (u64::from(*length), rest),
        };
        if !is_message || *second > 127 {
            return None;
        }
        bytes = rest.get(usize::try_from(length).ok()?..)?;
        count += 1;
    }
    (bytes.is_empty() && count > 0).then_some(count)
}

/// What stands before a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The node that publishes.
    pub node: u64,
    /// The number of the batch.
    pub number: u64,
    /// Which chunk of the batch this is.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// The sequence of the first chunk; 0 in the first one itself.
    pub first: u64,
    /// The length of the batch without compression.
    pub plain: u64,
    /// The whole length.
    pub total: u64,
}

impl Header {
    /// The payload of a chunk of a batch, of which each chunk but the last has `size` bytes.
    pub fn encode(&self, room: &[u8], body: &Body, size: usize) -> Bytes {
        let start = size.saturating_mul(self.index as usize);
        let end = start.saturating_add(size).min(body.size());
        let mut out = BytesMut::with_capacity(FIXED + room.len() + end.saturating_sub(start));
        out.extend_from_slice(MAGIC);
        out.put_u8(VERSION);
        out.put_u64(self.node);
        out.put_u64(self.number);
        out.put_u32(self.index);
        out.put_u32(self.count);
        out.put_u64(self.first);
        out.put_u64(self.plain);
        out.put_u64(self.total);
        out.put_u32(u32::try_from(room.len()).unwrap_or(u32::MAX));
        out.extend_from_slice(room);
        body.append(start, end, &mut out);
        out.freeze()
    }

    /// Parses a payload that was published in a room. `None` if it is not of this version, of another room, or not of a node at all.
    pub fn decode(mut payload: Bytes, room: &[u8]) -> Option<(Self, Bytes)> {
        fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
            let (taken, after) = rest.split_first_chunk()?;
            *rest = after;
            Some(*taken)
        }
        let mut rest = payload.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
        let header = Self {
            node: u64::from_be_bytes(take(&mut rest)?),
            number: u64::from_be_bytes(take(&mut rest)?),
            index: u32::from_be_bytes(take(&mut rest)?),
            count: u32::from_be_bytes(take(&mut rest)?),
            first: u64::from_be_bytes(take(&mut rest)?),
            plain: u64::from_be_bytes(take(&mut rest)?),
            total: u64::from_be_bytes(take(&mut rest)?),
        };
        let length = u32::from_be_bytes(take(&mut rest)?) as usize;
        let chunk = rest.get(length..).filter(|_| rest.get(..length) == Some(room))?;
        let is_valid = header.index < header.count
            && !chunk.is_empty()
            && header.plain <= header.total
            && (header.count > 1 || header.total == chunk.len() as u64)
            && (header.index == 0 || header.first > 0);
        let chunk = payload.split_off(payload.len() - chunk.len());
        is_valid.then_some((header, chunk))
    }

    /// The length of the batch without compression.
    pub fn plain_length(&self) -> usize {
        usize::try_from(self.plain).unwrap_or(usize::MAX)
    }

    /// The most bytes of a batch in a payload of at most so many bytes.
    pub fn chunk_size(max_payload: usize, room: &[u8]) -> usize {
        max_payload.saturating_sub(FIXED + room.len()).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_batch_is_put_together_again_from_its_chunks() {
        let plain = Bytes::from_static(b"\x81\x05hello\x82\x00\x82\x7e\x00\x03abc");
        let deflated = Bytes::from_static(b"\xc1\x02zz\x82\x00\x82\x03abc");
        let body = Body { plain: plain.clone(), deflated: Some(deflated.clone()) };
        for size in 1..40 {
            let count = body.size().div_ceil(size);
            let mut whole = BytesMut::new();
            for index in 0..count {
                let header = Header {
                    node: 7,
                    number: 8,
                    index: index as u32,
                    count: count as u32,
                    first: 9,
                    plain: plain.len() as u64,
                    total: body.size() as u64,
                };
                let payload = header.encode(b"/room", &body, size);
                assert_eq!(Header::decode(payload.clone(), b"/other"), None);
                let (decoded, chunk) = Header::decode(payload, b"/room").expect("a chunk");
                assert_eq!(decoded, header);
                whole.extend_from_slice(&chunk);
            }
            let parsed = Body::parse(whole.freeze(), plain.len());
            assert_eq!(parsed, Some((body.clone(), 3)));
        }
    }

    #[test]
    fn what_is_no_batch_of_messages_is_refused() {
        for wrong in [
            &b""[..],
            b"\x81",
            b"\x81\x05hell",
            b"\x81\x7e\x00",
            b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x81\x80\0\0\0\0",
            b"\x01\x00",
            b"\x88\x00",
            b"\xc1\x00",
        ] {
            assert_eq!(Body::parse(Bytes::from_static(wrong), wrong.len()), None, "{}", wrong.escape_ascii());
        }
        assert_eq!(Body::parse(Bytes::from_static(b"\x81\x00\xc1\x00\xc1\x00"), 2), None, "other messages");
    }

    proptest! {
        #[test]
        fn no_payload_of_a_stranger_panics(bytes: Vec<u8>, has_magic: bool) {
            let start: &[u8] = if has_magic { b"wspl\x01" } else { b"" };
            let payload = Bytes::from([start, &bytes].concat());
            if let Some((header, chunk)) = Header::decode(payload, b"") {
                let _ = Body::parse(chunk, header.plain as usize);
            }
        }
    }
}
