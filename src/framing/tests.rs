//! What lines and chunks make of bytes, whatever these are and however they are cut.

use super::{chunks::ChunkStream, lines::LineCodec};
use crate::{
    error::Error,
    flow::{ByteEnd, Incoming, MessageEnd},
    framing::{FramingOptions, LengthPrefix, LengthPrefixCodec, Separator},
    message::{Kind, Message},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use std::{
    future::poll_fn,
    io,
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{join, sink},
    task::yield_now,
};
use tokio_util::io::StreamReader;

const LIMIT: usize = 30;

fn framing(separator: u8, kind: Kind) -> FramingOptions {
    let separator = Separator { byte: separator, count: 1 };
    FramingOptions {
        kind: Some(kind),
        separator,
        json: false,
        by_lines: false,
        length_prefix: LengthPrefix::DEFAULT,
        one_line: true,
        max_length: LIMIT,
    }
}

/// All messages up to the end or an error.
fn messages(mut end: MessageEnd) -> (Vec<Bytes>, Option<Error>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        match end.io.poll_next(&mut cx) {
            // The bytes are there, only not at once.
            Poll::Pending => {}
            Poll::Ready(Ok(Incoming::Message(message))) => all.push(message.payload),
            Poll::Ready(Ok(Incoming::FlushRequest | Incoming::ControlRequest(_))) => {}
            Poll::Ready(Ok(Incoming::End(_))) => return (all, None),
            Poll::Ready(Err(error)) => return (all, Some(error)),
        }
    }
}

/// The bytes, cut at these places (modulo their number). Before each piece there is nothing to read.
fn arriving(bytes: &[u8], cuts: &[usize]) -> ByteEnd {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let pieces: Vec<_> = cuts.windows(2).map(|ends| Bytes::copy_from_slice(&bytes[ends[0]..ends[1]])).collect();
    let pieces = stream::iter(pieces).then(|piece| async {
        yield_now().await;
        Ok::<_, io::Error>(piece)
    });
    ByteEnd::peer(join(StreamReader::new(Box::pin(pieces)), sink()), "a test")
}

/// Text with line ends, in which a few bytes may be anything.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::option::weighted(0.3, (any::<usize>(), any::<u8>()));
    ("[a-c\u{e4}\u{20ac}\n\0]{0,150}", damage).prop_map(|(text, damage)| {
        let mut bytes = text.into_bytes();
        if let (Some((at, byte)), 1..) = (damage, bytes.len()) {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Text), Just(Kind::Binary)]
}

fn separator() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b'\n'), Just(0)]
}

fn prefix() -> impl Strategy<Value = LengthPrefix> {
    (1u8..=8, any::<bool>(), any::<bool>()).prop_map(|(bytes, little_endian, tag_text)| LengthPrefix {
        bytes,
        little_endian,
        tag_text,
        ..LengthPrefix::DEFAULT
    })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..20)
}

