//! `open-async:` and `open-fd:`: a file that is read and written, such as a device.

use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Entry},
    error::Error,
    flow::{BoxFuture, ByteEnd, DescriptorReader, DescriptorWriter, EndKind},
    net,
};
use rustix::fs::{Mode, OFlags, fcntl_getfl};
use std::{io, os::fd::OwnedFd};

pub(super) static PATH: Entry = Entry {
    names: &["open-async"],
    arg: Some("PATH"),
    summary: "Read and write a device or a named pipe",
    details: "For a serial port, set its speed with stty(1) before. Each read is a message, unless lines: is written \
              before it. It ends when reading does.",
    example: "ws-l:127.0.0.1:8080 reuse:open-async:/dev/null",
    flags: &[],
    build: Build::Dial(|arg, _| {
        // As a program on a terminal, it may go on for ever, also after its input has ended.
        let dial = Open { what: What::Path(arg.into()), kind: EndKind::Process { terminal: true } };
        Ok(ByteEndpoint::dial(format_args!("open-async:{arg}"), dial).into())
    }),
};

pub(super) static DESCRIPTOR: Entry = Entry {
    names: &["open-fd", "async-fd"],
    arg: Some("FD"),
    summary: "Read and write an open file descriptor",
    details: "FD is the number of a descriptor that wsplice was started with, such as 3 after 3<>FILE in a shell. \
              Each read is a message, unless lines: is written before it. All clients of a listener share it.",
    example: "ws-l:127.0.0.1:8080 open-fd:0",
    flags: &[],
    build: Build::Dial(|arg, _| {
        let wrong = || Error::Argument { reason: "not the number of a descriptor".into(), example: "open-fd:3".into() };
        let number = arg.parse().ok().filter(|number: &i32| *number >= 0).ok_or_else(wrong)?;
        let is_written_only = net::inherited(number).is_ok_and(|file| access(&file) == OFlags::WRONLY);
        let kind = if is_written_only { EndKind::Sink } else { EndKind::Peer };
        let dial = Open { what: What::Number(number), kind };
        let mut endpoint = ByteEndpoint::dial(format_args!("open-fd:{arg}"), dial);
        endpoint.about.exists_once = true;
        Ok(endpoint.into())
    }),
};

enum What {
    Path(String),
    Number(i32),
}

struct Open {
    what: What,
    kind: EndKind,
}

/// Whether a file can be read, written or both.
fn access(file: &OwnedFd) -> OFlags {
    fcntl_getfl(file).unwrap_or(OFlags::RDWR) & OFlags::ACCMODE
}

impl Open {
    fn open(&self) -> io::Result<OwnedFd> {
        match &self.what {
            What::Path(path) => {
                // A serial port must not become our terminal, and opening it must not wait for a carrier.
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                Ok(rustix::fs::open(path, flags, Mode::empty())?)
            }
            What::Number(number) => net::inherited(*number),
        }
    }
}

impl Dial<ByteEnd> for Open {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let name = match &self.what {
                What::Path(path) => path.clone(),
                What::Number(number) => format!("descriptor {number}"),
            };
            let failed = |source| Error::io(format_args!("cannot open {name}"), source);
            let file = self.open().map_err(|error| Error::unusable_file(&name, &error))?;
            let input = DescriptorReader::new(&file).map_err(failed)?;
            // As with readfile:, what is written to a file that can only be read is dropped.
            if access(&file) == OFlags::RDONLY {
                return Ok(ByteEnd::new(tokio::io::join(input, tokio::io::sink()), self.kind, name));
            }
            let output = DescriptorWriter::new(&file).map_err(failed)?;
            Ok(ByteEnd::new(tokio::io::join(input, output), self.kind, name))
        })
    }

    fn kind(&self) -> EndKind {
        self.kind
    }
}
