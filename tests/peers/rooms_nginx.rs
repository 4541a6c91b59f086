//! The room server behind nginx with TLS, with the block that the README shows.

use crate::{
    nginx::Nginx,
    peer::{Peer, node, python, script},
    pem::Pem,
    support::{LIMIT, Running, Serving, run, wsplice},
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// The read timeout of nginx where a test is about it, instead of a minute.
const SHORT: Duration = Duration::from_secs(2);

/// nginx in front of a room server, and the certificates between it and the clients.
pub struct Proxied {
    pub rooms: Serving,
    nginx: Nginx,
    pem: Pem,
}

impl Proxied {
    /// Starts `wsplice --broadcast ARGS` and nginx before it.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::with_timeout(name, arguments, Duration::from_secs(60))
    }

    fn with_timeout(name: &str, arguments: &[&str], read_timeout: Duration) -> Self {
        let rooms = Serving::start([&["--broadcast", "ws-l:127.0.0.1:0"], arguments].concat());
        let pem = Pem::new(&format!("{name}-pem"));
        let block = fs::read_to_string(script("../nginx-broadcast.conf")).expect("the block");
        let changes = [
            ("http://127.0.0.1:8080;", format!("http://127.0.0.1:{};", rooms.port)),
            ("proxy_read_timeout 60s;", format!("proxy_read_timeout {}s;", read_timeout.as_secs())),
        ];
        let block = changes.iter().fold(block, |block, (from, to)| {
            assert_eq!(block.matches(from).count(), 1, "{from:?} in {block}");
            block.replace(from, to)
        });
        let [cert, key] = ["server.pem", "server.key"].map(|file| pem.path(file));
        let nginx = Nginx::with(name, |port| {
            format!("listen 127.0.0.1:{port} ssl;\nssl_certificate {cert};\nssl_certificate_key {key};\n{block}")
        });
        Self { rooms, nginx, pem }
    }

    /// `SCHEME://localhost:PORT/broadcast/ROOM`.
    pub fn url(&self, scheme: &str, room: &str) -> String {
        format!("{scheme}://localhost:{}/broadcast/{room}", self.nginx.port)
    }

    /// A member with Node's ws that has joined, from this address.
    #[track_caller]
    fn node_from(&self, address: &str, forwarded: &str, room: &str, joined: &str) -> Peer {
        let url = format!("wss://127.0.0.1:{}/broadcast/{room}", self.nginx.port);
        let mut member = Peer::client(node("room_member.js", [&url, &self.pem.path("ca.pem"), address, forwarded]));
        member.says(joined);
        member
    }

    fn node(&self, room: &str) -> Peer {
        self.node_from("127.0.0.1", "", room, "joined")
    }

    fn python(&self, room: &str) -> Peer {
        let mut member = Peer::client(python("room_member.py", [&*self.url("wss", room), &self.pem.path("ca.pem")]));
        member.says("joined");
        member
    }

    /// A member with our own client. The server's log tells when it has joined.
    fn ours(&mut self, room: &str) -> Running {
        let member = Running::start(wsplice([&[self.url("wss", room)][..], &self.pem.trusting()].concat()));
        self.rooms.running.error_line("join peer=");
        member
    }
}

