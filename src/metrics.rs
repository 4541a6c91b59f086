//! Metrics in Prometheus's text format, and what sessions count.

use crate::memory;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// The content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics in the text format, version 0.0.4.
#[derive(Default)]
pub struct Page(pub String);

impl Page {
    /// Adds a counter or a gauge with its value.
    pub fn add(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        let Self(text) = self;
        let _ = writeln!(text, "# HELP wsplice_{name} {help}\n# TYPE wsplice_{name} {kind}\nwsplice_{name} {value}");
    }
}

/// Counters of the sessions of a run. All only grow.
#[derive(Debug, Default)]
pub struct SessionMetrics {
    opened: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    /// From ADDR1 to ADDR2, and back.
    messages: [AtomicU64; 2],
    bytes: [AtomicU64; 2],
}

impl SessionMetrics {
    /// A session begins.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// A session has ended.
    pub fn ended(&self, failed: bool) {
        self.ended.fetch_add(1, Relaxed);
        self.failed.fetch_add(u64::from(failed), Relaxed);
    }

    /// A message of so many bytes was copied: with `direction` 0 from ADDR1 to ADDR2, with 1 back.
    pub fn copied(&self, direction: usize, bytes: usize) {
        if let (Some(messages), Some(all)) = (self.messages.get(direction), self.bytes.get(direction)) {
            messages.fetch_add(1, Relaxed);
            all.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// The text format.
    pub fn render(&self) -> String {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let ([sent, received], [sent_bytes, received_bytes]) = (&self.messages, &self.bytes);
        let mut page = Page::default();
        page.add("sessions", "gauge", "Sessions at present.", get(&self.opened).saturating_sub(get(&self.ended)));
        page.add("sessions_total", "counter", "Sessions that were opened.", get(&self.opened));
        page.add("session_errors_total", "counter", "Sessions that ended with an error.", get(&self.failed));
        page.add("messages_sent_total", "counter", "Messages from ADDR1 to ADDR2.", get(sent));
        page.add("sent_bytes_total", "counter", "Payload bytes from ADDR1 to ADDR2.", get(sent_bytes));
        page.add("messages_received_total", "counter", "Messages from ADDR2 to ADDR1.", get(received));
        page.add("received_bytes_total", "counter", "Payload bytes from ADDR2 to ADDR1.", get(received_bytes));
        page.add(
            "memory_bytes",
            "gauge",
            "Bytes held for clients, of which --max-memory is the limit.",
            memory::held() as u64,
        );
        page.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_metric() {
        let manual = include_str!("../man/wsplice.1.in");
        let text = SessionMetrics::default().render();
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE wsplice_")) {
            let name = name.split(' ').next().unwrap_or_default();
            let is_named = manual.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
            assert!(is_named, "the manual lacks {name}");
        }
    }
}
