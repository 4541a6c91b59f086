//! The length of what is logged has a limit, since much of it comes from outside.

use crate::{http::http_server, support::run};
use std::io::Write;

#[test]
fn the_middle_of_a_long_line_is_left_out() {
    for format in ["text", "json"] {
        let (port, server) = http_server(|mut exchange| {
            let response = format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\n\r\n", "a".repeat(100_000));
            exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        });
        let finished = run(["-v", "--log-format", format, &format!("ws://127.0.0.1:{port}/")], "");
        assert_eq!(finished.code, 5);
        assert!(finished.stderr.contains("aaa…aaa"), "{finished:?}");
        for line in finished.stderr.lines() {
            // With JSON a line has several values, of which one is long.
            assert!(line.len() <= 2 * 1024 + if format == "json" { 300 } else { 10 }, "{} bytes: {line}", line.len());
        }
        server.join().expect("the server");
    }
}