/// The next line that does not report a ping.
#[track_caller]
pub fn heard(member: &mut Peer) -> String {
    loop {
        let line = member.running.line();
        if line != "ping\n" {
            return line.trim_end().to_owned();
        }
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn members_with_different_clients_hear_each_other_through_nginx() {
    let mut proxied = Proxied::start("rooms-nginx", &["-v"]);
    let (mut node, mut python) = (proxied.node("realm"), proxied.python("realm"));
    for _ in 0..2 {
        proxied.rooms.running.error_line("join peer=");
    }
    let mut ours = proxied.ours("realm");
    let mut elsewhere = proxied.node("realm?x");

    ours.write("from ours ✓\n");
    assert_eq!(ours.line(), "from ours ✓\n");
    for member in [&mut node, &mut python] {
        assert_eq!(heard(member), r#"text "from ours ✓""#);
    }
    node.running.write("text \"from node\"\nbinary 00ff0a\ntext \"\"\n");
    for member in [&mut node, &mut python] {
        for line in [r#"text "from node""#, "binary 00ff0a", r#"text """#] {
            assert_eq!(heard(member), line);
        }
    }
    python.running.write("text \"from python\"\nclose\n");
    assert_eq!(heard(&mut python), r#"text "from python""#);
    assert_eq!(heard(&mut python), r#"closed 1000 """#);
    assert_eq!(heard(&mut node), r#"text "from python""#);
    // Nothing of it reached another room.
    elsewhere.running.write("text \"elsewhere\"\n");
    assert_eq!(heard(&mut elsewhere), r#"text "elsewhere""#);
    node.running.write("close\n");
    assert_eq!(heard(&mut node), r#"closed 1000 """#);
    ours.close_input();
    let finished = ours.finish();
    finished.succeeds();
    let all = [&b"from ours \xe2\x9c\x93\nfrom node\n"[..], &[0, 255, 10, b'\n'], b"\n", b"from python\n"].concat();
    assert_eq!(finished.stdout, all);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn nginx_answers_what_browsers_ask_beforehand() {
    let proxied = Proxied::start("rooms-options", &[]);
    let answer = node("preflight.js", [&*proxied.url("https", "realm"), &proxied.pem.path("ca.pem")]);
    let finished = Running::start(answer).finish();
    let expected = "204\naccess-control-allow-headers: Authorization, Content-Type\n\
        access-control-allow-methods: GET, OPTIONS\naccess-control-allow-origin: *\naccess-control-max-age: 86400\n";
    assert_eq!(finished.out(), expected);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn idle_members_outlast_nginx_s_time_out_thanks_to_our_pings() {
    let mut proxied = Proxied::with_timeout("rooms-idle", &["-v", "--ping-interval", "0.5"], SHORT);
    let started = Instant::now();
    let mut ours = proxied.ours("idle");
    let mut node = proxied.node("idle");
    // Pings are all that comes; so many prove that the time-out has passed more than once.
    while started.elapsed() < 3 * SHORT {
        node.says("ping");
    }
    ours.write("still here\n");
    assert_eq!(ours.line(), "still here\n");
    assert_eq!(heard(&mut node), r#"text "still here""#);
    ours.close_input();
    ours.finish().succeeds();
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn without_pings_nginx_ends_idle_members() {
    let mut proxied = Proxied::with_timeout("rooms-silent", &["-v", "--ping-interval", "0"], SHORT);
    let started = Instant::now();
    let ours = proxied.ours("idle");
    let mut node = proxied.node("idle");
    assert_eq!(heard(&mut node), r#"closed 1006 """#);
    assert!(started.elapsed() >= SHORT);
    // Standard input is still open: the connection's loss ends it.
    ours.finish().fails_with(7, "");
    // The server notices that both are gone.
    for _ in 0..2 {
        proxied.rooms.running.error_line("leave ");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn members_behind_a_trusted_nginx_are_known_by_their_own_addresses() {
    let arguments = ["-v", "--trust-proxy", "127.0.0.1/32", "--max-per-address", "1"];
    let mut proxied = Proxied::start("rooms-trust", &arguments);
    let mut first = proxied.node_from("127.0.0.2", "", "realm", "joined");
    let line = proxied.rooms.running.error_line("join peer=");
    assert!(line.contains("peer=127.0.0.2 (through 127.0.0.1:"), "{line}");
    // The server ignores the address that a client claims, so a client cannot evade its limit.
    proxied.node_from("127.0.0.2", "203.0.113.7", "realm", "refused 503");
    let mut second = proxied.node_from("127.0.0.3", "127.0.0.2", "realm", "joined");
    let line = proxied.rooms.running.error_line("join peer=");
    assert!(line.contains("peer=127.0.0.3 (through 127.0.0.1:"), "{line}");
    first.running.write("text \"hello\"\nclose\n");
    assert_eq!(heard(&mut second), r#"text "hello""#);
    assert_eq!(heard(&mut first), r#"text "hello""#);
    assert_eq!(heard(&mut first), r#"closed 1000 """#);
    proxied.rooms.running.error_line("leave ");
    // Its place is free again.
    proxied.node_from("127.0.0.2", "", "realm", "joined");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn without_trust_all_members_behind_nginx_are_nginx() {
    let mut proxied = Proxied::start("rooms-distrust", &["-v"]);
    let _member = proxied.node_from("127.0.0.2", "203.0.113.7", "realm", "joined");
    let line = proxied.rooms.running.error_line("join peer=");
    assert!(line.contains("peer=127.0.0.1:") && !line.contains("through"), "{line}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn members_are_told_through_nginx_that_the_server_goes_away() {
    let mut proxied = Proxied::start("rooms-away", &["-v"]);
    let mut ours = proxied.ours("realm");
    let (mut node, mut python) = (proxied.node("realm"), proxied.python("realm"));
    ours.write("hello\n");
    assert_eq!(ours.line(), "hello\n");
    proxied.rooms.running.signal("TERM");
    for member in [&mut node, &mut python] {
        assert_eq!(heard(member), r#"text "hello""#);
        assert_eq!(heard(member), r#"closed 1001 """#);
    }
    ours.finish().succeeds();
    let finished = proxied.rooms.running.finish();
    assert!(finished.code == 143 && finished.took < LIMIT, "{finished:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_member_that_nginx_cannot_reach_the_server_for_is_told() {
    let Proxied { rooms, nginx, pem } = Proxied::start("rooms-down", &[]);
    drop(rooms);
    let url = format!("wss://localhost:{}/broadcast/realm", nginx.port);
    run([&[url][..], &pem.trusting()].concat(), "hello\n").fails_with(5, "502");
}
