//! Fuzz targets for inflating and for the negotiation.

use super::{Agreed, Deflater, Inflater, Offers, accept, header::parse};
use crate::{
    message::Kind,
    ws::{
        DeflateOptions, Event, Role,
        budget::Budget,
        testing::{Sent, agreed, encode_all, events, limits, options},
    },
};

/// Messages that were compressed here are inflated to the same, however the stream is cut; any other bytes are inflated within
/// the limit or refused, with the same result however they are cut. The first byte selects one of the two.
pub fn inflate(data: &[u8]) {
    match data {
        [first, setting @ ..] if first % 2 == 0 => round_trip(setting),
        [first, low, high, piece, messages @ ..] => {
            let agreed = agreed(&options(first & 2 > 0, 15, 6));
            any_bytes(&agreed, u16::from_le_bytes([*low, *high]).into(), usize::from(*piece) + 1, messages);
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
    assert_eq!(received, sent.into_iter().map(Event::from).collect::<Vec<_>>());
}

/// Messages with their length in front, inflated whole and in pieces.
fn any_bytes(agreed: &Agreed, limit: usize, piece: usize, mut messages: &[u8]) {
    let mut inflaters = [Inflater::new(agreed, Role::Client), Inflater::new(agreed, Role::Client)];
    while let [length, behind @ ..] = messages {
        let (deflated, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        messages = behind;
        let [whole, cut] = [deflated.len().max(1), piece].map(|piece| deflated.chunks(piece));
        let [one, other] = &mut inflaters;
        let results = [(one, whole), (other, cut)].map(|(inflater, mut pieces)| {
            let mut message = Vec::new();
            let pushed = pieces.try_for_each(|mut piece| {
                while !piece.is_empty() {
                    piece = &piece[inflater.push(piece, &mut message, limit, &mut Budget::new())?..];
                }
                Ok(())
            });
            let ended = pushed.and_then(|()| inflater.end(&mut message, limit));
            assert!(message.len() <= limit + usize::from(ended.is_err()));
            (message, ended.is_ok())
        });
        assert_eq!(results[0], results[1]);
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
