//! Fuzz targets for inflating and for the negotiation.

use super::{Agreed, Deflater, Inflater, Offers, SharedDeflater, accept, header::parse};
use crate::{
    message::Kind,
    ws::{
        DeflateOptions, Event, Role,
        budget::Budget,
        testing::{Sent, agreed, encode_all, events, limits, options},
    },
};
use bytes::Bytes;

/// The most that a poll may inflate: its budget, and a slice of which each byte gives 1032.
const MOST_A_POLL: usize = (512 + 4 * 1032) * 1024;

/// Messages that were compressed here are inflated to the same, however the stream is cut; any other bytes are inflated within
/// the limit or refused, with the same result however they are cut. The first byte selects one of the two.
pub fn deflate(data: &[u8]) {
    match data {
        [first, setting @ ..] if first % 2 == 0 => round_trip(setting),
        [first, low, high, piece, messages @ ..] => {
            let agreed = agreed(&options(first & 2 > 0, 15, 6));
            let limit = usize::from(u16::from_le_bytes([*low, *high])) << (first >> 5);
            any_bytes(&agreed, limit, usize::from(*piece) + 1, messages);
        }
        _ => {}
    }
}

/// Settings, and messages that repeat a word: a byte of flags, the number of repetitions, the length of the word, the word.
fn round_trip(data: &[u8]) {
    let [flags, level, bits, threshold, low, high, piece, messages @ ..] = data else { return };
    let role = if flags & 1 > 0 { Role::Server } else { Role::Client };
    let peer = if flags & 1 > 0 { Role::Client } else { Role::Server };
    let options =
        DeflateOptions { threshold: usize::from(*threshold), ..options(flags & 2 > 0, 8 + bits % 8, level % 10) };
    let fragment = usize::from(u16::from_le_bytes([*low, *high])).max(1);
    let mut sent = Vec::new();
    let mut rest = messages;
    while let [flags, times, length, behind @ ..] = rest {
        let (word, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        // Many fragments would take long.
        let payload = word.repeat(usize::from(*times).min(50 * fragment / word.len().max(1) + 1));
        sent.push(match std::str::from_utf8(&payload) {
            _ if flags & 2 > 0 => Sent::Ping(word[..word.len().min(125)].to_vec()),
            Ok(_) if flags & 1 > 0 => Sent::Message(Kind::Text, payload),
            _ => Sent::Message(Kind::Binary, payload),
        });
    }
    let longest = sent.iter().map(|each| match each {
        Sent::Message(_, payload) | Sent::Ping(payload) => payload.len(),
    });
    // A frame may be longer than the message that it inflates to.
    let limits = limits(longest.max().unwrap_or_default(), 1 << 17);
    let wire = encode_all(role, &options, &sent, fragment);
    let cuts: Vec<usize> = (0..wire.len()).step_by(usize::from(*piece) + 1 + wire.len() / 200).collect();
    let (mut received, error) = events(peer, &limits, Some(Inflater::new(&agreed(&options), peer)), &wire, &cuts);
    received.retain(|received| !matches!(received, Event::Pong(_)));
    assert_eq!(error, None);
    for each in &sent {
        if let Sent::Message(_, payload) = each {
            shared_round_trip(payload, &DeflateOptions { window_bits: options.window_bits.max(9), ..options.clone() });
        }
    }
    assert_eq!(received, sent.into_iter().map(Event::from).collect::<Vec<_>>());
}

/// A message of a room, which is compressed once for all members.
fn shared_round_trip(payload: &[u8], options: &DeflateOptions) {
    let agreed = agreed(options);
    let shared = SharedDeflater::new(options).filter(|shared| shared.fits(&agreed));
    let Some(deflated) = shared.and_then(|shared| shared.deflate(Bytes::copy_from_slice(payload))) else { return };
    assert!(deflated.len() < payload.len());
    let (mut inflater, mut message) = (Inflater::new(&agreed, Role::Client), Vec::new());
    let mut rest = &deflated[..];
    while !rest.is_empty() {
        let pushed = inflater.push(rest, &mut message, payload.len(), &mut Budget::new());
        rest = &rest[pushed.unwrap_or_else(|error| unreachable!("{error}"))..];
    }
    let ended = inflater.end(&mut message, payload.len());
    assert!(ended.is_ok() && message == payload, "a message of a room is damaged");
}

/// Messages that repeat bytes, inflated whole and in pieces: the length of what is repeated, how many times, the bytes.
fn any_bytes(agreed: &Agreed, limit: usize, piece: usize, mut messages: &[u8]) {
    let mut inflaters = [Inflater::new(agreed, Role::Client), Inflater::new(agreed, Role::Client)];
    while let [length, times, behind @ ..] = messages {
        let (repeated, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        messages = behind;
        let deflated = repeated.repeat(usize::from(*times).max(1));
        let [whole, cut] = [deflated.len().max(1), piece].map(|piece| deflated.chunks(piece));
        let [one, other] = &mut inflaters;
        let results = [(one, whole), (other, cut)].map(|(inflater, mut pieces)| {
            let mut message = Vec::new();
            let (mut budget, mut before) = (Budget::new(), 0);
            let pushed = pieces.try_for_each(|mut piece| {
                while !piece.is_empty() {
                    let used = inflater.push(piece, &mut message, limit, &mut budget)?;
                    assert!(message.len() - before <= MOST_A_POLL, "{} bytes in one poll", message.len() - before);
                    piece = &piece[used..];
                    if budget.is_spent() {
                        budget.renew();
                        before = message.len();
                    } else {
                        assert!(piece.is_empty(), "it stops before its budget is spent");
                    }
                }
                Ok(())
            });
            let ended = pushed.and_then(|()| inflater.end(&mut message, limit));
            assert!(message.len() <= limit + usize::from(ended.is_err()));
            (message, ended.is_ok())
        });
        assert_eq!(results[0].1, results[1].1);
        assert!(results[0].0 == results[1].0, "the result depends on how the message is cut");
        if !results[0].1 {
            return;
        }
    }
}

/// A byte that sets the options, then lines that are `Sec-WebSocket-Extensions` headers, taken as offers and as answers.
pub fn extensions(data: &[u8]) {
    let Some((flags, lines)) = data.split_first() else { return };
    let options = options(flags & 1 > 0, 9 + (flags >> 1) % 7, 6);
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
    if let Some(list) = parse(lines.iter().copied()) {
        let shown = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(parse([shown.as_bytes()]), Some(list));
    }
    if let Some((agreed, answer)) = accept(lines.iter().copied(), &options) {
        let written = Offers::written(lines.iter().copied(), &options);
        assert_eq!(written.check([answer.as_bytes()]), Ok(Some(agreed)));
    }
    let (offers, _) = Offers::ours(&options);
    match offers.check(lines.iter().copied()) {
        Ok(Some(agreed)) => {
            assert!((8..=options.window_bits).contains(&agreed.sending(Role::Client).bits));
            assert!((8..=options.window_bits).contains(&agreed.receiving(Role::Client).bits));
            assert!(!options.no_context || !agreed.sending(Role::Client).keeps_context);
            assert!(!options.no_context || !agreed.receiving(Role::Client).keeps_context);
            let plain = agreed.sending(Role::Client).bits == 8;
            assert_eq!(Deflater::new(&agreed, Role::Client, &options).is_none(), plain);
        }
        Ok(None) => {}
        Err(reason) => assert!(!reason.is_empty()),
    }
}
