//! `base64:`: binary data over an end that carries text.

use super::convert::{Convert, converting};
use crate::{
    endpoint::{Build, Entry, Layer, Overlay, OverlayRow},
    error::Error,
    message::{Kind, Message},
    payload::{decode_base64, encode_base64},
};
use std::sync::Arc;

pub(super) static BASE64: Entry = Entry {
    names: &["base64"],
    arg: None,
    summary: "Encode messages in base64",
    details: "Each message that is read from the address behind the overlay becomes a text message in base64, in one \
              line. Each message for that address must be base64, and is decoded to a binary message. --base64 does \
              the same for the binary messages of WebSockets.",
    example: "- base64:ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Overlay(
        OverlayRow::new(|_, _| Ok(Overlay::Around(Layer::OnMessages(converting(|name| Base64(name.clone()))))))
            .per_message(),
    ),
};

struct Base64(Arc<str>);

impl Convert for Base64 {
    fn received(&mut self, message: Message) -> Result<Option<Message>, Error> {
        Ok(Some(Message { kind: Kind::Text, payload: encode_base64(&message.payload) }))
    }

    fn sent(&mut self, message: Message) -> Result<Message, Error> {
        Ok(Message { kind: Kind::Binary, payload: decode_base64(&message, &self.0)? })
    }
}
