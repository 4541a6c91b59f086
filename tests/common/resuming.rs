//! A member that asks for the place of each message, and resumes after the last one when it connects again.

use super::{
    http::{Exchange, upgrade_request},
    raw::{Frame, RawPeer},
};

/// The subprotocol.
pub const RESUME: &str = "wsplice.resume.v1";

/// A client that resumes.
pub struct Resuming {
    pub peer: RawPeer,
    /// The place of the last message.
    pub place: Option<String>,
    /// Whether the server knew the place that was named.
    pub is_resumed: bool,
}

impl Resuming {
    /// Connects for the first time, or after the message at this place.
    #[track_caller]
    pub fn connect(port: u16, target: &str, place: Option<String>) -> Self {
        Self::connect_with(port, target, place, "")
    }

    /// The same with further header lines, each ended by CR LF.
    #[track_caller]
    pub fn connect_with(port: u16, target: &str, place: Option<String>, headers: &str) -> Self {
        let wanted = place.as_ref().map_or(RESUME.to_owned(), |place| format!("{RESUME}.{place}"));
        let headers = format!("Sec-WebSocket-Protocol: {wanted}, {RESUME}\r\n{headers}");
        let peer = RawPeer::client(Exchange::connect(port, &upgrade_request(target, &headers)).switched());
        let selected = peer.head.get("Sec-WebSocket-Protocol").unwrap_or_else(|| panic!("none in {:?}", peer.head));
        assert!([RESUME, &wanted].contains(&selected), "{selected}");
        let is_resumed = place.is_some() && selected == wanted;
        Self { peer, place, is_resumed }
    }

    /// The next message without its place, or the close frame.
    #[track_caller]
    pub fn receive(&mut self) -> Frame {
        let mut frame = self.peer.receive();
        if frame.first != super::raw::CLOSE {
            let end = frame.payload.iter().position(|byte| *byte == b'\n').expect("a place before the message");
            let line: Vec<_> = frame.payload.drain(..=end).collect();
            self.place = Some(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        frame
    }

    #[track_caller]
    pub fn receive_text(&mut self) -> String {
        self.receive().text()
    }
}
