//! A frame as a line: `{"t":1764115269.123456,"dir":"received","kind":"text","len":5,"data":"hello"}`.

use crate::{
    flow::{ControlFrame, Transfer},
    message::{Close, Kind, Message},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;
use std::{
    io::Write,
    time::{Duration, SystemTime},
};

/// What passes in a session.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A message.
    Message(&'a Message),
    /// A ping, a pong or a close frame.
    Control(&'a ControlFrame),
}

/// A frame that was read.
#[derive(Debug, PartialEq)]
pub struct Frame {
    /// The time since 1970; `None`: with the one before it.
    pub at: Option<Duration>,
    /// The number of its session, if there may be several.
    pub session: Option<u64>,
    /// Which way it went.
    pub transfer: Transfer,
    /// A message or a close frame; `None`: a ping or a pong.
    pub content: Option<Result<Message, Close>>,
}

/// Appends the line of a frame, without a newline. `session` is the number of its session, if there may be several.
pub fn append_line(line: &mut Vec<u8>, at: SystemTime, session: Option<u64>, transfer: Transfer, seen: Seen<'_>) {
    let (kind, payload, close) = match seen {
        Seen::Message(Message { kind: Kind::Text, payload }) => ("text", payload.clone(), None),
        Seen::Message(Message { kind: Kind::Binary, payload }) => ("binary", payload.clone(), None),
        Seen::Control(ControlFrame::Ping(payload)) => ("ping", payload.clone(), None),
        Seen::Control(ControlFrame::Pong(payload)) => ("pong", payload.clone(), None),
        Seen::Control(ControlFrame::Close(close)) => ("close", Bytes::from(close.payload()), Some(close)),
    };
    // A clock that is set before 1970 shows as 0.
    let time = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let direction = match transfer {
        Transfer::Sent => "sent",
        Transfer::Received => "received",
    };
    // Writing to a vector does not fail.
    let _ = write!(line, "{{\"t\":{}.{:06}", time.as_secs(), time.subsec_micros());
    if let Some(session) = session {
        let _ = write!(line, ",\"session\":{session}");
    }
    let _ = write!(line, ",\"dir\":\"{direction}\",\"kind\":\"{kind}\",\"len\":{}", payload.len());
    match (close, std::str::from_utf8(&payload)) {
        (Some(close), _) => {
            let _ = write!(line, ",\"code\":{},\"reason\":", close.code);
            push_string(line, &close.reason);
        }
        (None, Ok(text)) if kind != "binary" => {
            line.extend_from_slice(b",\"data\":");
            push_string(line, text);
        }
        (None, _) => {
            line.extend_from_slice(b",\"base64\":\"");
            line.extend_from_slice(STANDARD.encode(&payload).as_bytes());
            line.push(b'"');
        }
    }
    line.push(b'}');
}

fn push_string(line: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(line, text);
}

impl Frame {
    /// Parses a line.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        // Behind the newline, an error would be in a line that is none.
        let value: Value = serde_json::from_slice(line.trim_ascii_end()).map_err(|error| {
            let text = error.to_string();
            // The caller knows which line it is.
            let reason = text.split(" at line ").next().unwrap_or_default();
            format!("is not JSON: {reason}, at column {}", error.column())
        })?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let transfer = match text("dir") {
            Some("sent") => Transfer::Sent,
            Some("received") => Transfer::Received,
            _ => return Err("has no \"dir\" that is \"sent\" or \"received\"".into()),
        };
        let payload = || match (text("data"), text("base64")) {
            (Some(data), _) => Ok(Bytes::copy_from_slice(data.as_bytes())),
            (None, Some(encoded)) => {
                STANDARD.decode(encoded).map(Bytes::from).map_err(|error| format!("has invalid base64: {error}"))
            }
            (None, None) => Err("has neither \"data\" nor \"base64\"".to_owned()),
        };
        let content = match text("kind") {
            Some("text") => {
                let payload = payload()?;
                if std::str::from_utf8(&payload).is_err() {
                    return Err("is a text message that is not UTF-8".into());
                }
                Some(Ok(Message { kind: Kind::Text, payload }))
            }
            Some("binary") => Some(Ok(Message { kind: Kind::Binary, payload: payload()? })),
            Some("close") => Some(Err(close(&value)?)),
            Some("ping" | "pong") => None,
            _ => return Err("has no \"kind\" that is text, binary, ping, pong or close".into()),
        };
        let at = match value.get("t") {
            None | Some(Value::Null) => None,
            Some(at) => Some(time(at.as_f64().ok_or_else(|| format!("has no valid time: {at}"))?)?),
        };
        Ok(Self { at, session: value.get("session").and_then(Value::as_u64), transfer, content })
    }
}

fn close(value: &Value) -> Result<Close, String> {
    let code = value.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let reason = Close::parse_reason(value.get("reason").and_then(Value::as_str).unwrap_or_default())?;
    let close = Close { code: code.unwrap_or(Close::NO_STATUS), reason };
    if close.code == Close::NO_STATUS || close.may_be_sent() {
        Ok(close)
    } else {
        Err(format!("has a close code that cannot be sent: {}", close.code))
    }
}

/// A time in seconds since 1970.
pub(super) fn time(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("has no valid time: {seconds}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(transfer: Transfer, seen: Seen<'_>) -> Frame {
        let mut line = Vec::new();
        append_line(&mut line, SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000), Some(7), transfer, seen);
        assert!(!line.contains(&b'\n'));
        Frame::parse(&line).expect("a line of ours")
    }

    #[test]
    fn a_line_says_what_a_frame_is() {
        let mut line = Vec::new();
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(12_000_345);
        let message = Message { kind: Kind::Text, payload: "\"h\u{e9}\n\0".into() };
        append_line(&mut line, at, None, Transfer::Received, Seen::Message(&message));
        let text = String::from_utf8(line).expect("UTF-8");
        assert_eq!(text, r#"{"t":12.000345,"dir":"received","kind":"text","len":6,"data":"\"hé\n\u0000"}"#);
    }

    #[test]
    fn control_frames_are_lines_too() {
        let close = ControlFrame::Close(Close::new(4000, "\"bye\""));
        let frame = round_trip(Transfer::Sent, Seen::Control(&close));
        assert_eq!(frame.content, Some(Err(Close::new(4000, "\"bye\""))));
        let none = ControlFrame::Close(Close::new(Close::NO_STATUS, ""));
        let frame = round_trip(Transfer::Sent, Seen::Control(&none));
        assert_eq!(frame.content, Some(Err(Close::new(Close::NO_STATUS, ""))));
        let ping = ControlFrame::Ping(Bytes::from_static(b"\xff"));
        assert_eq!(round_trip(Transfer::Received, Seen::Control(&ping)).content, None);
    }

    #[test]
    fn what_is_no_frame_is_told() {
        for (line, reason) in [
            ("", "not JSON"),
            ("{\"t\":1,\"dir\":\"se", "not JSON"),
            ("[]", "\"dir\""),
            (r#"{"dir":"sent","kind":"x"}"#, "\"kind\""),
            (r#"{"dir":"sent","kind":"text"}"#, "neither"),
            (r#"{"dir":"sent","kind":"text","base64":"/w=="}"#, "not UTF-8"),
            (r#"{"dir":"sent","kind":"binary","base64":"!"}"#, "base64"),
            (r#"{"dir":"sent","kind":"text","data":"","t":-1}"#, "time"),
            (r#"{"dir":"sent","kind":"text","data":"","t":1e300}"#, "time"),
            (r#"{"dir":"sent","kind":"close","code":1006}"#, "close code"),
        ] {
            let error = Frame::parse(line.as_bytes()).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_message_is_the_same_after_it_was_written_and_read(bytes: Vec<u8>, text: String, sent: bool) {
            let transfer = if sent { Transfer::Sent } else { Transfer::Received };
            let messages = [
                Message { kind: Kind::Binary, payload: bytes.into() },
                Message { kind: Kind::Text, payload: text.into() },
            ];
            for message in messages {
                let frame = round_trip(transfer, Seen::Message(&message));
                let at = Some(Duration::from_micros(1_500_000));
                prop_assert_eq!(frame, Frame { at, session: Some(7), transfer, content: Some(Ok(message)) });
            }
        }
    }
}
