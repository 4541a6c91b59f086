//! Options that command lines of websocat contain.

use crate::{
    http::Exchange,
    raw::raw_server,
    support::{Folder, Running, Serving, one_connection, run, wsplice},
};

#[test]
fn options_of_websocat_without_an_effect_change_nothing() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let url = server.url();
    let accepted = [
        "-S",
        "--strict",
        "-B",
        "65536",
        "--buffer-size=1",
        "--no-line",
        "--linemode-strip-newlines",
        "--async-stdio",
        "--no-async-stdio",
        "--no-fixups",
        "--no-exit-on-zeromsg",
    ];
    let finished = run(accepted.iter().copied().chain(["-", &*url]), "one\n\ntwo\n");
    assert_eq!(finished.succeeds().out(), "one\n\ntwo\n");
    assert_eq!(finished.stderr, "");
}

/// The head of the opening handshake that a client with these arguments sends.
#[track_caller]
fn handshake(args: &[&str], environment: &[(&str, &str)]) -> crate::http::Head {
    let (port, server) = one_connection(|stream| Exchange::accept(stream).head);
    let mut command = wsplice(args);
    command.args(["-E", &format!("ws://127.0.0.1:{port}/")]).envs(environment.iter().copied());
    let client = Running::start(command);
    let head = server.join().expect("the server");
    drop(client);
    head
}

#[test]
fn credentials_come_from_a_file_or_the_environment() {
    let folder = Folder::new("basic-auth-file");
    let file = folder.path("credentials");
    std::fs::write(&file, "me:secret\n").expect("write");
    // The base64 of me:secret.
    let expected = Some("Basic bWU6c2VjcmV0".to_owned());
    let variable = [("WEBSOCAT_BASIC_AUTH", "me:secret")];
    let other = [("WEBSOCAT_BASIC_AUTH", "other:other")];
    for (args, environment) in [
        (&["--basic-auth-file", &*file][..], &[][..]),
        (&[], &variable),
        (&["--basic-auth-file", &*file], &other),
        (&["--basic-auth", "me:secret"], &other),
    ] {
        let head = handshake(args, environment);
        assert_eq!(head.get("authorization").map(str::to_owned), expected, "{args:?}");
    }
    assert_eq!(handshake(&[], &[]).get("authorization"), None);
}

#[test]
fn a_file_of_credentials_that_is_missing_is_an_error() {
    run(["--basic-auth-file", "/nonexistent/file", "ws://127.0.0.1:1/"], "").fails_with(2, "/nonexistent/file");
}

#[test]
fn the_version_of_the_handshake_can_be_set() {
    let head = handshake(&["--websocket-version", "8"], &[]);
    assert_eq!(head.get("sec-websocket-version"), Some("8"));
    assert_eq!(handshake(&[], &[]).get("sec-websocket-version"), Some("13"));
    run(["--websocket-version", "256", "ws://127.0.0.1:1/"], "").fails_with(2, "--websocket-version");
}

#[test]
fn keys_of_the_handshake_are_printed() {
    // RFC 6455 section 1.3.
    let accept = run(["--just-generate-accept", "dGhlIHNhbXBsZSBub25jZQ=="], "");
    assert_eq!(accept.succeeds().out(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n");
    let key = run(["--just-generate-key"], "").succeeds().out();
    assert_eq!(key.len(), 25, "{key:?}");
    assert_ne!(run(["--just-generate-key"], "").out(), key);
    run(["--just-generate-accept", key.trim()], "").succeeds();
    run(["--just-generate-accept", "short"], "").fails_with(2, "`short` is not a Sec-WebSocket-Key");
}

#[test]
fn u_and_upper_case_u_together_connect_and_close() {
    let (url, server) = raw_server(|mut stream| crate::raw::read_close(&mut stream));
    let mut client = Running::start(wsplice(["-uU", "-", &url]));
    client.write("not sent\n");
    assert_eq!(server.join().expect("the server"), Some(1000));
    assert_eq!(client.finish().succeeds().out(), "");
}
