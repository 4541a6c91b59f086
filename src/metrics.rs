//! Metrics in Prometheus's text format, and what sessions count.

use crate::memory;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
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

/// The upper bounds of histograms, in seconds: a local write takes some microseconds, and what takes a second is slow.
const BOUNDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

/// How long something took, from 100 microseconds to a second.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Histogram {
    /// It took so long, so many times.
    pub fn observe(&self, times: u64, took: Duration) {
        let at = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.counts.get(at) {
            bucket.fetch_add(times, Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos.saturating_mul(times), Relaxed);
    }

    /// Adds it to a page.
    pub fn render(&self, Page(text): &mut Page, name: &str, help: &str) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let _ = writeln!(text, "# HELP wsplice_{name} {help}\n# TYPE wsplice_{name} histogram");
        let mut below = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS) {
            below += get(count);
            let _ = writeln!(text, "wsplice_{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        below += self.counts.last().map_or(0, get);
        let _ = writeln!(text, "wsplice_{name}_bucket{{le=\"+Inf\"}} {below}");
        let _ = writeln!(text, "wsplice_{name}_sum {}", get(&self.nanos) as f64 / 1e9);
        let _ = writeln!(text, "wsplice_{name}_count {below}");
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
