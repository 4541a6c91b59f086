//! Certificates and keys in archives, and keys that are encrypted.

use crate::support::{Finished, Folder, Serving, run};
use std::fs;

/// A file of `tests/suite/identity`.
fn file(name: &str) -> String {
    format!("{}/tests/suite/identity/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Starts a mirror with these options of its identity, and gets a line back from it.
#[track_caller]
fn serves(options: &[&str]) {
    let server = Serving::start([&["wss-l:127.0.0.1:0", "mirror:"][..], options].concat());
    let finished = run(["--cacert", &*file("ca.pem"), &format!("wss://localhost:{}/", server.port)], "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n", "{options:?}");
}

/// The error of a listener with these options.
fn error(options: &[&str]) -> Finished {
    run([&["wss-l:127.0.0.1:0", "mirror:"][..], options].concat(), "")
}

#[test]
fn a_listener_uses_a_pkcs12_archive_of_any_openssl() {
    for (archive, password) in [("openssl3.p12", "secret"), ("legacy.p12", "secret")] {
        serves(&["--pkcs12-der", &file(archive), "--pkcs12-passwd", password]);
    }
    serves(&["--pkcs12-der", &file("no-password.p12")]);
    serves(&["--pkcs12-der", &file("no-password.p12"), "--pkcs12-passwd", ""]);
}

#[test]
fn a_client_shows_the_certificate_of_a_pkcs12_archive() {
    let archive = file("openssl3.p12");
    let ca = file("ca.pem");
    let options = ["--pkcs12-der", &archive, "--pkcs12-passwd", "secret", "--client-ca", &ca];
    let server = Serving::start([&["wss-l:127.0.0.1:0", "mirror:"][..], &options].concat());
    let url = format!("wss://localhost:{}/", server.port);
    let client = ["--cacert", &ca, "--client-pkcs12-der", &archive, "--client-pkcs12-passwd", "secret", &url];
    assert_eq!(run(client, "hello\n").succeeds().out(), "hello\n");
    run(["--cacert", &*ca, &url], "hello\n").fails_with(4, "requires a client certificate");
}

#[test]
fn an_encrypted_key_is_decrypted_with_its_passphrase() {
    for key in ["encrypted.key", "encrypted-des3.key"] {
        serves(&["--cert", &file("cert.pem"), "--key", &file(key), "--passphrase", "secret"]);
    }
}

#[test]
fn a_wrong_password_or_file_is_a_clear_error() {
    let archive = |name: &str, password: &str| error(&["--pkcs12-der", &file(name), "--pkcs12-passwd", password]);
    for name in ["openssl3.p12", "legacy.p12"] {
        archive(name, "wrong").fails_with(2, &format!("cannot use {}: wrong password", file(name)));
    }
    error(&["--pkcs12-der", &file("openssl3.p12")]).fails_with(2, "it has a password, which --pkcs12-passwd");
    archive("cert.pem", "secret").fails_with(2, "not a PKCS #12 file");
    archive("many-iterations.p12", "secret").fails_with(2, "more than 1000000 iterations");
    archive("no-key.p12", "secret").fails_with(2, "no private key");
    archive("missing.p12", "secret").fails_with(2, "missing.p12: No such file");
    let key = |name: &str, options: &[&str]| {
        error(&[&["--cert", &*file("cert.pem"), "--key", &*file(name)][..], options].concat())
    };
    key("encrypted.key", &[]).fails_with(2, "is encrypted; --passphrase TEXT decrypts it");
    key("encrypted.key", &["--passphrase", "wrong"]).fails_with(2, "--passphrase is wrong");
    key("traditional.key", &["--passphrase", "secret"]).fails_with(2, "openssl pkey");
    error(&["--passphrase", "secret", "--self-signed"]).fails_with(2, "--passphrase needs --key");
    error(&["--pkcs12-passwd", "secret"]).fails_with(2, "--pkcs12-der");
}

#[test]
fn any_bytes_as_an_archive_or_a_key_are_an_error() {
    let folder = Folder::new("damaged");
    let path = folder.path("identity");
    let whole = fs::read(file("openssl3.p12")).expect("it is there");
    for cut in [0, 1, 2, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).expect("write");
        error(&["--pkcs12-der", &path, "--pkcs12-passwd", "secret"]).fails_with(2, "cannot use");
    }
    for at in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, damaged).expect("write");
        error(&["--pkcs12-der", &path, "--pkcs12-passwd", "secret"]).fails_with(2, "cannot use");
    }
    let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&path, key).expect("write");
    error(&["--cert", &file("cert.pem"), "--key", &path, "--passphrase", "x"])
        .fails_with(2, "invalid encrypted private key");
}

#[test]
fn secrets_of_tls_are_written_to_sslkeylogfile() {
    let folder = Folder::new("keylog");
    let log = folder.path("keys");
    let server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    let url = format!("wss://127.0.0.1:{}/", server.port);
    let mut command = crate::support::wsplice(["-k", &url]);
    command.env("SSLKEYLOGFILE", &log);
    let mut client = crate::support::Running::start(command);
    client.write("hello\n");
    client.close_input();
    client.finish().succeeds();
    let secrets = fs::read_to_string(&log).expect("it is there");
    assert!(secrets.contains("CLIENT_TRAFFIC_SECRET_0 ") && secrets.contains("SERVER_TRAFFIC_SECRET_0 "), "{secrets}");
}

#[test]
fn s_listens_with_tls_if_there_is_a_certificate() {
    let (cert, archive) = (file("cert.pem"), file("no-password.p12"));
    let (key, ca) = (file("encrypted.key"), file("ca.pem"));
    for options in [&["--pkcs12-der", &*archive][..], &["--cert", &cert, "--key", &key, "--passphrase", "secret"]] {
        let server = Serving::start([&["-s", "0", "mirror:"][..], options].concat());
        let url = format!("wss://localhost:{}/", server.port);
        assert_eq!(run(["--cacert", &ca, &url], "hello\n").succeeds().out(), "hello\n", "{options:?}");
    }
    let room = Serving::start(["--broadcast", "-s", "[::1]:0", "--self-signed"]);
    let url = format!("wss://[::1]:{}/", room.port);
    assert_eq!(run(["-k", "-1", &url], "hello\n").succeeds().out(), "hello\n");
}
