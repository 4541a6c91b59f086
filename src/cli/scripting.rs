//! Options for scripts: what is sent, expected, printed and recorded.

#[cfg(feature = "jq")]
use crate::filter::Program;
use crate::{
    config::{ExpectOptions, Expectation, ReplayOptions, ScriptingOptions},
    error::{Error, io_message},
    filter::Pattern,
    flow::Transfer,
    message::{Kind, Message},
};
use clap::Args;
use smart_default::SmartDefault;
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Scripting.
#[derive(Args, Debug, SmartDefault)]
#[command(next_help_heading = "Scripting")]
pub struct ScriptingArgs {
    /// Send MSG to ADDR2 before the input; @FILE sends the content of a file as one message, binary with -b or if it is not UTF-8, and
    /// @@MSG sends @MSG. May be repeated
    #[arg(long, value_name = "MSG|@FILE", allow_hyphen_values = true)]
    pub send: Vec<String>,
    /// Read one JSON value a message from standard input, however many lines it has (exit 1 if it is not JSON)
    #[arg(long)]
    pub json_in: bool,
    /// Print each message that is sent or received as a JSON line with its time, direction, kind and length; with --show-ping-pong
    /// control frames, too
    #[arg(long)]
    pub jsonl: bool,
    /// Wait for a message from ADDR2 that matches a regular expression, print only that, and end; exit 9 if none comes within
    /// --within after the last message was sent. May be repeated: each must match a message
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, conflicts_with_all = EXPECT_CONFLICTS)]
    pub expect: Vec<String>,
    /// The same with a program in the language of jq, which matches if a result is neither false nor null
    #[cfg(feature = "jq")]
    #[arg(long, value_name = "JQ", allow_hyphen_values = true, conflicts_with_all = EXPECT_CONFLICTS)]
    pub expect_json: Vec<String>,
    /// In place of each message from ADDR2, print the results of a program in the language of jq, such as 'select(.id == 7)'. Messages
    /// that are not JSON are left out; one that takes the program more than a second or 1 GiB of memory ends the session (exit 1).
    /// jq's functions for dates, mathematics, formats such as @csv, and regular expressions except test are missing
    #[cfg(feature = "jq")]
    #[arg(long, value_name = "JQ", allow_hyphen_values = true)]
    pub filter_json: Option<String>,
    /// At the end of a session, print its messages, bytes and rates, and the round trips of its pings, to standard error
    #[arg(long)]
    pub stats: bool,
    /// Record the session to FILE, replacing its content: a JSON line for each frame, as --jsonl prints them, control frames too. Those of
    /// a listener have the number of the client's session ("session"). FILE may be a FIFO that is read, but not one to which another run
    /// records (exit 2). If it cannot be written any more, a warning says so and the session goes on
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Play replay: at a multiple of its speed, such as 2x or 0.5x, or without pauses (max)
    #[arg(long, value_name = "SPEED", value_parser = speed, default_value = "1x")]
    #[default(Speed(Some(1.0)))]
    pub replay_speed: Speed,
    /// Play what was sent, or what was received. Default: sent, or to clients of a WebSocket listener received
    #[arg(long, value_name = "DIRECTION", value_parser = ["sent", "received"])]
    pub replay_dir: Option<String>,
}

/// Options with which a session ends for another reason than what is expected.
const EXPECT_CONFLICTS: [&str; 5] = ["one_message", "replies", "no_close", "exit_on_eof", "forward_only"];

/// The value of `--replay-speed`.
#[derive(Clone, Copy, Debug)]
pub struct Speed(Option<f64>);

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed(None));
    }
    let number = text.strip_suffix('x').unwrap_or(text).parse().ok();
    let number = number.filter(|number: &f64| (0.001..=1_000_000.0).contains(number));
    number.map(|number| Speed(Some(number))).ok_or_else(|| "expected a multiple such as 2x or 0.5x, or max".into())
}

