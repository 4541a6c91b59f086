//! A page in headless Chromium, which the listener itself serves.

use crate::{
    peer::{Peer, node, script},
    support::Serving,
};

/// Starts a listener that has the page, and lets the page do its task.
#[track_caller]
fn in_the_page(scheme: &str, task: &str, arguments: &[&str], lines: &[&str]) {
    let page = format!("/page.html:text/html:{}", script("page.html"));
    let server = Serving::start([&["-F", &page][..], arguments].concat());
    let url = format!("{scheme}://127.0.0.1:{}/page.html", server.port);
    let mut browser = Peer::client(node("browser.js", [url.as_str(), task]));
    browser.says("page 200 text/html");
    for line in lines {
        browser.says(line);
    }
    let finished = browser.running.finish();
    assert_eq!(finished.code, 0, "{finished:?}");
}

const KINDS: [&str; 6] = [
    r#"text "hello""#,
    r#"text """#,
    r#"text "zwei\nZeilen ✓ 🦀""#,
    "binary 00ff0a",
    "binary ",
    r#"closed 1000 "thanks" clean"#,
];

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn each_kind_of_message_comes_back_to_a_page() {
    in_the_page("http", "kinds", &["ws-l:0", "mirror:"], &KINDS);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn each_kind_of_message_comes_back_to_a_page_over_tls() {
    in_the_page("https", "kinds", &["wss-l:0", "mirror:", "--self-signed"], &KINDS);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_long_message_comes_back_to_a_page() {
    in_the_page("http", "large", &["ws-l:0", "mirror:"], &["20000000 same", r#"closed 1005 "" clean"#]);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_page_is_given_the_subprotocol_that_it_offered() {
    let listener = ["ws-l:0", "mirror:", "--server-protocol", "second"];
    in_the_page("http", "protocol", &listener, &[r#"protocol "second""#, r#"closed 1005 "" clean"#]);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_page_is_answered_with_its_own_close_code() {
    in_the_page("http", "close", &["ws-l:0", "mirror:"], &[r#"closed 4000 "das wär’s" clean"#]);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_page_sees_the_last_word_and_the_close_code_of_the_server() {
    let listener = ["ws-l:0", "sh-c:echo one; echo two", "--close-status-code", "4100", "--close-reason", "no more"];
    in_the_page("http", "listen", &listener, &[r#"text "one""#, r#"text "two""#, r#"closed 4100 "no more" clean"#]);
}
