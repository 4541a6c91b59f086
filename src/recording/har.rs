//! HAR, as browsers save their network panel. Chrome, Edge and Firefox add the messages of WebSockets to it: `_webSocketMessages` of
//! the request.

use super::frame::{Frame, time};
use crate::{
    flow::Transfer,
    message::{Kind, Message},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The messages of the first WebSocket, and how many others there are. `None` if this is not HAR.
///
/// # Errors
/// There is no WebSocket in it, or a message that is not valid.
pub fn frames(text: &[u8]) -> Option<Result<(Vec<Frame>, usize), String>> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let entries = value.get("log")?.get("entries")?.as_array()?;
    let mut sockets = entries
        .iter()
        .filter_map(|entry| entry.get("_webSocketMessages")?.as_array())
        .filter(|messages| !messages.is_empty());
    let Some(messages) = sockets.next() else {
        return Some(Err("holds no messages of a WebSocket (_webSocketMessages)".into()));
    };
    let others = sockets.count();
    let frames = messages.iter().enumerate().map(|(at, message)| {
        frame(message).map_err(|reason| format!("has a message, number {}, that {reason}", at + 1))
    });
    Some(frames.collect::<Result<_, _>>().map(|frames| (frames, others)))
}

fn frame(message: &Value) -> Result<Frame, String> {
    let text = |name: &str| message.get(name).and_then(Value::as_str);
    let transfer = match text("type") {
        Some("send") => Transfer::Sent,
        Some("receive") => Transfer::Received,
        _ => return Err("has no \"type\" that is send or receive".into()),
    };
    let data = text("data").unwrap_or_default();
    let content = match message.get("opcode").and_then(Value::as_u64) {
        Some(1) => Some(Ok(Message { kind: Kind::Text, payload: data.to_owned().into() })),
        Some(2) => {
            let payload = STANDARD.decode(data).map_err(|error| format!("has invalid base64: {error}"))?;
            Some(Ok(Message { kind: Kind::Binary, payload: payload.into() }))
        }
        // Chrome marks an error with -1. Control frames have nothing to play.
        _ => None,
    };
    Ok(Frame { at: message.get("time").and_then(Value::as_f64).map(time).transpose()?, transfer, content })
}
