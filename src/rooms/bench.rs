//! A room for the benches, whose members take everything at once.

use super::hub::{Hub, Place};
use crate::{
    cli::{Cli, Parsed},
    error::Error,
    flow::ByteEnd,
    message::{Kind, Message},
    report::{LogFormat, Report},
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::io::{empty, join, sink};

/// A room.
pub struct Fanout {
    members: Vec<Place>,
    message: Message,
}

impl Fanout {
    /// With so many members, of whom one says messages of so many bytes.
    pub fn new(members: usize, size: usize) -> Result<Self, Error> {
        let Parsed::Run(cli) = Cli::parse_args(["wsplice", "--broadcast"].map(Into::into))? else {
            unreachable!("it asks for no help")
        };
        let report = Report::new(0, true, LogFormat::Text);
        let config = cli.into_config(report)?;
        let options = config.rooms.unwrap_or_else(|| unreachable!("it is a room server"));
        let hub = Arc::new(Hub::new(options, config.websocket, report));
        let join = |_| {
            let place = hub.join("/", "member", None)?;
            place.member.connect(ByteEnd::peer(join(empty(), sink()), "member"), None);
            Ok(place)
        };
        let members = (0..members).map(join).collect::<Result<_, Error>>()?;
        Ok(Self { members, message: Message { kind: Kind::Binary, payload: Bytes::from(vec![7; size]) } })
    }

    /// The first says so many messages, which then go to all at once.
    pub fn say(&self, messages: usize) {
        if let Some(Place { hub, room, member, .. }) = self.members.first() {
            for _ in 0..messages {
                room.say(member.id, &self.message, &hub.rules);
            }
            room.flush(&hub.rules);
        }
    }
}
