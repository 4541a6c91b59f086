//! From two parsed addresses to two stacks whose flows meet: rows are built, mismatches are mended by named fix-up
//! passes, and `--explain` prints the result.
//!
//! The passes, in order:
//! 1. *one connection for a listener on the right*: each session takes one from it;
//! 2. *share what exists once*: a listener's sessions share standard input and output through `reuse:`;
//! 3. *frame the byte end*: where bytes meet messages, `lines:` or `chunks:` goes in between.

mod explain;
mod setup;
mod stack;

pub use setup::{Admission, Asked, Setup};
pub use stack::{Layer, Stack};

use crate::{
    address,
    config::Config,
    error::Error,
    flow::{Flow, Role},
    message::Kind,
    overlay,
    registry::Build,
    spec::Spec,
};
use std::sync::Arc;

/// What a run will do.
pub enum Plan {
    /// Join two ends.
    Splice(Splice),
    /// Serve rooms (`--broadcast`) on a listener.
    Rooms(Stack),
}

/// Two stacks that fit together.
pub struct Splice {
    /// Where sessions start: a listener, or the first address.
    pub left: Stack,
    /// What each session is connected with.
    pub right: Stack,
    /// Whether messages go from left to right, and from right to left.
    directions: [bool; 2],
}

impl Plan {
    /// Builds the rows of what was typed and checks that they fit.
    pub fn new(first: &Spec, second: Option<&Spec>, config: &Arc<Config>) -> Result<Self, Error> {
        if config.rooms.is_none() {
            return Splice::new(first, second, config).map(Self::Splice);
        }
        if second.is_some() {
            return Err(Error::usage("--broadcast joins the clients of one listener: it takes no second address"));
        }
        let mut listener = build(first, config)?;
        let title = listener.title().to_owned();
        if listener.is_listener() && listener.pop("ws-upgrade") {
            return Ok(Self::Rooms(listener));
        }
        if listener.is_listener()
            && let [inner @ .., outermost] = listener.layers()
            && inner.iter().any(|layer| layer.name == "ws-upgrade")
        {
            return Err(Error::usage_hint(
                format!("--broadcast serves `{title}` itself: `{}:` cannot stand in front of it", outermost.name),
                "a member sees all that is said in its room: wsplice log:ws://HOST:PORT/ROOM",
            ));
        }
        Err(Error::usage_hint(
            format!("--broadcast needs a WebSocket listener, which `{title}` is not"),
            "for example wsplice --broadcast ws-l:0.0.0.0:8080",
        ))
    }

    /// Whether it waits for whoever comes.
    pub fn is_serving(&self) -> bool {
        match self {
            Self::Splice(splice) => splice.left.is_listener(),
            Self::Rooms(_) => true,
        }
    }
}

impl Splice {
    /// Builds the rows of both specs and mends what does not fit. A single address is joined with standard input and
    /// output: a listener serves, so it is the left end; anything else is what the console talks to.
    pub fn new(first: &Spec, second: Option<&Spec>, config: &Arc<Config>) -> Result<Self, Error> {
        let stdio = || build(&Spec::row("stdio", ""), config);
        let first = build(first, config)?;
        let (mut left, mut right) = match second {
            Some(second) => (first, build(second, config)?),
            None if first.is_listener() => (first, stdio()?),
            None => (stdio()?, first),
        };
        if right.is_listener() {
            right.wrap_origin(address::accept_one(config));
        }
        if left.is_listener() && right.exists_once() && !config.server.oneshot {
            share(&mut right, left.flow(), config)?;
        }
        match (left.flow(), right.flow()) {
            (Flow::Bytes, Flow::Messages) => frame(&mut left, config, "messages on the other side")?,
            (Flow::Messages, Flow::Bytes) => frame(&mut right, config, "messages on the other side")?,
            _ => {}
        }
        Ok(Self { left, right, directions: [config.ending.forward, config.ending.back] })
    }
}

/// One spec's stack, framed where its own overlays need it.
fn build(spec: &Spec, config: &Arc<Config>) -> Result<Stack, Error> {
    match (&spec.entry.build, &spec.inner) {
        (Build::Address(make), None) => {
            let stack = make(&spec.arg, config).map_err(|error| spec.point_at(error))?;
            Ok(stack.within(config.connect_timeout))
        }
        (Build::Overlay(make), Some(inner)) => {
            let mut stack = build(inner, config)?;
            let name = spec.entry.names[0];
            let overlay = make(&stack, config)?;
            match (overlay.wants(), stack.flow()) {
                (Some(Flow::Messages), Flow::Bytes) => frame(&mut stack, config, name)?,
                (Some(Flow::Bytes), Flow::Messages) => {
                    return Err(Error::usage_hint(
                        format!("`{name}:` wraps bytes, but `{}` gives messages", stack.title()),
                        "put it nearer to the socket, or leave it out",
                    ));
                }
                _ => {}
            }
            stack.push(name, overlay, None)?;
            Ok(stack)
        }
        _ => unreachable!("the parser gives overlays an inner spec, addresses none, and refuses absent rows"),
    }
}

/// Turns a byte stack into a message stack by the rule of the manual's TEXT AND BINARY.
fn frame(stack: &mut Stack, config: &Config, because: &str) -> Result<(), Error> {
    let as_lines = match config.framing.kind {
        Some(kind) => kind == Kind::Text,
        None => stack.speaks_lines(),
    };
    let (name, overlay) = if as_lines { overlay::lines(config) } else { overlay::chunks(config) };
    stack.push(name, overlay, Some(format!("bytes here, {because}")))
}

/// Lets all sessions of a listener use one end.
fn share(stack: &mut Stack, other: Flow, config: &Arc<Config>) -> Result<(), Error> {
    if stack.flow() == Flow::Bytes {
        if other == Flow::Bytes && config.framing.kind.is_none() {
            // Bytes to bytes: nothing may be added, so what was read goes out as it is.
            let (name, overlay) = overlay::chunks(config);
            stack.push(name, overlay, Some("bytes on both sides stay as they are".into()))?;
        } else {
            frame(stack, config, "and shared as messages")?;
        }
    }
    let (name, overlay) = overlay::reuse(config);
    stack.push(name, overlay, Some("it exists once and all clients share it".into()))
}

/// Whether a byte end of this role is read by lines unless told otherwise (the manual, TEXT AND BINARY).
pub(crate) fn lines_by_default(role: Role) -> bool {
    matches!(role, Role::Console { .. } | Role::Source | Role::Sink | Role::Process)
}
