//! The start of the body of a response, for errors.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// How much of a body is shown, in bytes.
const MAX_SHOWN: usize = 4 << 10;
/// How much of that is shown in one line, in bytes.
const MAX_IN_LINE: usize = 300;
/// Maximum wait for it.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The start of the body, with a remark if there is more.
pub async fn body_start(mut body: Incoming) -> String {
    let mut start = Vec::new();
    let _ = timeout(MAX_WAIT, async {
        while start.len() <= MAX_SHOWN {
            match body.frame().await {
                Some(Ok(frame)) => start.extend(frame.into_data().unwrap_or_default()),
                _ => break,
            }
        }
    })
    .await;
    let is_cut = start.len() > MAX_SHOWN;
    start.truncate(MAX_SHOWN);
    let mut text = String::from_utf8_lossy(&start).into_owned();
    if is_cut {
        text.push_str("\n\u{2026} only the first 4 KiB are shown");
    }
    text
}

/// The start of a text, in one line.
pub fn in_one_line(text: &str) -> String {
    let end = (0..=MAX_IN_LINE.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let line = text.get(..end).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    if end < text.len() { line + " \u{2026}" } else { line }
}
