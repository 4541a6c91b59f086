//! `openssl s_client` and `openssl s_server`.

use crate::{
    peer::{Peer, merged},
    pem::{Pem, openssl},
    support::{Running, Serving, run, wsplice},
};
use std::process::Command;

fn args<'a>(parts: &[&'a [String]], more: &[&'a str]) -> Vec<&'a str> {
    more.iter().copied().chain(parts.iter().flat_map(|part| part.iter().map(String::as_str))).collect()
}

/// `s_client` with a connection that it must trust.
fn s_client(pem: &Pem, port: u16, more: &[&str]) -> Running {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost"]);
    command.args(["-CAfile", &pem.path("ca.pem"), "-connect", &format!("127.0.0.1:{port}")]).args(more);
    Running::start(command)
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn s_client_speaks_through_a_tls_listener() {
    let pem = Pem::new("openssl-listen");
    let mirror = Serving::start(args(&[&pem.serving()], &["tls-l:0", "mirror:"]));
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = s_client(&pem, mirror.port, &[version]);
        client.write("hello\n");
        assert_eq!(client.line(), "hello\n");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn s_client_upgrades_on_a_wss_listener() {
    let pem = Pem::new("openssl-wss");
    let server = Serving::start(args(&[&pem.serving()], &["wss-l:0", "literal:hello"]));
    let mut client = s_client(&pem, server.port, &[]);
    client.write(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(client.line(), "HTTP/1.1 101 Switching Protocols\r\n");
    let mut head = String::new();
    loop {
        let line = client.line();
        if line == "\r\n" {
            break;
        }
        head += &line.to_lowercase();
    }
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    // A final text frame of five bytes, then the close frame and the end.
    let rest = client.finish().stdout;
    assert!(rest.windows(7).any(|window| window == b"\x81\x05hello"), "{rest:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn s_client_needs_a_certificate_where_one_is_demanded() {
    let pem = Pem::new("openssl-client");
    pem.make_stranger();
    let server = Serving::start(args(&[&pem.serving(), &pem.demanding()], &["tls-l:0", "mirror:"]));
    let certificate = |name: &str| (pem.path(&format!("{name}.pem")), pem.path(&format!("{name}.key")));

    let (cert, key) = certificate("client");
    let mut known = s_client(&pem, server.port, &["-cert", &cert, "-key", &key]);
    known.write("hello\n");
    assert_eq!(known.line(), "hello\n");

    let (cert, key) = certificate("stranger");
    let stranger = s_client(&pem, server.port, &["-cert", &cert, "-key", &key]).finish();
    assert!(stranger.stderr.contains("alert"), "{stranger:?}");
    let nobody = s_client(&pem, server.port, &[]).finish();
    assert!(nobody.stderr.contains("alert"), "{nobody:?}");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn keys_of_every_form_that_openssl_writes_are_read() {
    let pem = Pem::new("openssl-keys");
    let make = |name: &str, arguments: &[&str]| {
        let path = pem.path(name);
        let (command, options) = arguments.split_first().expect("a command");
        openssl(&[&[*command, "-out", &path], options].concat());
        path
    };
    let keys = [
        make("pkcs1.key", &["genrsa", "-traditional", "2048"]),
        make("pkcs8.key", &["genrsa", "2048"]),
        // Begins with its curve's parameters.
        make("sec1.key", &["ecparam", "-name", "prime256v1", "-genkey"]),
        make("p384.key", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp384r1"]),
        make("ed25519.key", &["genpkey", "-algorithm", "ed25519"]),
    ];
    for key in &keys {
        let cert = key.replace(".key", ".pem");
        let config = pem.path("openssl.cnf");
        let name = ["req", "-x509", "-config", &config, "-extensions", "server", "-days", "2", "-key", key];
        openssl(&[&name[..], &["-out", &cert]].concat());
        let server = Serving::start(["wss-l:0", "mirror:", "--cert", &cert, "--key", key]);
        let finished = run([&format!("wss://localhost:{}/", server.port), "--cacert", &cert], "hello\n");
        assert_eq!((finished.code, finished.out().as_str()), (0, "hello\n"), "{key}: {finished:?}");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn archives_and_encrypted_keys_that_openssl_writes_are_read() {
    let pem = Pem::new("openssl-archives");
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| pem.path(name));
    let serves = |options: &[&str]| {
        let server = Serving::start([&["wss-l:0", "mirror:"][..], options].concat());
        let finished = run([&format!("wss://localhost:{}/", server.port), "--cacert", &ca], "hello\n");
        assert_eq!((finished.code, finished.out().as_str()), (0, "hello\n"), "{options:?}: {finished:?}");
    };
    for (name, more) in [("new.p12", &[][..]), ("old.p12", &["-legacy"]), ("chain.p12", &["-certfile", &ca])] {
        let archive = pem.path(name);
        let export =
            ["pkcs12", "-export", "-inkey", &key, "-in", &cert, "-passout", "pass:geheim \u{e4}", "-out", &archive];
        openssl(&[&export[..], more].concat());
        serves(&["--pkcs12-der", &archive, "--pkcs12-passwd", "geheim \u{e4}"]);
    }
    for (name, more) in [("aes.key", &[][..]), ("scrypt.key", &["-scrypt"]), ("des.key", &["-v2", "des3"])] {
        let encrypted = pem.path(name);
        openssl(&[&["pkcs8", "-topk8", "-in", &key, "-passout", "pass:secret", "-out", &encrypted], more].concat());
        serves(&["--cert", &cert, "--key", &encrypted, "--passphrase", "secret"]);
    }
}

/// `s_server`, which sends each line back reversed.
fn s_server(pem: &Pem, more: &[&str]) -> Peer {
    let [cert, key] = ["server.pem", "server.key"].map(|name| pem.path(name));
    let arguments = ["s_server", "-accept", "127.0.0.1:0", "-cert", &cert, "-key", &key, "-rev"];
    Peer::start(merged("openssl", arguments.into_iter().chain(more.iter().copied())), "ACCEPT ")
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn s_server_is_heard_through_tls() {
    let pem = Pem::new("openssl-server");
    for version in ["-tls1_2", "-tls1_3"] {
        let server = s_server(&pem, &[version]);
        let address = format!("tls:localhost:{}", server.port);
        let mut client = Running::start(wsplice(args(&[&pem.trusting()], &[&address])));
        client.write("hello\n");
        assert_eq!(client.line(), "olleh\n");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn s_server_is_shown_our_certificate() {
    let pem = Pem::new("openssl-verify");
    let ca = pem.path("ca.pem");
    let server = s_server(&pem, &["-Verify", "1", "-verify_return_error", "-CAfile", &ca]);
    let address = format!("tls:localhost:{}", server.port);
    let mut known = Running::start(wsplice(args(&[&pem.trusting(), &pem.known()], &[&address])));
    known.write("hello\n");
    assert_eq!(known.line(), "olleh\n");
    drop(known);
    let nobody = Running::start(wsplice(args(&[&pem.trusting()], &[&address]))).finish();
    nobody.fails_with(4, "certificate").hints("--client-cert");
    let url = format!("wss://localhost:{}/", server.port);
    run(args(&[&pem.trusting()], &[&url]), "").fails_with(4, "certificate").hints("--client-cert");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_certificate_of_an_unknown_authority_is_exit_4_unless_any_will_do() {
    let pem = Pem::new("openssl-unknown");
    let server = s_server(&pem, &[]);
    let address = format!("tls:localhost:{}", server.port);
    run([&address], "").fails_with(4, "").hints("--cacert");
    let mut client = Running::start(wsplice(["-k", &address]));
    client.write("hello\n");
    assert_eq!(client.line(), "olleh\n");
}
