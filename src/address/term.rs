//! `term:`: the interactive terminal.

use crate::{
    config::{Color, Config, TerminalOptions},
    endpoint::{Build, ConnectContext, Dial, Dialled, Endpoint, Entry, MessageEndpoint},
    error::Error,
    flow::{BoxFuture, EndKind, MessageEnd, RedialRequests},
    message::{Close, Kind},
    report,
    term::{self, Settings, Style, View},
};
use std::{env, sync::Arc, time::SystemTime};

#[cfg_attr(windows, expect(dead_code, reason = "the row of Windows says that there is none"))]
pub(super) static TERM: Entry = Entry {
    names: &["term"],
    arg: None,
    summary: "The terminal, with a prompt",
    details: "Each line that is typed is a message, with -b a binary one; what arrives is shown above the line. The line can be \
              edited as in a shell: arrow keys walk through it and through the history, Ctrl-R searches that, Alt-Enter begins a new \
              line in the message, and a paste stays one message. Lines that begin with a slash are commands, which /help lists; \
              // sends one slash. A connection that is dialled can be opened anew (/reconnect). Ctrl-D ends the input, Ctrl-C clears the line or, if it is empty, ends the run. JSON is \
              shown in colour, binary messages as hex dumps, and long messages are folded. It takes the place of stdio: if standard input \
              and output are a terminal and the other end carries messages, unless --no-tui is given.",
    example: "term: ws://127.0.0.1:8080/",
    flags: &[&["linger", "reply-wait", "ts", "pretty"], super::stdio::TERMINAL],
    build: Build::Dial(|_, config| Ok(terminal(config))),
};

/// The terminal in place of standard input and output, if they are one that can be used and `config` does not forbid it.
pub fn interactive(config: &Config) -> Option<Endpoint<Dialled>> {
    let is_wanted = !config.terminal.no_tui && config.execute.is_none();
    (is_wanted && term::is_usable()).then(|| terminal(config))
}

fn terminal(config: &Config) -> Endpoint<Dialled> {
    report::keep_handshakes();
    MessageEndpoint::dial(
        "term:",
        Terminal {
            options: config.terminal.clone(),
            kind: config.framing.kind.unwrap_or(Kind::Text),
            longest: config.framing.max_length,
            close: config.websocket.close.clone(),
        },
    )
    .into()
}

struct Terminal {
    options: TerminalOptions,
    kind: Kind,
    longest: usize,
    close: Close,
}

impl Dial<MessageEnd> for Terminal {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        let color = match self.options.color {
            Color::Auto => env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Color::Always => true,
            Color::Never => false,
        };
        let redial_requests = Arc::new(RedialRequests::default());
        context.redial_requests = Some(redial_requests.clone());
        let settings = Settings {
            view: View { style: Style { color }, options: self.options.clone(), started: SystemTime::now() },
            kind: self.kind,
            longest: self.longest,
            close: self.close.clone(),
            keeps_history: !self.options.no_history,
            redial_requests,
        };
        Box::pin(async {
            if !term::is_usable() {
                return Err(Error::usage_hint(
                    "`term:` needs a terminal as standard input and output",
                    "stdio: takes pipes and files as well",
                ));
            }
            term::open(settings)
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Console { terminal: true }
    }
}