impl ScriptingArgs {
    /// Whether a message must come.
    pub fn expects(&self) -> bool {
        #[cfg(feature = "jq")]
        let has_programs = !self.expect_json.is_empty();
        #[cfg(not(feature = "jq"))]
        let has_programs = false;
        has_programs || !self.expect.is_empty()
    }

    /// Whether the prompt of a terminal would be in the way.
    pub fn is_scripted(&self) -> bool {
        self.jsonl || self.json_in || self.expects()
    }

    /// What the options mean. `kind` is that of `-t` or `-b`; no message is longer than `max_length`.
    ///
    /// # Errors
    /// An expression or a program is not valid, or a file cannot be read.
    pub fn options(
        self,
        kind: Option<Kind>,
        within: Option<Duration>,
        max_length: usize,
    ) -> Result<ScriptingOptions, Error> {
        let is_output = |path: &PathBuf| {
            ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].map(Path::new).contains(&path.as_path())
        };
        if self.record.as_ref().is_some_and(is_output) {
            return Err(Error::usage_hint(
                "--record needs the name of a file",
                "--jsonl prints these lines to standard output; ./- is a file with that name".to_owned(),
            ));
        }
        let matches = self.expect.iter().map(|text| {
            Pattern::parse(text).map(Expectation::Matches).map_err(|malformed| malformed.into_error("--expect"))
        });
        #[cfg(feature = "jq")]
        let matches = matches.chain(self.expect_json.iter().map(|text| {
            let program = Program::parse(text).map(Arc::new);
            program.map(Expectation::Json).map_err(|malformed| malformed.into_error("--expect-json"))
        }));
        let expectations: Arc<[_]> = matches.collect::<Result<_, Error>>()?;
        #[cfg(feature = "jq")]
        let filter = match &self.filter_json {
            Some(text) => {
                Some(Arc::new(Program::parse(text).map_err(|malformed| malformed.into_error("--filter-json"))?))
            }
            None => None,
        };
        Ok(ScriptingOptions {
            first: self.send.iter().map(|text| message(text, kind, max_length)).collect::<Result<_, _>>()?,
            json_lines: self.jsonl,
            stats: self.stats,
            record: self.record,
            expect: (!expectations.is_empty()).then_some(ExpectOptions { expectations, within }),
            #[cfg(feature = "jq")]
            filter,
            replay: ReplayOptions {
                speed: self.replay_speed.0,
                direction: self.replay_dir.map(|direction| match &*direction {
                    "sent" => Transfer::Sent,
                    _ => Transfer::Received,
                }),
            },
        })
    }
}

/// A message of `--send`.
fn message(text: &str, kind: Option<Kind>, max_length: usize) -> Result<Message, Error> {
    let Some(path) = text.strip_prefix('@') else {
        return Ok(Message { kind: kind.unwrap_or(Kind::Text), payload: text.to_owned().into() });
    };
    if path.starts_with('@') {
        return message_of(path.as_bytes().to_vec(), kind, path);
    }
    let failed = |error: std::io::Error| Error::usage(format!("cannot read {path} of --send: {}", io_message(&error)));
    let mut payload = Vec::new();
    let limit = (max_length as u64).saturating_add(1);
    File::open(path).map_err(failed)?.take(limit).read_to_end(&mut payload).map_err(failed)?;
    if payload.len() > max_length {
        return Err(Error::usage_hint(
            format!("{path} of --send is longer than {max_length} bytes"),
            "--max-ws-message-length BYTES allows longer ones",
        ));
    }
    message_of(payload, kind, path)
}

fn message_of(payload: Vec<u8>, kind: Option<Kind>, path: &str) -> Result<Message, Error> {
    let is_text = std::str::from_utf8(&payload).is_ok();
    match kind {
        Some(Kind::Text) if !is_text => Err(Error::usage_hint(
            format!("{path} of --send is not valid UTF-8, which a text message must be"),
            "without -t it is sent as a binary message",
        )),
        Some(kind) => Ok(Message { kind, payload: payload.into() }),
        None => Ok(Message { kind: if is_text { Kind::Text } else { Kind::Binary }, payload: payload.into() }),
    }
}
