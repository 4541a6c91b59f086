//! What the two ends of a session tell each other while they are being opened.

use super::Stack;
use crate::{
    access::AccessOptions,
    error::Error,
    flow::{Duplex, Role},
};
use hyper::HeaderMap;
use std::net::{IpAddr, SocketAddr};

/// What a client asked a listening WebSocket for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The request target, path and query, as it was sent.
    pub target: String,
    /// The subprotocols it offers, in its order.
    pub protocols: Vec<String>,
}

/// Decides whether a client may join what it asked for.
pub trait Admission: Send + Sync {
    /// Called before the answer is written; the error says why not. `peer` names the client, `client` is its address.
    fn admit(&self, asked: &Asked, peer: &str, client: Option<IpAddr>) -> Result<(), Error>;
}

/// What a session's left end is to be joined with.
#[derive(Clone, Copy)]
enum Far<'a> {
    Nothing,
    Stack(&'a Stack),
    Room(&'a dyn Admission),
}

/// One session being opened.
///
/// A listening WebSocket reads its client's request, then has the far end dialled, and only then answers: so the far
/// end can ask for the same path and subprotocol, and a far end that cannot be reached is an HTTP 502 and not a
/// connection that opens and closes.
pub struct Setup<'a> {
    /// The name of the left end's peer, for logs and errors.
    pub peer: String,
    /// Its address, or the one that a trusted proxy names.
    pub client: Option<IpAddr>,
    /// The request that the left end received; `None` until then, or where there is none.
    pub asked: Option<Asked>,
    /// The subprotocol that the far WebSocket server chose.
    pub agreed: Option<String>,
    /// What is being waited for, for the time limit's error.
    pub stage: String,
    far: Far<'a>,
    opened: Option<Duplex>,
}

impl<'a> Setup<'a> {
    /// A session whose left end is opened first.
    pub fn new(peer: String, far: &'a Stack) -> Self {
        Self::to(peer, Far::Stack(far))
    }

    /// An end that is opened on its own.
    pub fn alone(peer: String) -> Self {
        Self::to(peer, Far::Nothing)
    }

    /// A client that wants to join a room.
    pub fn for_room(peer: String, admission: &'a dyn Admission) -> Self {
        Self::to(peer, Far::Room(admission))
    }

    fn to(peer: String, far: Far<'a>) -> Self {
        let client = peer.parse::<SocketAddr>().ok().map(|address| address.ip().to_canonical());
        Self { peer, client, asked: None, agreed: None, stage: String::new(), far, opened: None }
    }

    /// Finds out for whom a trusted proxy speaks.
    pub fn meet_proxy(&mut self, access: &AccessOptions, headers: &HeaderMap) {
        let client = access.client_behind(self.client, headers);
        if let Some(address) = client.filter(|_| client != self.client) {
            self.peer = format!("{address} (through {})", self.peer);
            self.client = client;
        }
    }

    /// Dials the far end unless that has happened. Tells whether it is a WebSocket.
    pub async fn open_far(&mut self) -> Result<bool, Error> {
        match self.far {
            Far::Nothing => {}
            Far::Room(admission) => {
                admission.admit(self.asked.as_ref().unwrap_or(&Asked::default()), &self.peer, self.client)?;
            }
            // Boxed: dialling may itself go through a setup.
            Far::Stack(stack) if self.opened.is_none() => self.opened = Some(Box::pin(stack.dial(self)).await?),
            Far::Stack(_) => {}
        }
        Ok(matches!(&self.opened, Some(Duplex::Messages(end)) if end.role == Role::WebSocket))
    }

    /// The far end, dialled now if it was not before.
    pub async fn take_far(&mut self) -> Result<Duplex, Error> {
        self.open_far().await?;
        match self.opened.take() {
            Some(end) => Ok(end),
            None => unreachable!("only a session with a far end asks for it"),
        }
    }
}
