//! `-`, `stdio:`: this process's own standard input and output.

use crate::{
    error::Error,
    flow::{ByteEnd, Duplex, Flow, Role, Task},
    plan::{Setup, Stack},
    registry::{Build, Dial, Entry},
};
use std::io::IsTerminal;

pub(super) static STDIO: Entry = Entry {
    names: &["stdio", "-", "asyncstdio", "threadedstdio"],
    arg: None,
    summary: "Standard input and output",
    details: "Reads standard input and writes standard output. Where messages are on the other side, a line is a text \
              message. After the end of the input, answers are waited for (--linger). It exists once: the clients of a \
              listener share it.",
    example: "- ws://127.0.0.1:8080/",
    flags: &["linger", "exit-on-eof", "no-close", "one-message", "replies"],
    build: Build::Address(|_, _| Ok(Stack::dial_with("stdio:", Flow::Bytes, role(), Stdio))),
};

fn role() -> Role {
    Role::Console { terminal: std::io::stdin().is_terminal() }
}

struct Stdio;

impl Dial for Stdio {
    fn dial<'a>(&'a self, _: &'a mut Setup<'_>) -> Task<'a, Result<Duplex, Error>> {
        Box::pin(async {
            let io = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
            Ok(Duplex::Bytes(ByteEnd::new(io, role(), "stdio")))
        })
    }
}
