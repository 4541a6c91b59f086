//! `timestamp:`: when each message arrived.

use super::convert::{Convert, converting};
use crate::{
    endpoint::{Build, Entry, Layer, Overlay, OverlayRow},
    error::Error,
    message::Message,
};
use std::{
    io::Write,
    time::{Duration, Instant, SystemTime},
};

pub(super) static TIMESTAMP: Entry = Entry {
    names: &["timestamp"],
    arg: None,
    summary: "Put the time in front of each message",
    details: "Each message that is read from the address behind the overlay gets the time in seconds since 1970, with \
              six decimals, and a space in front of it. With --timestamp-monotonic the time starts at 0 with the \
              session.",
    example: "- timestamp:ws://127.0.0.1:8080/",
    flags: &[&["timestamp-monotonic"]],
    build: Build::Overlay(
        OverlayRow::new(|_, config| {
            let is_monotonic = config.messages.monotonic_timestamps;
            let layer = converting(move |_| Timestamp { start: is_monotonic.then(Instant::now) });
            Ok(Overlay::Around(Layer::OnMessages(layer)))
        })
        .per_message(),
    ),
};

struct Timestamp {
    /// `None`: the time since 1970.
    start: Option<Instant>,
}

impl Convert for Timestamp {
    fn received(&mut self, message: Message) -> Result<Option<Message>, Error> {
        let time = match self.start {
            Some(start) => start.elapsed(),
            // A clock that is set before 1970 shows as 0.
            None => SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO),
        };
        let mut payload = Vec::with_capacity(message.payload.len() + 24);
        let _ = write!(payload, "{}.{:06} ", time.as_secs(), time.subsec_micros());
        payload.extend_from_slice(&message.payload);
        Ok(Some(Message { payload: payload.into(), ..message }))
    }
}
