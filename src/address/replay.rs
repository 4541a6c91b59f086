//! `replay:`: plays a recording.

use crate::{
    config::ReplayOptions,
    endpoint::{Build, ConnectContext, Dial, Entry, MessageEndpoint},
    error::Error,
    flow::{BoxFuture, ControlFrame, ControlObserver, EndKind, Incoming, MessageEnd, MessageStream, Transfer},
    message::{Close, Message},
    recording::{self, Broken, Part},
    report,
};
use std::{
    fs::{self, File},
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, Sleep, sleep_until},
};

pub(super) static REPLAY: Entry = Entry {
    names: &["replay"],
    arg: Some("FILE"),
    summary: "Play a recorded session",
    details: "FILE was written by --record or by --jsonl, or is a HAR file of a browser's network panel with the messages of a \
              WebSocket. It sends what the recorded client had sent, with the same pauses; if the other end is a WebSocket \
              listener, it sends what the client had received (--replay-dir). A close frame of the recording ends the session \
              with its code; without one it ends when the recording did. What is written to it is discarded, and pings and pongs are not played. Of the sessions of a \
              listener the one that begins the recording is played. A recording that is cut off is played up to there; then the exit \
              code is 1.",
    example: "replay:session.jsonl ws://127.0.0.1:8080/",
    flags: &[&["replay-speed", "replay-dir", "max-ws-message-length"]],
    build: Build::Dial(|arg, config| {
        let recording = config.scripting.record.as_deref().and_then(|path| fs::canonicalize(path).ok());
        if recording.is_some_and(|path| fs::canonicalize(arg).is_ok_and(|played| played == path)) {
            return Err(Error::usage_hint(
                format!("--record would replace {arg}, which is played"),
                "record to another file".to_owned(),
            ));
        }
        let (options, max_length) = (config.scripting.replay, config.framing.max_length);
        let replay = Replay { path: arg.into(), options, max_length };
        Ok(MessageEndpoint::dial(format_args!("replay:{arg}"), replay).into())
    }),
};

/// Parts that are read ahead.
const MAX_AHEAD: usize = 8;

struct Replay {
    path: String,
    options: ReplayOptions,
    max_length: usize,
}

impl Dial<MessageEnd> for Replay {
    fn dial<'a>(&'a self, context: &'a mut ConnectContext) -> BoxFuture<'a, Result<MessageEnd, Error>> {
        // It stands for the server of a client that has connected, otherwise for a client.
        let default = if context.request.is_some() { Transfer::Received } else { Transfer::Sent };
        let (transfer, max_length) = (self.options.direction.unwrap_or(default), self.max_length);
        Box::pin(async move {
            let path = self.path.clone();
            let failed = |error: std::io::Error| Error::unusable_file(&self.path, &error);
            let open = move || {
                let file = File::open(&path)?;
                let is_directory = file.metadata()?.is_dir();
                if is_directory { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
            };
            let file = spawn_blocking(open).await.map_err(|error| failed(error.into()))?.map_err(failed)?;
            let (sender, parts) = mpsc::channel(MAX_AHEAD);
            spawn_blocking(move || {
                let take = |part| sender.blocking_send(Ok(part)).is_ok();
                if let Err(broken) = recording::read(&file, transfer, max_length, take) {
                    let _ = sender.blocking_send(Err(broken));
                }
            });
            let played = Played {
                path: self.path.clone(),
                speed: self.options.speed,
                parts,
                has_parts: false,
                started: None,
                next: None,
                sleep: None,
            };
            Ok(MessageEnd::new(played, self.kind(), "replay"))
        })
    }

    fn kind(&self) -> EndKind {
        EndKind::Source
    }
}

struct Played {
    path: String,
    /// How much faster than recorded; `None`: without pauses.
    speed: Option<f64>,
    parts: mpsc::Receiver<Result<Part, Broken>>,
    /// A part was read.
    has_parts: bool,
    started: Option<Instant>,
    /// What is sent when `sleep` ends.
    next: Option<Option<Result<Message, Close>>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Played {
    fn broken(&self, broken: Broken) -> Error {
        Error::Input {
            what: broken.at,
            from: self.path.clone(),
            reason: broken.reason,
            hint: match self.has_parts {
                true => "what was before it has been played",
                false => "nothing was played; replay: reads what --record or --jsonl wrote, and HAR files of browsers",
            },
        }
    }

    /// When something is due that was recorded after this time.
    fn due(&mut self, after: Duration) -> Option<Instant> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let after = Duration::try_from_secs_f64(after.as_secs_f64() / self.speed?).unwrap_or(MAX_PAUSE);
        Some(started + after.min(MAX_PAUSE))
    }
}

/// Timers take no longer time.
const MAX_PAUSE: Duration = Duration::from_secs(365 * 24 * 3600);

impl MessageStream for Played {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        if self.next.is_none() {
            // The recording begins with the session, not when its file has been read.
            self.started.get_or_insert_with(Instant::now);
            match ready!(self.parts.poll_recv(cx)) {
                None => return Poll::Ready(Ok(Incoming::End(None))),
                Some(Err(broken)) => return Poll::Ready(Err(self.broken(broken))),
                Some(Ok(part)) => {
                    if part.content.is_none() && !self.has_parts {
                        report::warn(format_args!(
                            "{} has no messages of the direction that is played; --replay-dir sets it",
                            self.path
                        ));
                        return Poll::Ready(Ok(Incoming::End(None)));
                    }
                    self.has_parts = true;
                    self.sleep = self.due(part.after).map(|at| Box::pin(sleep_until(at)));
                    self.next = Some(part.content);
                }
            }
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(Ok(match self.next.take().flatten() {
            Some(Ok(message)) => Incoming::Message(message),
            Some(Err(close)) => Incoming::End(Some(close).filter(Close::may_be_sent)),
            None => Incoming::End(None),
        }))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, _: Message) -> Result<(), Error> {
        Ok(())
    }

    fn send_control(&mut self, _: ControlFrame) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_confirmed(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn progress(&self) -> u64 {
        0
    }

    fn observe_control(&mut self, _: ControlObserver) {}

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
