//! What the scripts return and the channels carry.

use crate::cluster::{Position, Publication};
use bytes::Bytes;
use redis::Value;
use std::str;

/// Where a room stands, with some of its entries.
pub struct Read {
    pub position: Position,
    pub entries: Vec<Publication>,
}

/// A place: the epoch and the sequence.
pub fn position(reply: &Value) -> Option<Position> {
    match reply {
        Value::Array(fields) => match fields.as_slice() {
            [epoch, sequence, ..] => Some(Position { epoch: number(epoch)?, sequence: number(sequence)? }),
            _ => None,
        },
        _ => None,
    }
}

/// The reply of read.lua; `Some(None)` if the room has no state.
pub fn read(reply: Value) -> Option<Option<Read>> {
    if matches!(&reply, Value::Array(fields) if fields.is_empty()) {
        return Some(None);
    }
    let position = position(&reply)?;
    let Value::Array(fields) = reply else { return None };
    let Some(Value::Array(entries)) = fields.into_iter().nth(2) else { return None };
    let entries = entries.into_iter().map(|entry| publication(position.epoch, entry)).collect::<Option<_>>()?;
    Some(Some(Read { position, entries }))
}

/// An entry of a stream: its id and its fields.
fn publication(epoch: u64, entry: Value) -> Option<Publication> {
    let Value::Array(parts) = entry else { return None };
    let [id, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    let [_, previous, _, Value::BulkString(payload)] = <[Value; 4]>::try_from(fields).ok()? else { return None };
    let id = str::from_utf8(bulk(&id)?).ok()?;
    let sequence = id.split_once('-')?.0.parse().ok()?;
    let position = Position { epoch, sequence };
    Some(Publication { position, previous: number(&previous)?, payload: payload.into() })
}

/// What publish.lua sends to a channel: three numbers in a line, and the payload.
pub fn message(text: Vec<u8>) -> Option<Publication> {
    /// Three numbers of 64 bits.
    const LONGEST: usize = 62;
    let end = text.iter().take(LONGEST + 1).position(|byte| *byte == b'\n')?;
    let mut numbers = str::from_utf8(text.get(..end)?).ok()?.split(' ').map(|number| number.parse().ok());
    let (epoch, sequence, previous) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if numbers.next().is_some() {
        return None;
    }
    let payload = Bytes::from(text).split_off(end + 1);
    Some(Publication { position: Position { epoch, sequence }, previous, payload })
}

/// A number in decimal digits.
fn number(value: &Value) -> Option<u64> {
    str::from_utf8(bulk(value)?).ok()?.parse().ok()
}

fn bulk(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_message_is_three_numbers_and_any_bytes() {
        let expected = Publication {
            position: Position { epoch: u64::MAX, sequence: 7 },
            previous: 3,
            payload: Bytes::from_static(b"a\nb\xff"),
        };
        assert_eq!(message(b"18446744073709551615 7 3\na\nb\xff".to_vec()), Some(expected));
        let strangers: [&[u8]; 8] =
            [b"", b"hello", b"\n", b"1 2\n", b"1 2 3 4\n", b"1 2 x\n", b"1 2 18446744073709551616\n", &[b'1'; 200]];
        for stranger in strangers {
            assert_eq!(message(stranger.to_vec()), None, "{}", stranger.escape_ascii());
        }
    }

    #[test]
    fn a_reply_that_is_not_from_our_scripts_is_refused() {
        let entry = |fields: Vec<Value>| Value::Array(vec![bulk("5-0"), Value::Array(fields)]);
        let reply = |entry| Value::Array(vec![bulk("1"), bulk("5"), Value::Array(vec![entry])]);
        let whole = read(reply(entry(vec![bulk("p"), bulk("4"), bulk("d"), bulk("text")])));
        let whole = whole.flatten().expect("a room");
        assert_eq!(whole.position, Position { epoch: 1, sequence: 5 });
        assert_eq!(whole.entries[0].payload, "text");
        assert!(read(Value::Array(vec![])).is_some_and(|room| room.is_none()));
        for wrong in [
            Value::Nil,
            Value::Array(vec![bulk("1")]),
            Value::Array(vec![bulk("1"), bulk("x"), Value::Array(vec![])]),
            Value::Array(vec![bulk("1"), bulk("5")]),
            reply(Value::Nil),
            reply(entry(vec![bulk("p")])),
            reply(entry(vec![bulk("p"), bulk("-1"), bulk("d"), bulk("text")])),
        ] {
            assert!(read(wrong.clone()).is_none(), "{wrong:?}");
        }
    }
}