proptest! {
    #[test]
    fn lines_are_what_stands_between_separators(
        bytes in input(), kind in kind(), separator in separator(), cuts in cuts()
    ) {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == separator).collect();
        if lines.last().is_some_and(|rest| rest.is_empty()) {
            lines.pop();
        }
        let fits = |line: &&[u8]| line.len() <= LIMIT && (kind == Kind::Binary || std::str::from_utf8(line).is_ok());
        let expected: Vec<&[u8]> = lines.iter().copied().take_while(fits).collect();
        let (heard, error) = messages(LineCodec::frame(arriving(&bytes, &cuts), framing(separator, kind)));
        prop_assert_eq!(&heard, &expected);
        prop_assert_eq!(error.is_some(), expected.len() < lines.len());
    }

    #[test]
    fn messages_that_were_written_as_lines_are_read_again(
        payloads in prop::collection::vec("[ -~\n\u{e4}]{0,15}", 0..10), separator in separator()
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let heard = runtime.block_on(async {
            let (near, far) = tokio::io::duplex(1000);
            let mut writer = LineCodec::frame(ByteEnd::peer(near, "a test"), framing(separator, Kind::Text));
            for payload in &payloads {
                poll_fn(|cx| writer.io.poll_ready(cx)).await.expect("room");
                let message = Message { kind: Kind::Text, payload: payload.clone().into() };
                writer.io.start_send(message).expect("taken");
            }
            poll_fn(|cx| writer.io.poll_finish(cx, None)).await.expect("written");
            messages(LineCodec::frame(ByteEnd::peer(far, "a test"), framing(separator, Kind::Text))).0
        });
        let expected: Vec<String> =
            payloads.iter().map(|payload| payload.replace(char::from(separator), " ")).collect();
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn lines_end_with_as_many_separators_as_asked_for(
        text in "[a-b\n]{0,40}", count in 1u8..4, cuts in cuts()
    ) {
        let framing = FramingOptions {
            separator: Separator { byte: b'\n', count },
            max_length: usize::MAX,
            ..framing(b'\n', Kind::Text)
        };
        let end = "\n".repeat(usize::from(count));
        let mut expected: Vec<&str> = text.split(&end).collect();
        if expected.last().is_some_and(|rest| rest.is_empty()) {
            expected.pop();
        }
        let (heard, error) = messages(LineCodec::frame(arriving(text.as_bytes(), &cuts), framing));
        prop_assert!(error.is_none());
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn messages_that_were_written_with_their_lengths_are_read_again(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..30), any::<bool>()), 0..10),
        prefix in prefix(), cuts in cuts()
    ) {
        let mut bytes = Vec::new();
        let text = |payload: &[u8], wants_text: bool| wants_text && std::str::from_utf8(payload).is_ok();
        for (payload, wants_text) in &payloads {
            let kind = if text(payload, *wants_text) { Kind::Text } else { Kind::Binary };
            let message = Message { kind, payload: payload.clone().into() };
            let (length, used) = prefix.encode(&message).expect("a short message");
            bytes.extend_from_slice(&length[..used]);
            bytes.extend_from_slice(payload);
        }
        let framing = FramingOptions { length_prefix: prefix, ..framing(b'\n', Kind::Binary) };
        let (heard, error) = messages(LengthPrefixCodec::frame(arriving(&bytes, &cuts), framing));
        prop_assert!(error.is_none());
        prop_assert_eq!(heard, payloads.into_iter().map(|(payload, _)| payload).collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_messages_with_lengths_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..60), kind in kind(), prefix in prefix(), cuts in cuts()
    ) {
        let framing = FramingOptions { length_prefix: prefix, ..framing(b'\n', kind) };
        let (heard, error) = messages(LengthPrefixCodec::frame(arriving(&bytes, &cuts), framing));
        let read: usize = heard.iter().map(|payload| payload.len() + usize::from(prefix.bytes)).sum();
        prop_assert!(read <= bytes.len() && heard.iter().all(|payload| payload.len() <= LIMIT));
        prop_assert_eq!(error.is_none(), read == bytes.len());
    }

    #[test]
    fn chunks_are_all_that_was_read_up_to_what_is_no_text(bytes in input(), kind in kind(), cuts in cuts()) {
        let (heard, error) = messages(ChunkStream::frame(arriving(&bytes, &cuts), kind));
        let all = heard.concat();
        prop_assert!(heard.iter().all(|chunk| !chunk.is_empty()));
        prop_assert!(bytes.starts_with(&all));
        let is_good = kind == Kind::Binary || std::str::from_utf8(&bytes).is_ok();
        prop_assert_eq!(error.is_none(), is_good);
        prop_assert!(!is_good || all.len() == bytes.len());
        prop_assert!(kind == Kind::Binary || heard.iter().all(|chunk| std::str::from_utf8(chunk).is_ok()));
    }
}
