//! The start of the body of a response, for errors.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// How much of a body is shown, in bytes.
const MAX_SHOWN: usize = 300;
/// Maximum wait for it.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The start of the body, in one line.
pub async fn body_start(mut body: Incoming) -> String {
    let mut start = Vec::new();
    let _ = timeout(MAX_WAIT, async {
        while start.len() < MAX_SHOWN {
            match body.frame().await {
                Some(Ok(frame)) => start.extend(frame.into_data().unwrap_or_default()),
                _ => break,
            }
        }
    })
    .await;
    start.truncate(MAX_SHOWN);
    String::from_utf8_lossy(&start).split_whitespace().collect::<Vec<_>>().join(" ")
}
