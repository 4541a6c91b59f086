//! `-`, `stdio:`: standard input and output of this process.

use super::{progress, terminal_output::TerminalOutput};
use crate::{
    config::Config,
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry},
    error::Error,
    flow::{BoxFuture, ByteEnd, ByteStream, DescriptorReader, DescriptorWriter, EndKind},
};
use std::{
    future::Future,
    io::{self, Cursor, IsTerminal},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Options of terminals that promise nothing elsewhere.
pub(super) const TERMINAL: &[&str] = &["no-history", "raw", "color"];

pub(super) static STDIO: Entry = Entry {
    names: &["stdio", "-", "asyncstdio", "threadedstdio"],
    arg: None,
    summary: "Standard input and output",
    details: "Reads standard input and writes standard output. If the other end carries messages, each line is a text \
              message. After the end of input, waits for a reply for --reply-wait, and for further ones until nothing \
              has arrived for --linger. All clients of a listener share it. On a terminal, control characters \
              are shown as escapes unless --raw is given.",
    example: "- ws://127.0.0.1:8080/",
    flags: &[&["linger", "reply-wait", "execute", "wait", "no-tui", "jsonl"], TERMINAL],
    build: Build::Dial(|_, config| Ok(stdio(config))),
};

/// Standard input and output of this process. The messages of `-x` are read in place of the input.
pub fn stdio(config: &Config) -> Endpoint<Dialled> {
    let separator = config.framing.separator;
    let end = || std::iter::repeat_n(separator.byte, separator.length());
    let execute = config.execute.as_ref().map(|execute| Execute {
        input: execute.messages.iter().flat_map(|message| message.bytes().chain(end())).collect(),
        then_input: execute.then_input,
        silence: execute.silence,
    });
    ByteEndpoint::dial("stdio:", Stdio { execute, escapes: !config.terminal.raw }).into()
}

struct Stdio {
    execute: Option<Execute>,
    /// Show control characters on a terminal in place of obeying them.
    escapes: bool,
}

/// What is read first, and what follows.
struct Execute {
    input: Vec<u8>,
    then_input: bool,
    silence: Duration,
}

impl Dial<ByteEnd> for Stdio {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let output = DescriptorWriter::new(io::stdout()).map_err(|error| failed("output", error))?;
            let io = match self.escapes && output.is_terminal() {
                true => self.stream(TerminalOutput::new(output), context),
                false => self.stream(output, context),
            };
            Ok(ByteEnd { io: io?, kind: self.kind(), name: "stdio".into(), on_empty_message: None })
        })
    }

    fn kind(&self) -> EndKind {
        let reads_input = self.execute.as_ref().is_none_or(|execute| execute.then_input);
        EndKind::Console { terminal: reads_input && io::stdin().is_terminal() }
    }
}

impl Stdio {
    /// The input, with this output.
    fn stream(
        &self,
        output: impl AsyncWrite + Send + Unpin + 'static,
        context: &ConnectContext,
    ) -> Result<ByteStream, Error> {
        let input = || DescriptorReader::new(io::stdin()).map_err(|error| failed("input", error));
        Ok(match &self.execute {
            None => {
                let input = input()?;
                let rest = if progress::is_shown(context) { input.file_rest() } else { None };
                let both = tokio::io::join(input, output);
                match rest {
                    None => ByteStream::other(both),
                    rest => progress::reading(both, rest),
                }
            }
            Some(Execute { input: first, then_input: true, .. }) => {
                ByteStream::other(tokio::io::join(Cursor::new(first.clone()).chain(input()?), output))
            }
            Some(Execute { input: first, silence, .. }) => {
                let silence = Silence { length: *silence, end: None };
                ByteStream::other(tokio::io::join(Cursor::new(first.clone()).chain(silence), output))
            }
        })
    }
}

/// Empty input that ends after a time.
struct Silence {
    length: Duration,
    end: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Silence {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.length;
        self.end.get_or_insert_with(|| Box::pin(sleep(length))).as_mut().poll(cx).map(Ok)
    }
}

fn failed(which: &str, source: io::Error) -> Error {
    Error::io(format_args!("cannot use standard {which}"), source)
}
