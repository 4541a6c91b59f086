//! `-`, `stdio:`: standard input and output of this process.

use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry},
    error::Error,
    flow::{BoxFuture, ByteEnd, DescriptorReader, DescriptorWriter, EndKind},
};
use std::io::{self, IsTerminal};

pub(super) static STDIO: Entry = Entry {
    names: &["stdio", "-", "asyncstdio", "threadedstdio"],
    arg: None,
    summary: "Standard input and output",
    details: "Reads standard input and writes standard output. If the other end carries messages, each line is a text \
              message. After the end of input, waits for a reply for --reply-wait, and for further ones until nothing \
              has arrived for --linger. All clients of a listener share it.",
    example: "- ws://127.0.0.1:8080/",
    flags: &["linger", "reply-wait"],
    build: Build::Dial(|_, _| Ok(stdio())),
};

/// Standard input and output of this process.
pub fn stdio() -> Endpoint<Dialled> {
    ByteEndpoint::dial("stdio:", Stdio).into()
}

struct Stdio;

impl Dial<ByteEnd> for Stdio {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let input = DescriptorReader::new(io::stdin()).map_err(|error| failed("input", error))?;
            let output = DescriptorWriter::new(io::stdout()).map_err(|error| failed("output", error))?;
            Ok(ByteEnd::new(tokio::io::join(input, output), self.kind(), "stdio"))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Console { terminal: io::stdin().is_terminal() }
    }
}

fn failed(which: &str, source: io::Error) -> Error {
    Error::io(format_args!("cannot use standard {which}"), source)
}
