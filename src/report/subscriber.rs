//! Which lines are shown, and the spans around them.
//!
//! The registry of `tracing-subscriber` would keep spans as well, but it never frees the slots of those that have ended: after
//! 10,000 members in as many rooms had left, 30 MB stayed where 7 do with this, and a start took 25,000 instructions more.

#[cfg(feature = "term")]
use super::last_handshake;
use super::{
    Level, LogFormat,
    format::{Fields, json, text},
    writer,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tracing::{
    Event, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;

/// Writes a line for each event that the level shows.
pub struct Lines {
    level: Level,
    format: LogFormat,
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    last_id: u64,
    open: HashMap<u64, OpenSpan>,
}

struct OpenSpan {
    metadata: &'static Metadata<'static>,
    fields: Fields,
    /// Handles to it; it ends with the last one.
    handles: usize,
}

thread_local! {
    /// The spans within which this thread runs, innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn current() -> Option<u64> {
    ENTERED.with_borrow(|entered| entered.last().copied())
}

impl Lines {
    pub fn new(level: Level, format: LogFormat) -> Self {
        Self { level, format, spans: Mutex::default() }
    }

    fn is_shown(&self, metadata: &Metadata<'_>) -> bool {
        Level::of(metadata).is_some_and(|lowest| self.level >= lowest)
    }

    /// Whether it is a line of a handshake, which the terminal may show later.
    #[cfg(feature = "term")]
    fn is_kept(metadata: &Metadata<'_>) -> bool {
        Level::of(metadata) == Some(Level::Handshake) && last_handshake::is_kept()
    }

    #[cfg(not(feature = "term"))]
    fn is_kept(_: &Metadata<'_>) -> bool {
        false
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.is_shown(metadata) || Self::is_kept(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.level {
            #[cfg(feature = "term")]
            Level::Quiet | Level::Errors | Level::Events if last_handshake::is_kept() => LevelFilter::DEBUG,
            Level::Quiet | Level::Errors | Level::Events => LevelFilter::INFO,
            Level::Handshake => LevelFilter::DEBUG,
            Level::Frames => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::with_capacity(attributes.metadata().fields().len());
        attributes.record(&mut fields);
        let mut spans = self.spans();
        spans.last_id += 1;
        let id = spans.last_id;
        spans.open.insert(id, OpenSpan { metadata: attributes.metadata(), fields, handles: 1 });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some(span) = self.spans().open.get_mut(&id.into_u64()) {
            values.record(&mut span.fields);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let nothing = Fields::default();
        let spans = self.spans();
        let around = current()
            .filter(|_| !event.is_root())
            .and_then(|id| spans.open.get(&id))
            .map_or(&nothing, |span| &span.fields);
        let metadata = event.metadata();
        #[cfg(feature = "term")]
        if Self::is_kept(metadata) {
            last_handshake::add(&text(metadata, &own, around));
        }
        if !self.is_shown(metadata) {
            return;
        }
        let line = match self.format {
            LogFormat::Text => text(metadata, &own, around),
            LogFormat::Json => json(metadata, &own, around),
        };
        drop(spans);
        writer::write(line);
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|entered| *entered == id.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().open.get_mut(&id.into_u64()) {
            span.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let id = id.into_u64();
        let mut spans = self.spans();
        let Some(span) = spans.open.get_mut(&id) else { return false };
        span.handles -= 1;
        let is_last = span.handles == 0;
        if is_last {
            spans.open.remove(&id);
            // A table that was big gives its memory back.
            if spans.open.capacity() > 64 && spans.open.len() < spans.open.capacity() / 4 {
                spans.open.shrink_to_fit();
            }
        }
        is_last
    }

    fn current_span(&self) -> Current {
        let span = current().and_then(|id| self.spans().open.get(&id).map(|span| (id, span.metadata)));
        span.map_or_else(Current::none, |(id, metadata)| Current::new(Id::from_u64(id), metadata))
    }
}
