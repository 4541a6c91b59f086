//! The terminal as an end of a session.

use super::{
    command::Request,
    link::{Event, Link},
    mode,
    screen::{Screen, Settings},
    tty,
    view::Record,
};
use crate::{
    error::Error,
    flow::{ControlFrame, EndKind, Incoming, MessageEnd, MessageStream, Transfer},
    message::{Close, Message},
    recording::Seen,
    report,
};
use bytes::Bytes;
use std::{
    io::{self, IsTerminal},
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, SystemTime},
};

/// How long the end of a session that is given up waits for the terminal.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Opens the terminal. Lines of the log are shown above the line that is typed from now on.
///
/// # Errors
/// Standard input is not a terminal any more, or the system has no thread for it.
pub fn open(settings: Settings) -> Result<MessageEnd, Error> {
    let failed = |source| Error::io("cannot use the terminal", source);
    let link = Arc::new(Link::new().map_err(failed)?);
    tty::watch_signals(&link).map_err(failed)?;
    report::flush();
    if io::stderr().is_terminal() {
        let lines = link.clone();
        report::redirect(Some(Box::new(move |line| lines.show(Event::Line(line)))));
    }
    // From now on the end of the stream restores the terminal.
    let stream = TerminalStream { link: link.clone() };
    mode::enter().map_err(failed)?;
    let screen = Screen::new(link.clone(), settings);
    let thread = thread::Builder::new().name("terminal".into());
    thread.spawn(move || screen.run()).map_err(failed)?;
    let mut end = MessageEnd::new(stream, EndKind::Console { terminal: true }, "term");
    end.observer = Some(Arc::new(move |transfer, frame| link.observe(transfer, frame)));
    Ok(end)
}

struct TerminalStream {
    link: Arc<Link>,
}

impl Drop for TerminalStream {
    fn drop(&mut self) {
        report::redirect(None);
        self.link.record_to(None);
        self.link.close();
        self.link.wait_done(LAST_WAIT);
        mode::restore();
    }
}

impl MessageStream for TerminalStream {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        loop {
            let Poll::Ready(request) = self.link.poll_request(cx) else {
                self.link.flush_recording();
                return Poll::Pending;
            };
            return Poll::Ready(Ok(match request {
                Some(Request::Message(message)) => {
                    self.link.record(Transfer::Sent, Seen::Message(&message));
                    Incoming::Message(message)
                }
                Some(Request::Control(ControlFrame::Close(close))) => Incoming::End(Some(close)),
                Some(Request::Control(frame)) => Incoming::ControlRequest(frame),
                Some(Request::Record(recorder)) => {
                    self.link.record_to(recorder);
                    continue;
                }
                Some(Request::End) | None => Incoming::End(None),
            }));
        }
    }

    /// The session never waits for the terminal.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        // A copy: it may be a part of a read buffer, which would be kept with it.
        let payload = Bytes::copy_from_slice(&message.payload);
        let message = Message { payload, ..message };
        self.link.record(Transfer::Received, Seen::Message(&message));
        self.link.show(Event::Received(Record { transfer: Transfer::Received, message, at: SystemTime::now() }));
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.link.flush_recording();
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        self.link.poll_shown(cx).map(Ok)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        report::redirect(None);
        self.link.close();
        self.link.poll_done(cx)
    }
}
