//! Passwords and tokens are not shown: neither in errors, nor in the log, nor in the plan.

use crate::{http::http_server, support::run};
use std::io::Write;

#[test]
fn errors_of_values_do_not_show_the_passwords_in_them() {
    for (args, reason) in [
        (&["--proxy", "http://u:SECRETPW@h:99999", "ws://h/"][..], "'--proxy <URL>': invalid port number"),
        (&["--proxy", "ftp://u:SECRETPW@h", "ws://h/"], "`ftp` is not http, https, socks5 or socks5h"),
        (&["--proxy=u:SECRETPW@h:x", "ws://h/"], "'--proxy <URL>': invalid port number"),
        (&["--socks5", "u:SECRETPW@h:x", "ws://h/"], "invalid port number"),
        (&["--socks5-user-pass", ":SECRETPW", "ws://h/"], "the user name is missing"),
        (&["--basic-auth", "SECRETPW", "ws://h/"], "expected USER:PASSWORD"),
        (&["--user", "SECRETPW", "ws://h/"], "expected USER:PASSWORD"),
        (&["-H", "Authorization SECRETPW", "ws://h/"], "expected `Name: value`"),
        (&["-H", "Authorization SECRETPW: x", "ws://h/"], "is not a header name"),
        (&["--request-header", "Authorization SECRETPW", "http://h/"], "expected `Name: value`"),
        (&["--cookie", "a=SECRETPW\n", "ws://h/"], "may contain only visible ASCII characters"),
        (&["--cookie", "a=\n\nSECRETPW", "ws://h/"], "may contain only visible ASCII characters"),
        (&["--request-uri", "http://u:SECRETPW@h:99999/", "http-request:tcp:h:1"], "invalid port number"),
        (&["--ws-c-uri", "ws://u:SECRETPW@h:99999/", "ws-c:tcp:h:1"], "invalid port number"),
        (&["ws://u:SECRETPW@h:99999/"], "invalid address `ws://u:…@h:99999/`"),
        (&["http://u:SECRETPW@h/"], "invalid address `http://u:…@h/`"),
        (&["ws://u:SEC/SECRETPW@h/"], "invalid address `ws://u:…@h/`"),
    ] {
        let finished = run(args, "");
        finished.fails_with(2, reason);
        assert!(!finished.stderr.contains("SECRETPW"), "{finished:?}");
    }
}

#[test]
fn the_log_does_not_show_a_password_that_a_server_sends() {
    for format in ["text", "json"] {
        let (port, server) = http_server(|mut exchange| {
            let response =
                "HTTP/1.1 302 Found\r\nLocation: ws://eve:REDIRPW@127.0.0.1:1/?access_token=SECRETTOK\r\n\r\n";
            exchange.reader.get_mut().write_all(response.as_bytes()).expect("write");
        });
        let url = format!("ws://u:SECRETPW@127.0.0.1:{port}/?access_token=SECRETTOK");
        let finished = run(["-v", "--log-format", format, &url], "");
        assert_eq!(finished.code, 5, "{finished:?}");
        assert!(finished.stderr.contains("ws://eve:…@127.0.0.1:1/?access_token=(hidden)"), "{finished:?}");
        for secret in ["REDIRPW", "SECRETPW", "SECRETTOK"] {
            assert!(!finished.stderr.contains(secret), "{secret} in {finished:?}");
        }
        server.join().expect("the server");
    }
}

#[test]
fn the_plan_shows_neither_passwords_nor_tokens() {
    let plan = run(["--explain", "-", "ws://u:SECRETPW@h/?access_token=SECRETTOK"], "");
    let text = plan.succeeds().out();
    assert!(text.contains("ws://u:…@h/?access_token=(hidden)\n"), "{text}");
    assert!(!text.contains("SECRETPW") && !text.contains("SECRETTOK"), "{text}");
}
