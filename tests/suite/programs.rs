//! What programs that serve a client learn of it.

use crate::{
    peer::{Message, Peer},
    support::{Folder, Running, Serving, run, wsplice},
};
use std::{collections::HashMap, fs, io::Read};

/// Reads the variables that `env` has sent, up to the close frame.
fn variables(client: &mut Peer) -> HashMap<String, String> {
    let mut found = HashMap::new();
    loop {
        match client.receive() {
            Message::Close(_) => return found,
            message => {
                let line = message.into_text().expect("a text message");
                let (name, value) = line.split_once('=').expect("a variable");
                found.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

#[track_caller]
fn has(variables: &HashMap<String, String>, wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert_eq!(variables.get(*name).map(String::as_str), Some(*value), "{name} in {variables:?}");
    }
}

#[test]
fn a_program_gets_the_request_of_its_client_as_cgi_variables() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "exec:env"]);
    let headers = "Cookie: a=1\r\nCookie: b=2\r\nX-Real-Name: x\r\nX-Real-Name: y\r\nX_Real_Name: z\r\n\
                   Proxy: http://evil.example\r\nAuthorization: Bearer secret\r\n";
    let mut client = Peer::connect_with(server.port, "/a%20b/c?x=%20&y", headers);
    let address = client.local_addr();
    let found = variables(&mut client);
    has(
        &found,
        &[
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", "/a%20b/c?x=%20&y"),
            ("QUERY_STRING", "x=%20&y"),
            ("SCRIPT_NAME", ""),
            ("PATH_INFO", "/a b/c"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("REMOTE_PORT", &address.port().to_string()),
            ("SERVER_NAME", "localhost"),
            ("SERVER_PORT", &server.port.to_string()),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("HTTP_HOST", "localhost"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_X_REAL_NAME", "x, y"),
        ],
    );
    assert!(found["SERVER_SOFTWARE"].starts_with("wsplice/"));
    for missing in ["HTTP_PROXY", "HTTP_AUTHORIZATION", "WEBSOCAT_URI", "NOTIFY_SOCKET"] {
        assert!(!found.contains_key(missing), "{missing}");
    }
}

#[test]
fn a_path_with_a_zero_byte_reaches_the_program_as_it_was_sent() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "exec:env"]);
    let found = variables(&mut Peer::connect(server.port, "/a%00b"));
    has(&found, &[("PATH_INFO", "/a%00b"), ("REQUEST_URI", "/a%00b"), ("QUERY_STRING", "")]);
}

#[test]
fn the_variables_of_websocat_are_set_on_demand() {
    let args = ["-e", "--header-to-env", "X-Foo", "--header-to-env", "authorization", "--header-to-env=X-None"];
    let server = Serving::start([&["ws-l:127.0.0.1:0", "exec:env"], &args[..]].concat());
    let mut client = Peer::connect_with(server.port, "/p?q", "X-Foo: bar\r\nAuthorization: Bearer secret\r\n");
    let address = client.local_addr().to_string();
    let found = variables(&mut client);
    has(
        &found,
        &[
            ("WEBSOCAT_URI", "/p?q"),
            ("WEBSOCAT_CLIENT", &address),
            ("H_X-Foo", "bar"),
            ("H_authorization", "Bearer secret"),
        ],
    );
    assert!(!found.contains_key("H_X-None"));
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "exec:env", "-e", "--trust-proxy", "127.0.0.1"]);
    let mut client = Peer::connect_with(server.port, "/", "X-Forwarded-For: 2001:db8::1\r\n");
    let wanted = [("REMOTE_ADDR", "2001:db8::1"), ("REMOTE_PORT", ""), ("WEBSOCAT_CLIENT", "2001:db8::1")];
    has(&variables(&mut client), &wanted);
}

#[test]
fn a_program_behind_a_tcp_listener_gets_the_address_of_its_client() {
    let server = Serving::start(["tcp-l:127.0.0.1:0", "sh-c:echo $REMOTE_ADDR $REMOTE_PORT $REQUEST_METHOD."]);
    let mut client = server.connect();
    let port = client.local_addr().expect("an address").port();
    let mut text = String::new();
    client.read_to_string(&mut text).expect("the text");
    assert_eq!(text, format!("127.0.0.1 {port} .\n"));
}

