//! Programs in a directory, by the URL that a client requests.

use crate::{
    http::{Exchange, upgrade_request},
    peer::Peer,
    support::{Folder, Serving, run},
};
use std::{fs, os::unix::fs::PermissionsExt};

fn program(path: &str, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make it executable");
}

/// A directory with programs, and a secret beside it.
fn directory(test: &str) -> (Folder, String) {
    let folder = Folder::new(test);
    for name in ["programs", "programs/sub"] {
        fs::create_dir(folder.path(name)).expect("make a directory");
    }
    program(&folder.path("programs/hello"), "echo \"hello $SCRIPT_NAME $PATH_INFO $QUERY_STRING\"; cat");
    program(&folder.path("programs/sub/a b"), "echo \"sub $SCRIPT_NAME $PATH_INFO.\"");
    program(&folder.path("programs/.hidden"), "echo hidden");
    program(&folder.path("secret"), "echo secret");
    fs::write(folder.path("programs/text"), "no program").expect("write");
    let path = folder.path("programs");
    (folder, path)
}

#[test]
fn the_url_names_the_program_and_the_rest_of_the_path_is_its_own() {
    let (_folder, path) = directory("exec-dir");
    for args in [&["ws-l:127.0.0.1:0", &format!("exec-dir:{path}")][..], &["-s", "0", "--dir", &path]] {
        let server = Serving::start(args);
        let mut peer = Peer::connect(server.port, "/hello/x%2By//z?q=1");
        assert_eq!(peer.receive_text(), "hello /hello /x+y/z q=1");
        peer.send_text("more");
        assert_eq!(peer.receive_text(), "more");
        assert_eq!(Peer::connect(server.port, "/sub/a%20b").receive_text(), "sub /sub/a b .");
    }
}

#[test]
fn there_is_nothing_but_the_programs_of_the_directory() {
    let (_folder, path) = directory("exec-dir-paths");
    let server = Serving::start(["-s", "0", "--dir", &path]);
    for target in [
        "/",
        "/missing",
        "/sub",
        "/sub/",
        "/../secret",
        "/%2e%2e/secret",
        "/sub/../../secret",
        "/sub/%2e%2e%2f%2e%2e%2fsecret",
        "/..%2fsecret",
        "/.hidden",
        "/%2ehidden",
        "/hello/..",
        "/hello%00",
        "/%ff",
        "//../secret",
    ] {
        let exchange = Exchange::connect(server.port, &upgrade_request(target, ""));
        assert_eq!(exchange.head.status(), 404, "{target}");
    }
    // A file that cannot be run is a mistake of the operator.
    assert_eq!(Exchange::connect(server.port, &upgrade_request("/text", "")).head.status(), 502);
    assert_eq!(Peer::connect(server.port, "/hello").receive_text(), "hello /hello  ");
}

#[test]
fn programs_by_url_need_a_websocket_listener_and_one_address_at_most() {
    let (_folder, path) = directory("exec-dir-usage");
    run(["-".to_owned(), format!("exec-dir:{path}")], "").fails_with(2, "WebSocket listener").hints("ws-l:");
    run(["ws-l:0", "mirror:", "--dir", &path], "").fails_with(2, "--dir is the second address");
    run(["-s", "0", "mirror:", "--dir", &path], "").fails_with(2, "--dir is the second address");
    run(["--dir", &path], "").fails_with(2, "an address is missing");
}
