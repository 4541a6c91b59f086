//! What the room server counts, in Prometheus's text format.
//!
//! Not by prometheus-client 0.26: its histogram takes a lock for each delivery, 206 ns for a batch to 10 members where this
//! takes 9; and its gauge `connections` and counter `connections_total` are one name, which promtool refuses (90 KiB, too).

use crate::{memory, metrics::Page};
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper bounds of the delivery histogram, in seconds: a local write takes some microseconds, a member that is a
/// second behind is slow.
const BOUNDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];

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
    /// Messages that slow members missed.
    pub dropped: AtomicU64,
    /// Members that were closed for being slow.
    pub slow: AtomicU64,
    /// Members that were closed to free memory.
    pub out_of_memory: AtomicU64,
    delivered: [AtomicU64; BOUNDS.len() + 1],
    delivery_nanos: AtomicU64,
}

impl Metrics {
    /// So many deliveries took so long, from the end of their reading to the end of their writing.
    pub fn observe(&self, deliveries: u64, took: Duration) {
        let at = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.delivered.get(at) {
            bucket.fetch_add(deliveries, Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.delivery_nanos.fetch_add(nanos.saturating_mul(deliveries), Relaxed);
    }

    /// The text format, version 0.0.4.
    pub fn render(&self, rooms: usize, backlog: usize) -> String {
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
        page.add("backlog_bytes", "gauge", "Bytes that wait for slow members.", backlog as u64);
        let Page(mut text) = page;
        let name = "wsplice_delivery_duration_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} Time from reading a message to having written it to a member or queued it for a slow one."
        );
        let _ = writeln!(text, "# TYPE {name} histogram");
        let mut below = 0;
        for (count, bound) in self.delivered.iter().zip(BOUNDS) {
            below += get(count);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        below += self.delivered.last().map_or(0, get);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {below}");
        let _ = writeln!(text, "{name}_sum {}", get(&self.delivery_nanos) as f64 / 1e9);
        let _ = writeln!(text, "{name}_count {below}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_metric() {
        let manual = include_str!("../../man/wsplice.1.in");
        let text = Metrics::default().render(0, 0);
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE wsplice_")) {
            let name = name.split(' ').next().unwrap_or_default();
            let is_named = manual.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
            assert!(is_named, "the manual lacks {name}");
        }
    }

    #[test]
    fn buckets_add_up() {
        let metrics = Metrics::default();
        metrics.observe(3, Duration::from_micros(50));
        metrics.observe(2, Duration::from_millis(7));
        metrics.observe(1, Duration::from_secs(9));
        let text = metrics.render(1, 0);
        for line in ["_bucket{le=\"0.0001\"} 3", "_bucket{le=\"0.01\"} 5", "_bucket{le=\"+Inf\"} 6", "_count 6"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
