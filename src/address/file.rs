//! `readfile:`, `writefile:` and `appendfile:`.

use super::progress;
use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Dialled, Endpoint, Entry},
    error::Error,
    flow::{BoxFuture, ByteEnd, ByteStream, EndKind},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncRead, AsyncWrite, ReadBuf},
};

pub(super) static READ: Entry = Entry {
    names: &["readfile"],
    arg: Some("PATH"),
    summary: "Read a file",
    details: "Opened once per session. Data written to it is discarded.",
    example: "readfile:/etc/hostname ws://127.0.0.1:8080/",
    flags: &[],
    build: Build::Dial(|arg, _| Ok(endpoint("readfile", arg, Mode::Read))),
};

pub(super) static WRITE: Entry = Entry {
    names: &["writefile"],
    arg: Some("PATH"),
    summary: "Write to a file, replacing its content",
    details: "Opened and truncated once per session. It sends no data.",
    example: "ws://127.0.0.1:8080/ writefile:/tmp/log.txt",
    flags: &[],
    build: Build::Dial(|arg, _| Ok(endpoint("writefile", arg, Mode::Write))),
};

pub(super) static APPEND: Entry = Entry {
    names: &["appendfile"],
    arg: Some("PATH"),
    summary: "Append to a file",
    details: "Opened once per session. Lines of concurrent sessions stay whole. It sends no data.",
    example: "ws-l:127.0.0.1:8080 appendfile:/tmp/log.txt",
    flags: &[],
    build: Build::Dial(|arg, _| Ok(endpoint("appendfile", arg, Mode::Append))),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
    Append,
}

fn endpoint(name: &str, path: &str, mode: Mode) -> Endpoint<Dialled> {
    ByteEndpoint::dial(format_args!("{name}:{path}"), Open { path: path.into(), mode }).into()
}

struct Open {
    path: String,
    mode: Mode,
}

impl Dial<ByteEnd> for Open {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        Box::pin(async {
            let mut options = OpenOptions::new();
            match self.mode {
                Mode::Read => options.read(true),
                Mode::Write => options.write(true).create(true).truncate(true),
                Mode::Append => options.append(true).create(true),
            };
            let failed = |source: io::Error| Error::unusable_file(&self.path, &source);
            let file = options.open(&self.path).await.map_err(failed)?;
            let mut length = None;
            if self.mode == Mode::Read {
                let metadata = file.metadata().await.map_err(failed)?;
                if metadata.is_dir() {
                    return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
                }
                length = metadata.is_file().then_some(metadata.len());
            }
            let io = OneWay { file, mode: self.mode };
            let io = match self.mode {
                _ if !progress::is_shown(context) => ByteStream::other(io),
                Mode::Read => progress::reading(io, length),
                Mode::Write | Mode::Append => progress::writing(io),
            };
            Ok(ByteEnd { io, kind: self.kind(), name: self.path.as_str().into(), on_empty_message: None })
        })
    }

    fn kind(&self) -> EndKind {
        if self.mode == Mode::Read { EndKind::Source } else { EndKind::Sink }
    }
}

/// A file that is either read or written. Data for a file that is read is discarded; a file that is written gives none.
struct OneWay {
    file: File,
    mode: Mode,
}

impl AsyncRead for OneWay {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.mode {
            Mode::Read => Pin::new(&mut self.file).poll_read(cx, buf),
            Mode::Write | Mode::Append => Poll::Pending,
        }
    }
}

impl AsyncWrite for OneWay {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.mode {
            Mode::Read => Poll::Ready(Ok(buf.len())),
            Mode::Write | Mode::Append => Pin::new(&mut self.file).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_shutdown(cx)
    }
}
