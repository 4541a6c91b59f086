//! What the room server counts, in Prometheus's text format.
//!
//! Not by prometheus-client 0.26: its histogram takes a lock for each delivery, 206 ns for a batch to 10 members where this
//! takes 9; and its gauge `connections` and counter `connections_total` are one name, which promtool refuses (90 KiB, too).

use crate::{
    memory,
    metrics::{Histogram, Page},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one server. All only grow.
#[derive(Default)]
pub struct Metrics {
    /// Members that were let in.
    pub joined: AtomicU64,
    /// Members that are gone.
    pub left: AtomicU64,
    /// Messages from members.
    pub received: AtomicU64,
    /// Their payloads.
    pub received_bytes: AtomicU64,
    /// Messages to members, written or queued.
    pub sent: AtomicU64,
    /// Their frames.
    pub sent_bytes: AtomicU64,
    /// Those of them that were sent before the member joined.
    pub replayed: AtomicU64,
    /// Messages that slow members missed.
    pub dropped: AtomicU64,
    /// Members that were closed for being slow.
    pub slow: AtomicU64,
    /// Members that were closed to free memory.
    pub out_of_memory: AtomicU64,
    /// From the end of their reading to the end of their writing.
    pub deliveries: Histogram,
}

impl Metrics {
    /// A page in the text format.
    pub fn render(&self, rooms: usize, backlog: usize, history: usize) -> Page {
        let mut page = Page::default();
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        page.add("connections", "gauge", "Members at present.", get(&self.joined).saturating_sub(get(&self.left)));
        page.add("connections_total", "counter", "Members that were let in.", get(&self.joined));
        page.add("rooms", "gauge", "Rooms with at least one member.", rooms as u64);
        page.add("messages_received_total", "counter", "Messages from members.", get(&self.received));
        page.add(
            "received_bytes_total",
            "counter",
            "Payload bytes of messages from members.",
            get(&self.received_bytes),
        );
        page.add("messages_sent_total", "counter", "Messages written to members or queued for them.", get(&self.sent));
        page.add(
            "sent_bytes_total",
            "counter",
            "Bytes of frames written to members or queued for them.",
            get(&self.sent_bytes),
        );
        page.add(
            "messages_replayed_total",
            "counter",
            "Messages of these that were sent before the member joined (--history).",
            get(&self.replayed),
        );
        page.add("messages_dropped_total", "counter", "Messages that slow members missed.", get(&self.dropped));
        page.add("slow_disconnects_total", "counter", "Members closed for being too slow.", get(&self.slow));
        page.add(
            "memory_disconnects_total",
            "counter",
            "Members closed to stay within --max-memory.",
            get(&self.out_of_memory),
        );
        page.add(
            "memory_bytes",
            "gauge",
            "Bytes held for clients, of which --max-memory is the limit.",
            memory::held() as u64,
        );
        page.add("history_bytes", "gauge", "Bytes that are kept for members that join (--history).", history as u64);
        page.add("backlog_bytes", "gauge", "Bytes that wait for slow members.", backlog as u64);
        self.deliveries.render(
            &mut page,
            "delivery_duration_seconds",
            "Time from reading a message to having written it to a member or queued it for a slow one.",
        );
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_manual_names_every_metric() {
        let manual = include_str!("../../man/wsplice.1.in");
        let Page(text) = Metrics::default().render(0, 0, 0);
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE wsplice_")) {
            let name = name.split(' ').next().unwrap_or_default();
            let is_named = manual.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
            assert!(is_named, "the manual lacks {name}");
        }
    }

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.deliveries.observe(3, Duration::from_micros(50));
        metrics.deliveries.observe(2, Duration::from_millis(7));
        metrics.deliveries.observe(1, Duration::from_secs(9));
        let Page(text) = metrics.render(1, 0, 0);
        for line in ["_bucket{le=\"0.0001\"} 3", "_bucket{le=\"0.01\"} 5", "_bucket{le=\"+Inf\"} 6", "_count 6"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
