//! HAR, as browsers save their network panel. Chrome, Edge and Firefox add the messages of WebSockets to it: `_webSocketMessages` of
//! the request.

use super::frame::{Frame, time};
use crate::{
    flow::Transfer,
    message::{Kind, Message},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The messages of a WebSocket.
pub struct Panel {
    /// Those before the first one that is not valid.
    pub frames: Vec<Frame>,
    /// What is wrong with that one.
    pub broken: Option<String>,
    /// The number of other WebSockets.
    pub others: usize,
}

/// The first WebSocket. `None` if this is not HAR.
///
/// # Errors
/// There is no WebSocket in it.
pub fn panel(text: &[u8]) -> Option<Result<Panel, String>> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let entries = value.get("log")?.get("entries")?.as_array()?;
    let mut sockets = entries
        .iter()
        .filter_map(|entry| entry.get("_webSocketMessages")?.as_array())
        .filter(|messages| !messages.is_empty());
    let Some(messages) = sockets.next() else {
        return Some(Err("holds no messages of a WebSocket (_webSocketMessages)".into()));
    };
    let mut panel = Panel { frames: Vec::with_capacity(messages.len()), broken: None, others: sockets.count() };
    for (at, message) in messages.iter().enumerate() {
        match frame(message) {
            Ok(frame) => panel.frames.push(frame),
            Err(reason) => {
                panel.broken = Some(format!("has a message, number {}, that {reason}", at + 1));
                break;
            }
        }
    }
    Some(Ok(panel))
}

fn frame(message: &Value) -> Result<Frame, String> {
    let text = |name: &str| message.get(name).and_then(Value::as_str);
    let (transfer, opcode) = match text("type") {
        Some("send") => (Transfer::Sent, message.get("opcode")),
        Some("receive") => (Transfer::Received, message.get("opcode")),
        // What Chrome adds when the connection fails.
        Some("error") => (Transfer::Received, None),
        _ => return Err("has no \"type\" that is send, receive or error".into()),
    };
    let data = text("data").unwrap_or_default();
    let content = match opcode.and_then(Value::as_u64) {
        Some(1) => Some(Ok(Message { kind: Kind::Text, payload: data.to_owned().into() })),
        Some(2) => {
            let payload = STANDARD.decode(data).map_err(|error| format!("has invalid base64: {error}"))?;
            Some(Ok(Message { kind: Kind::Binary, payload: payload.into() }))
        }
        // Control frames have nothing to play.
        _ => None,
    };
    let at = message.get("time").and_then(Value::as_f64).map(time).transpose()?;
    Ok(Frame { at, session: None, transfer, content })
}
