//! The room server behaves on the wire as one that is made with the package ws 7.

use crate::{
    peer::{Peer, node},
    support::Serving,
};

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn rooms_are_on_the_wire_what_they_are_with_ws_7() {
    let model = Peer::start(node("room_server.js", []), "port ");
    let ours = Serving::start(["--broadcast", "ws-l:127.0.0.1:0"]);
    let ports = [model.port.to_string(), ours.port.to_string()];
    let compared = Peer::client(node("side_by_side.js", ports.iter().map(String::as_str))).running.finish();
    assert!(compared.out().ends_with("\n0 differ\n") && compared.out().lines().count() == 2, "{}", compared.out());
}
