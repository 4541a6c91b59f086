//! Pages in headless Chromium that meet in rooms, through nginx and TLS.

use crate::{
    peer::{Peer, node, script},
    rooms_nginx::Proxied,
};

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn three_pages_meet_in_two_rooms() {
    let page = format!("/broadcast/page.html:text/html:{}", script("rooms.html"));
    let proxied = Proxied::start("rooms-browser", &["-F", &page]);
    let mut browser = Peer::client(node("rooms_browser.js", [&*proxied.url("https", "page.html")]));
    for (listener, speaker, hex) in
        [("a", "a", "61"), ("b", "a", "61"), ("a", "b", "62"), ("b", "b", "62"), ("c", "c", "63")]
    {
        browser.says(&format!(
            r#"{listener} of {speaker}: text "hello from {speaker} ✓ 🦀", text "", binary {hex}, binary 00ff0a, binary {hex}2e626c6f62, binary , text 100000, binary 200000"#
        ));
    }
    browser.says("red 4000, the same for both true, in order true, of a 2000").says("blue 2000, in order true");
    for _ in 0..3 {
        browser.says("closed 1000 clean");
    }
    let finished = browser.running.finish();
    assert_eq!(finished.code, 0, "{finished:?}");
}
