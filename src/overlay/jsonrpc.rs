//! `jsonrpc:`: typed words as JSON-RPC requests.

use super::convert::{Convert, converting};
use crate::{
    endpoint::{Build, Entry, Layer, Overlay, OverlayRow, Transform},
    error::Error,
    flow::MessageEnd,
    message::{Kind, Message},
};
use serde_json::Value;
use std::sync::Arc;

pub(super) static JSONRPC: Entry = Entry {
    names: &["jsonrpc"],
    arg: None,
    summary: "Turn words into JSON-RPC requests",
    details: "Each message that is read from the address behind the overlay becomes a JSON-RPC 2.0 request. The first \
              word is the method; the rest are its parameters, in [] unless it is an array or an object: `add 1,2` \
              becomes {\"jsonrpc\":\"2.0\",\"id\":1, \"method\":\"add\", \"params\":[1,2]}. Parameters that are not JSON \
              are sent as one string. The id starts at 1. Empty messages are dropped; one of more than 64 KiB is an error.",
    example: "jsonrpc:- ws://127.0.0.1:8080/",
    flags: &[&["jsonrpc-omit-jsonrpc"]],
    build: Build::Overlay(
        OverlayRow::new(|_, config| Ok(Overlay::Around(Layer::OnMessages(jsonrpc(config.messages.jsonrpc_version).1))))
            .per_message(),
    ),
};

/// The name of the overlay, and the overlay. `names_version`: requests have the field `jsonrpc`.
pub fn jsonrpc(names_version: bool) -> (&'static str, Box<dyn Transform<MessageEnd, MessageEnd>>) {
    (JSONRPC.name(), converting(move |name| JsonRpc { names_version, last_id: 0, name: name.clone() }))
}

struct JsonRpc {
    names_version: bool,
    last_id: u64,
    name: Arc<str>,
}

/// The longest message that is converted, in bytes. The words are typed by hand; a request can be six times as long.
const LONGEST: usize = 64 * 1024;

impl Convert for JsonRpc {
    fn received(&mut self, message: Message) -> Result<Option<Message>, Error> {
        if message.payload.len() > LONGEST {
            return Err(Error::Input {
                what: "a message".into(),
                from: self.name.to_string(),
                reason: format!("is longer than {LONGEST} bytes, the most that jsonrpc: takes"),
                hint: "send longer requests as JSON, without jsonrpc:",
            });
        }
        let text = String::from_utf8_lossy(&message.payload);
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        self.last_id += 1;
        let (method, parameters) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
        let version = if self.names_version { r#""jsonrpc":"2.0","# } else { "" };
        let (id, method, parameters) = (self.last_id, quoted(method), parameters_of(parameters.trim_ascii_start()));
        let request = format!(r#"{{{version}"id":{id}, "method":{method}, "params":{parameters}}}"#);
        Ok(Some(Message { kind: Kind::Text, payload: request.into() }))
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The array or object of the parameters.
fn parameters_of(text: &str) -> String {
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    if text.starts_with(['{', '[']) && is_json(text) {
        return text.to_owned();
    }
    let list = format!("[{text}]");
    if is_json(&list) { list } else { format!("[{}]", quoted(text)) }
}
