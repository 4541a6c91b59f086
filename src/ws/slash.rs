//! Lines that stand for control frames, as in wscat: of `--slash` and of the prompt of `term:`.

use crate::{
    flow::ControlFrame,
    message::{Close, MAX_CONTROL_PAYLOAD},
};
use bytes::Bytes;

/// The control frame that a line asks for: `/ping [TEXT]`, `/pong [TEXT]` or `/close [CODE [REASON]]`. `close` is sent without a
/// code. `None` if the line is none of these.
///
/// # Errors
/// What is wrong with what follows the command.
pub fn parse(line: &str, close: &Close) -> Option<Result<ControlFrame, String>> {
    let line = line.strip_prefix('/')?.trim_end();
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let payload = || match rest.len() {
        0..=MAX_CONTROL_PAYLOAD => Ok(Bytes::copy_from_slice(rest.as_bytes())),
        length => Err(format!("the text is {length} bytes long; the maximum is {MAX_CONTROL_PAYLOAD}")),
    };
    Some(match name {
        "ping" => payload().map(ControlFrame::Ping),
        "pong" => payload().map(ControlFrame::Pong),
        "close" if rest.is_empty() => Ok(ControlFrame::Close(close.clone())),
        "close" => Close::parse(rest).map(ControlFrame::Close),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_commands_are_control_frames() {
        let close = Close::new(1000, "");
        let parse = |text: &str| parse(text, &close);
        assert_eq!(parse("/ping"), Some(Ok(ControlFrame::Ping(Bytes::new()))));
        assert_eq!(parse("/pong a b"), Some(Ok(ControlFrame::Pong(Bytes::from_static(b"a b")))));
        assert_eq!(parse("/close"), Some(Ok(ControlFrame::Close(close.clone()))));
        assert_eq!(parse("/close 4000 good bye"), Some(Ok(ControlFrame::Close(Close::new(4000, "good bye")))));
        for text in ["ping", "/", "/pingx", "//ping"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let long = "x".repeat(126);
        for text in
            ["/close x", "/close 1005", "/close 99999", &format!("/ping {long}"), &format!("/close 1000 {long}")]
        {
            assert!(matches!(parse(text), Some(Err(_))), "{text}");
        }
    }
}
