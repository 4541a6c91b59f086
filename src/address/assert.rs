//! `assert:`: checks what it receives.

use crate::{
    endpoint::{Build, ByteEndpoint, ConnectContext, Dial, Entry},
    error::Error,
    flow::{BoxFuture, ByteEnd, EndKind},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) static ASSERT: Entry = Entry {
    names: &["assert", "assert2"],
    arg: Some("[TEXT]"),
    summary: "Check that exactly this text is received",
    details: "Compares all data with TEXT at the end of the other side; exit code 9 if it differs. Messages are \
              compared without what is between them. It sends nothing.",
    example: "literal:hello assert:hello",
    flags: &[],
    build: Build::Dial(|arg, _| {
        Ok(ByteEndpoint::dial(format_args!("assert:{arg}"), Assert { text: arg.into() }).into())
    }),
};

struct Assert {
    text: Arc<str>,
}

impl Dial<ByteEnd> for Assert {
    fn dial<'a>(&'a self, _: &'a mut ConnectContext) -> BoxFuture<'a, Result<ByteEnd, Error>> {
        let check = Check { text: self.text.clone(), received: Vec::new(), is_over: false, reader: None };
        Box::pin(async { Ok(ByteEnd::peer(check, "assert")) })
    }

    fn kind(&self) -> EndKind {
        EndKind::Peer
    }
}

/// How much more than the text is kept, to show what is wrong.
const KEPT: usize = 64;

struct Check {
    text: Arc<str>,
    received: Vec<u8>,
    is_over: bool,
    reader: Option<Waker>,
}

impl AsyncRead for Check {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Check {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let room = (self.text.len() + KEPT).saturating_sub(self.received.len());
        self.received.extend(buf.iter().take(room));
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_over = true;
        self.reader.take().into_iter().for_each(Waker::wake);
        if self.received == self.text.as_bytes() {
            return Poll::Ready(Ok(()));
        }
        let received = String::from_utf8_lossy(&self.received).into_owned();
        Poll::Ready(Err(Error::Assertion { expected: self.text.to_string(), received }.into()))
    }
}
