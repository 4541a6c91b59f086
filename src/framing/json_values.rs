//! JSON values as messages. What is written is the same as with lines.

use super::{Codec, Framed, FramingOptions, LineCodec, Unfit};
use crate::{
    flow::{ByteEnd, MessageEnd},
    json::{Scanner, Wrong},
    message::Message,
};
use bytes::{Buf, BytesMut};

/// JSON values may be nested so deep; jq takes no more.
const MAX_DEPTH: usize = 10_000;
/// The byte order mark that editors on Windows write.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Each JSON value is a message, as it was written, without the space around it.
pub struct JsonValueCodec {
    lines: LineCodec,
    scanner: Scanner,
    has_started: bool,
}

impl JsonValueCodec {
    /// Turns a byte end into a message end.
    pub fn frame(inner: ByteEnd, framing: FramingOptions) -> MessageEnd {
        let (lines, scanner) = (LineCodec::new(framing, "value"), Scanner::new(MAX_DEPTH));
        Framed::frame(Self { lines, scanner, has_started: false }, inner)
    }
}

impl Codec for JsonValueCodec {
    fn decode(&mut self, read: &mut BytesMut, ended: bool) -> Result<Option<Message>, Unfit> {
        if !self.has_started {
            if MARK.starts_with(read) && read.len() < MARK.len() && !ended {
                return Ok(None);
            }
            if read.starts_with(MARK) {
                read.advance(MARK.len());
            }
            self.has_started = true;
        }
        let searched = &mut self.lines.searched;
        let scan = self.scanner.scan(read.get(*searched..).unwrap_or_default()).map_err(not_json)?;
        read.advance(scan.skipped);
        *searched += scan.length;
        if scan.is_complete || ended && self.scanner.end().map_err(not_json)? {
            let value = read.split_to(*searched);
            return self.lines.message(value).map(Some);
        }
        self.lines.check_unfinished(read)?;
        Ok(None)
    }

    fn encode(&mut self, message: &Message, out: &mut BytesMut) -> Result<(), Unfit> {
        self.lines.encode(message, out)
    }
}

fn not_json(Wrong { line, column, reason }: Wrong) -> Unfit {
    Unfit {
        what: format!("line {line}, column {column}"),
        reason: format!("is not JSON: {reason}"),
        hint: "without --json-in and json: each line is a message, whatever it is",
    }
}
