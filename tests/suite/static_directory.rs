//! Files of a directory, served to plain requests of a WebSocket listener.

use crate::{
    http::Exchange,
    support::{Folder, Serving, run},
};
use std::{fs, os::unix::net::UnixListener, process::Command};

fn get(server: &Serving, target: &str) -> Exchange {
    Exchange::connect(server.port, &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

fn site(test: &str) -> (Folder, String) {
    let folder = Folder::new(test);
    fs::create_dir_all(folder.path("site/sub")).expect("make a directory");
    for (name, text) in [
        ("site/index.html", "start"),
        ("site/app.js", "code"),
        ("site/data", "\x00"),
        ("site/sub/index.html", "sub"),
        ("site/a b.txt", "text"),
        ("site/.env", "secret"),
        ("outside", "secret"),
    ] {
        fs::write(folder.path(name), text).expect("write");
    }
    let path = folder.path("site");
    (folder, path)
}

#[test]
fn files_are_served_by_their_paths_with_their_types() {
    let (_folder, path) = site("staticdir");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--staticdir", &path]);
    for (target, content_type, body) in [
        ("/", "text/html; charset=utf-8", "start"),
        ("/index.html?x", "text/html; charset=utf-8", "start"),
        ("/app.js", "text/javascript; charset=utf-8", "code"),
        ("/data", "application/octet-stream", "\x00"),
        ("/sub/", "text/html; charset=utf-8", "sub"),
        ("//a%20b.txt", "text/plain; charset=utf-8", "text"),
    ] {
        let mut exchange = get(&server, target);
        assert_eq!((exchange.head.status(), exchange.head.get("Content-Type")), (200, Some(content_type)), "{target}");
        assert_eq!(exchange.body(), body, "{target}");
    }
    assert_eq!(run([server.url()], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn a_directory_is_redirected_to_its_path_with_a_slash_on_this_server() {
    let (_folder, path) = site("staticdir-redirect");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--staticdir", &path]);
    for (target, location) in [("/sub", "/sub/"), ("/sub?x=1", "/sub/?x=1"), ("//sub", "/sub/")] {
        let exchange = get(&server, target);
        assert_eq!((exchange.head.status(), exchange.head.get("Location")), (301, Some(location)), "{target}");
    }
}

#[test]
fn nothing_outside_of_the_directory_and_nothing_hidden_is_served() {
    let (_folder, path) = site("staticdir-outside");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--staticdir", &path]);
    for target in [
        "/../outside",
        "/%2e%2e/outside",
        "/..%2foutside",
        "/sub/../../outside",
        "/.env",
        "/%2eenv",
        "/missing",
        "/index.html/x",
        "/index.html%00",
        "/%ff",
        "/sub/missing/",
    ] {
        assert_eq!(get(&server, target).head.status(), 404, "{target}");
    }
    let post = Exchange::connect(server.port, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.head.status(), 426);
}

#[test]
fn only_regular_files_are_served_and_a_fifo_does_not_hold_up_the_server() {
    let (folder, path) = site("staticdir-fifo");
    fs::create_dir_all(folder.path("site/odd/index.html")).expect("make a directory");
    let made = Command::new("mkfifo").arg(folder.path("site/fifo")).status().expect("run mkfifo");
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", folder.path("site/zero")).expect("link");
    let _socket = UnixListener::bind(folder.path("site/socket")).expect("bind");
    let single = format!("/single:text/plain:{}", folder.path("site/fifo"));
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--staticdir", &path, "-F", &single]);
    for target in ["/fifo", "/zero", "/socket", "/odd/", "/odd/index.html/", "/single"] {
        assert_eq!(get(&server, target).head.status(), 404, "{target}");
    }
    assert_eq!(get(&server, "/").body(), "start");
}

#[test]
fn a_head_request_has_no_body_and_single_files_come_first() {
    let (folder, path) = site("staticdir-head");
    let single = format!("/:text/plain:{}", folder.path("outside"));
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--staticdir", &path, "-F", &single]);
    assert_eq!(get(&server, "/").body(), "secret");
    let mut exchange =
        Exchange::connect(server.port, "HEAD /app.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange.head.get("Content-Length"), Some("4"));
    assert!(exchange.ends());
}

#[test]
fn the_directory_needs_the_login_of_the_listener_and_must_exist() {
    let (folder, path) = site("staticdir-login");
    let tokens = folder.path("tokens");
    fs::write(&tokens, "letmein\n").expect("write");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:", "--staticdir", &path, "--require-token", &tokens]);
    assert_eq!(get(&server, "/app.js").head.status(), 401);
    assert_eq!(get(&server, "/app.js?access_token=letmein").head.status(), 200);
    run(["ws-l:0", "mirror:", "--staticdir", "/wsplice/missing"], "").fails_with(2, "No such file");
    run(["ws-l:0", "mirror:", "--staticdir", &tokens], "").fails_with(2, "not a directory");
}

#[test]
fn rooms_have_their_health_check_beside_a_directory() {
    let (_folder, path) = site("staticdir-rooms");
    let server = Serving::start(["--broadcast", "ws-l:127.0.0.1:0", "--staticdir", &path]);
    assert_eq!(get(&server, "/healthz").body(), "ok\n");
    assert_eq!(get(&server, "/").body(), "start");
}
