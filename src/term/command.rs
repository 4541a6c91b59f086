//! Lines that begin with a slash.

use crate::{
    flow::ControlFrame,
    message::{Close, Kind, Message},
    recording::Recorder,
    ws::slash,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use std::{fmt::Write, fs, io::Read};

/// What `/help` shows, and what Tab completes.
pub const COMMANDS: &[(&str, &str)] = &[
    ("/help", "this list"),
    ("/ping [TEXT]", "ping the peer and show how long the pong takes"),
    ("/pong [TEXT]", "send a pong"),
    ("/close [CODE [REASON]]", "close the connection"),
    ("/text @FILE", "send a file as a text message"),
    ("/bin HEX|@FILE", "send bytes as a binary message"),
    ("/send @FILE", "send a file, as text if it is UTF-8"),
    ("/last", "show the last message that was received, whole"),
    ("/find TEXT", "show the messages that contain TEXT"),
    #[cfg(feature = "jq")]
    ("/filter [JQ]", "show what a program makes of messages, or show all"),
    ("/record [FILE]", "write what passes to a file for replay:, or stop"),
    ("/stats", "show totals, rates and ping round trips"),
    ("/headers", "show the opening handshake"),
    ("/reconnect", "open the connection anew, without a pause"),
    ("/quit", "close the connection and exit"),
];

/// A line that is not a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// A message.
    Send(Message),
    /// A control frame.
    Control(ControlFrame),
    /// The last message, whole.
    Last,
    /// The messages that contain this.
    Find(String),
    /// Totals.
    Stats,
    /// Show what this program makes of the messages; `None`: show all.
    #[cfg(feature = "jq")]
    Filter(Option<String>),
    /// Write what passes to this file; `None`: to none.
    Record(Option<String>),
    /// The opening handshake.
    Headers,
    /// Another connection.
    Reconnect,
    /// The list of commands.
    Help,
    /// The end.
    Quit,
}

/// What the session is asked for.
pub enum Request {
    /// To send a message.
    Message(Message),
    /// To send a control frame at once. A close frame ends the session.
    Control(ControlFrame),
    /// To record what passes from now on, or no longer. It is asked for like a message, so that it concerns those that are typed behind it.
    Record(Option<Recorder>),
    /// To end as after the end of standard input.
    End,
}

impl Request {
    /// What it takes while it waits, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.payload.len(),
            Self::Control(_) | Self::Record(_) | Self::End => 0,
        }
    }
}

/// What a line means. `kind` is that of a message that is typed, `longest` the length of the longest message, in bytes, and `close`
/// what `/close` sends without a code.
///
/// # Errors
/// What is wrong with the line, and what to type instead.
pub fn parse(line: String, kind: Kind, longest: usize, close: &Close) -> Result<Command, String> {
    let Some(rest) = line.strip_prefix('/') else { return Ok(message(kind, line)) };
    if rest.starts_with('/') {
        return Ok(message(kind, rest.to_owned()));
    }
    if let Some(frame) = slash::parse(&line, close) {
        return frame.map(Command::Control);
    }
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let argument = argument.trim();
    let nothing = |command| match argument {
        "" => Ok(command),
        _ => Err(format!("/{name} takes nothing after it")),
    };
    match name {
        "help" => nothing(Command::Help),
        "last" => nothing(Command::Last),
        "stats" => nothing(Command::Stats),
        #[cfg(feature = "jq")]
        "filter" => Ok(Command::Filter(Some(argument.to_owned()).filter(|program| !program.is_empty()))),
        "record" => Ok(Command::Record(Some(argument.to_owned()).filter(|path| !path.is_empty()))),
        "headers" => nothing(Command::Headers),
        "reconnect" => nothing(Command::Reconnect),
        "quit" | "exit" => nothing(Command::Quit),
        "find" if argument.is_empty() => Err("/find TEXT: the text is missing".into()),
        "find" => Ok(Command::Find(argument.to_owned())),
        "bin" if argument.is_empty() => Err("the bytes are missing: /bin 01 02 ff, or /bin @FILE".into()),
        "bin" => {
            let bytes = if argument.starts_with('@') { read(argument, longest)? } else { hex(argument)? };
            Ok(Command::Send(Message { kind: Kind::Binary, payload: bytes.into() }))
        }
        "text" | "send" => {
            let bytes = read(argument, longest)?;
            let is_text = std::str::from_utf8(&bytes).is_ok();
            if name == "text" && !is_text {
                return Err(format!("{argument} is not UTF-8, which a text message must be; /bin sends it"));
            }
            let kind = if is_text { Kind::Text } else { Kind::Binary };
            Ok(Command::Send(Message { kind, payload: bytes.into() }))
        }
        _ => Err(format!("/{name} is not a command and was not sent; /help lists them, //{rest} sends it")),
    }
}

