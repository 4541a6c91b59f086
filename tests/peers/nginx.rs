//! nginx as the reverse proxy in front of us.

use crate::{
    peer::{Peer, merged, node},
    support::{Folder, Running, Serving, run, wsplice},
};
use std::{fs, net::TcpListener};

/// A running nginx, and its folder. Both are removed at the end.
pub struct Nginx {
    running: Running,
    pub port: u16,
    _folder: Folder,
}

impl Nginx {
    /// nginx with the server block that `server` gives for a port.
    pub fn with(name: &str, server: impl Fn(u16) -> String) -> Self {
        let folder = Folder::new(name);
        // Between the release of a port and its use another program can take it.
        for _ in 0..5 {
            if let Some((running, port)) = start(&folder, &server) {
                return Self { running, port, _folder: folder };
            }
        }
        panic!("nginx does not start");
    }

    fn before(upstream: &str, name: &str) -> Self {
        Self::with(name, |port| {
            format!(
                "listen 127.0.0.1:{port};
                location /socket/ {{
                    proxy_pass http://{upstream}/;
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection \"upgrade\";
                    proxy_set_header Host $host;
                    proxy_read_timeout 25s;
                }}
                # A location where the two headers were forgotten.
                location /forgotten/ {{
                    proxy_pass http://{upstream}/;
                }}
                "
            )
        })
    }

    fn url(&self, path: &str) -> String {
        format!("ws://127.0.0.1:{}/{path}", self.port)
    }
}

fn start(folder: &Folder, server: impl Fn(u16) -> String) -> Option<(Running, u16)> {
    let free = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = free.local_addr().expect("address").port();
    drop(free);
    let server = server(port);
    let config = format!(
        "daemon off;
        # One process, which can be killed.
        master_process off;
        pid nginx.pid;
        error_log /dev/stdout notice;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            server {{
                {server}
            }}
        }}
        "
    );
    fs::write(folder.path("nginx.conf"), config).expect("write");
    let (prefix, file) = (folder.path(""), folder.path("nginx.conf"));
    let mut running = Running::start(merged("nginx", ["-p", &prefix, "-c", &file, "-e", "/dev/stdout"]));
    loop {
        let line = running.line();
        if line.contains("[emerg]") {
            return None;
        }
        // It has bound its port by then.
        if line.contains("event method") {
            return Some((running, port));
        }
    }
}

fn talks(nginx: &Nginx) {
    let finished = run([nginx.url("socket/")], "hello\n\nzwei ✓\n");
    finished.succeeds();
    assert_eq!(finished.out(), "hello\n\nzwei ✓\n");
    let mut client = Peer::client(node("ws_client.js", ["close", &nginx.url("socket/"), "4001", "through nginx"]));
    client.says(r#"closed 4001 "through nginx""#);
    let mut client = Peer::client(node("ws_client.js", ["burst", &nginx.url("socket/"), "50000"]));
    client.says("50000 in order").says(r#"closed 1000 """#);
    let mut client = Peer::client(node("ws_client.js", ["large", &nginx.url("socket/"), "5000000"]));
    client.says("binary 5000000 same");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn nginx_passes_websockets_on_to_a_tcp_listener() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    talks(&Nginx::before(&format!("127.0.0.1:{}", mirror.port), "nginx-tcp"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn nginx_passes_websockets_on_to_a_unix_socket() {
    let folder = Folder::new("nginx-upstream");
    let path = folder.path("socket");
    let mut command = wsplice(["ws-u:unix-l:".to_owned() + &path, "mirror:".into()]);
    command.arg("--stdout-announce-listening-ports");
    let mut mirror = Running::start(command);
    assert_eq!(mirror.line(), format!("LISTEN proto=unix,path={path}\n"));
    talks(&Nginx::before(&format!("unix:{path}:"), "nginx-unix"));
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_location_without_upgrade_headers_is_told_what_is_missing() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let nginx = Nginx::before(&format!("127.0.0.1:{}", mirror.port), "nginx-forgotten");
    let finished = run([nginx.url("forgotten/")], "hello\n");
    finished.fails_with(5, "426");
    assert_eq!(finished.out(), "");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_client_is_told_when_what_is_behind_nginx_is_gone() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let nginx = Nginx::before(&format!("127.0.0.1:{}", mirror.port), "nginx-gone");
    drop(mirror);
    run([nginx.url("socket/")], "hello\n").fails_with(5, "502");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_server_that_is_stopped_says_going_away_through_nginx() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let nginx = Nginx::before(&format!("127.0.0.1:{}", mirror.port), "nginx-away");
    let mut client = Running::start(wsplice([nginx.url("socket/")]));
    client.write("hello\n");
    assert_eq!(client.line(), "hello\n");
    mirror.running.signal("TERM");
    client.finish().succeeds();
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn nginx_that_ends_is_a_lost_connection() {
    let mirror = Serving::start(["ws-l:0", "mirror:"]);
    let nginx = Nginx::before(&format!("127.0.0.1:{}", mirror.port), "nginx-ends");
    let mut client = Running::start(wsplice([nginx.url("socket/")]));
    client.write("hello\n");
    assert_eq!(client.line(), "hello\n");
    drop(nginx.running);
    client.finish().fails_with(7, "");
}