#[test]
fn a_program_gets_only_the_variables_that_are_passed_on() {
    let command = |args: &[&str]| {
        let mut command = wsplice(["-", "exec:env"]);
        command.args(args).env("KEPT", "1").env("SECRET", "2").env("ALSO", "3");
        let mut running = Running::start(command);
        running.close_input();
        running.finish().succeeds().out()
    };
    let all = command(&[]);
    assert!(all.contains("KEPT=1\n") && all.contains("SECRET=2\n"), "{all}");
    let some = command(&["--passenv", "KEPT,ALSO,MISSING"]);
    let mut names: Vec<_> = some.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, ["ALSO", "KEPT", "PATH"]);
}

#[test]
fn a_program_inherits_nothing_that_looks_like_a_part_of_the_request() {
    let foreign = [
        "HTTP_PROXY",
        "HTTP_X_ADMIN",
        "REMOTE_USER",
        "REMOTE_IDENT",
        "AUTH_TYPE",
        "CONTENT_TYPE",
        "PATH_TRANSLATED",
        "SERVER_ADMIN",
        "REQUEST_TIME",
    ];
    let serving = |listener: &str, args: &[&str]| {
        let mut command = wsplice([listener, "exec:env"]);
        command
            .args(args)
            .arg("--stdout-announce-listening-ports")
            .env("KEPT", "1")
            .env("QUERY_STRING", "stale")
            .envs(foreign.map(|name| (name, "stale")));
        Serving::from_command(command)
    };
    let found = variables(&mut Peer::connect(serving("ws-l:127.0.0.1:0", &[]).port, "/"));
    has(&found, &[("KEPT", "1"), ("QUERY_STRING", "")]);
    assert!(foreign.iter().all(|name| !found.contains_key(*name)), "{found:?}");
    let named = serving("ws-l:127.0.0.1:0", &["--passenv", "HTTP_PROXY"]);
    has(&variables(&mut Peer::connect(named.port, "/")), &[("HTTP_PROXY", "stale")]);
    let mut text = String::new();
    serving("tcp-l:127.0.0.1:0", &[]).connect().read_to_string(&mut text).expect("the variables");
    assert!(text.contains("REMOTE_USER=stale\n"), "there is no request: {text}");
}

#[test]
fn a_program_does_not_see_the_token_that_let_its_client_in() {
    let folder = Folder::new("token-variables");
    let tokens = folder.path("tokens");
    fs::write(&tokens, "letmein\n").expect("write");
    let server = Serving::start(["ws-l:127.0.0.1:0", "exec:env", "-e", "--require-token", &tokens]);
    let found = variables(&mut Peer::connect(server.port, "/p?a=1&access_token=letmein"));
    has(&found, &[("QUERY_STRING", "a=1"), ("REQUEST_URI", "/p?a=1"), ("WEBSOCAT_URI", "/p?a=1")]);
    assert!(!found.values().any(|value| value.contains("letmein")), "{found:?}");
}

#[test]
fn what_a_program_says_on_standard_error_is_not_sent_to_its_client() {
    let mut server = Serving::start(["ws-l:127.0.0.1:0", "sh-c:echo failure >&2; echo reply"]);
    let mut client = Peer::connect(server.port, "/");
    assert_eq!(client.receive_text(), "reply");
    assert_eq!(client.receive_close().0, 1000);
    server.running.error_line("failure");
}

#[test]
fn websocketd_s_names_of_limits_are_known() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "sh-c:cat", "--maxforks", "2", "--sameorigin"]);
    let denied = crate::http::Exchange::connect(
        server.port,
        &crate::http::upgrade_request("/", "Origin: http://other.example\r\n"),
    );
    assert_eq!(denied.head.status(), 403);
    let mut client = Peer::connect_with(server.port, "/", "Origin: http://localhost\r\n");
    client.send_text("hello");
    assert_eq!(client.receive_text(), "hello");
}

#[test]
fn a_wrong_header_name_is_an_error() {
    run(["--header-to-env", "a b", "-", "exec:env"], "").fails_with(2, "not a header name");
}