fn message(kind: Kind, text: String) -> Command {
    Command::Send(Message { kind, payload: Bytes::from(text) })
}

/// Reads `@FILE`.
fn read(argument: &str, longest: usize) -> Result<Vec<u8>, String> {
    let Some(path) = argument.strip_prefix('@').filter(|path| !path.is_empty()) else {
        return Err("a file is missing: @FILE".into());
    };
    let mut bytes = Vec::new();
    let is_regular = fs::metadata(path).map(|metadata| metadata.is_file());
    let read = match is_regular {
        // A pipe or a device may hold up the keys for ever.
        Ok(false) => return Err(format!("{path} is not a regular file")),
        Ok(true) => fs::File::open(path).and_then(|file| file.take(longest as u64 + 1).read_to_end(&mut bytes)),
        Err(error) => Err(error),
    };
    match read {
        Err(error) => Err(format!("cannot read {path}: {}", crate::error::io_message(&error))),
        Ok(_) if bytes.len() > longest => Err(format!("{path} is longer than {longest} bytes")),
        Ok(_) => Ok(bytes),
    }
}

/// Bytes in hexadecimal, with spaces between them or without; or in base64 behind `base64:`.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    if let Some(encoded) = text.strip_prefix("base64:") {
        return BASE64_STANDARD.decode(encoded.trim()).map_err(|error| format!("not base64: {error}"));
    }
    let digits: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some((high.to_digit(16)? * 16 + low.to_digit(16)?) as u8),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| "not hexadecimal: /bin 01 02 ff, or /bin @FILE".into())
}

/// The list of commands.
pub fn help() -> String {
    let mut text = String::new();
    for (command, meaning) in COMMANDS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {command:<24} {meaning}");
    }
    text + "  //TEXT                   send /TEXT\n  \
            Alt-Enter                begin a new line in a message\n  \
            Ctrl-R                   search what was typed\n  \
            Ctrl-D                   end, as at the end of a file\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.to_owned(), Kind::Text, 1000, &Close::new(1000, ""))
    }

    #[test]
    fn lines_are_messages_unless_they_begin_with_one_slash() {
        let text = |text: &str| Ok(message(Kind::Text, text.into()));
        assert_eq!(parsed("hello"), text("hello"));
        assert_eq!(parsed("//path"), text("/path"));
        assert_eq!(parsed(""), text(""));
        assert_eq!(
            parsed("/close 4000 good bye"),
            Ok(Command::Control(ControlFrame::Close(Close::new(4000, "good bye"))))
        );
        let bytes = Bytes::from_static(&[0, 255, 16]);
        for line in ["/bin 00 ff 10", "/bin 00FF10", "/bin base64:AP8Q"] {
            assert_eq!(parsed(line), Ok(Command::Send(Message { kind: Kind::Binary, payload: bytes.clone() })));
        }
    }

    #[test]
    fn help_fits_into_80_columns() {
        assert!(help().lines().all(|line| line.len() < 80), "{}", help());
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (line, told) in [
            ("/pign", "/pign is not a command"),
            ("/", "/ is not a command"),
            ("/close 1005", "1005 is not a close code"),
            ("/close x", "x is not a close code"),
            (&format!("/close 1000 {}", "x".repeat(124)), "the maximum is 123"),
            ("/bin", "the bytes are missing"),
            ("/bin 0", "not hexadecimal"),
            ("/bin base64:?", "not base64"),
            ("/text", "a file is missing"),
            ("/send @/nonexistent", "cannot read /nonexistent"),
            ("/send @/dev/zero", "not a regular file"),
            (&format!("/pong {}", "x".repeat(126)), "the maximum is 125"),
            ("/stats x", "takes nothing"),
            ("/headers x", "takes nothing"),
            ("/find", "text is missing"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(told), "{error}");
        }
    }
}
