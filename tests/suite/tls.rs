//! Certificates: valid ones, and the error for each way in which they can be invalid.

use crate::{
    certificates::{Authority, Identity, pem},
    http::Head,
    raw::from_client,
    support::{Finished, Folder, Running, Serving, one_connection, run, wsplice},
};
use rcgen::{BasicConstraints, IsCa, date_time_ymd};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
};

fn url(server: &Serving) -> String {
    format!("wss://127.0.0.1:{}/", server.port)
}

/// Sends a line to a mirror and gets it back.
#[track_caller]
fn echoes<const N: usize>(args: [&str; N]) {
    let finished = run(args, "hello\n");
    assert_eq!(finished.succeeds().out(), "hello\n", "{finished:?}");
    assert_eq!(finished.stderr, "");
}

#[track_caller]
fn fails<const N: usize>(args: [&str; N], reason: &str) -> Finished {
    let finished = run(args, "hello\n");
    finished.fails_with(4, reason).fails_with(4, "TLS with 127.0.0.1:");
    assert_eq!(finished.out(), "");
    finished
}

#[test]
fn a_certificate_of_a_given_authority_is_accepted() {
    let authority = Authority::new("good");
    let server = authority.serves(|_| {});
    echoes(["--cacert", &authority.file, &url(&server)]);
    echoes(["--cacert", &authority.file, &format!("wss://localhost:{}/", server.port)]);
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_unless_any_is_accepted() {
    let authority = Authority::new("unknown");
    let server = authority.serves(|_| {});
    fails([&url(&server)], "not signed by a trusted CA").hints("--cacert");
    let other = Authority::new("other");
    fails(["--cacert", &other.file, &url(&server)], "not signed by a trusted CA").hints("-k");
    echoes(["-k", &url(&server)]);
}

#[test]
fn a_client_that_refuses_our_certificate_is_reported_and_others_are_served() {
    let authority = Authority::new("refused");
    let mut server = authority.serves(|_| {});
    fails([&url(&server)], "not signed by a trusted CA");
    let line = server.running.error_line("does not trust the CA of our certificate");
    assert!(line.starts_with("wsplice: TLS with 127.0.0.1:"), "{line}");
    echoes(["--cacert", &authority.file, &url(&server)]);
}

#[test]
fn an_expired_certificate_is_refused_with_its_age() {
    let authority = Authority::new("expired");
    let server = authority.serves(|params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    fails(["--cacert", &authority.file, &url(&server)], "certificate expired ").hints("renew");
    fails(["--cacert", &authority.file, &url(&server)], " days ago");
    echoes(["-k", &url(&server)]);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused_with_the_time_left() {
    let authority = Authority::new("not-yet");
    let server = authority.serves(|params| {
        params.not_before = date_time_ymd(4000, 1, 1);
        params.not_after = date_time_ymd(4001, 1, 1);
    });
    fails(["--cacert", &authority.file, &url(&server)], "becomes valid in ").hints("clock");
}

#[test]
fn a_certificate_for_another_host_names_both() {
    let authority = Authority::new("wrong-host");
    let server = authority.serves(|params| {
        params.subject_alt_names.clear();
        params.subject_alt_names.push(rcgen::SanType::DnsName("chat.example.com".try_into().expect("a name")));
    });
    let reason = "certificate is for chat.example.com, not for 127.0.0.1";
    fails(["--cacert", &authority.file, &url(&server)], reason).hints("--tls-domain");
    echoes(["--cacert", &authority.file, "--tls-domain", "chat.example.com", &url(&server)]);
    let reason = "certificate is for chat.example.com, not for other.example.com";
    fails(["--cacert", &authority.file, "--tls-domain", "other.example.com", &url(&server)], reason);
}

#[test]
fn an_authority_s_own_certificate_is_not_a_server_s() {
    let authority = Authority::new("ca-as-server");
    let server = authority.serves(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    fails(["--cacert", &authority.file, &url(&server)], "a CA certificate").hints("CA:FALSE");
}

#[test]
fn a_name_that_no_certificate_can_have_is_refused() {
    run(["--tls-domain", "not a name", "wss://127.0.0.1:1/"], "").fails_with(2, "not a name").hints("--tls-domain");
}

#[test]
fn a_listener_can_demand_a_client_certificate() {
    let authority = Authority::new("client-certificate");
    let ours = authority.issue("server", |_| {});
    let theirs = authority.issue("client", |_| {});
    let mut server = Serving::start([
        "wss-l:127.0.0.1:0",
        "mirror:",
        "--cert",
        &ours.cert,
        "--key",
        &ours.key,
        "--client-ca",
        &authority.file,
    ]);
    let trust = ["--cacert", authority.file.as_str()];
    fails([trust[0], trust[1], &url(&server)], "requires a client certificate").hints("--client-cert");
    server.running.error_line("the client sent no certificate");
    echoes([trust[0], trust[1], "--client-cert", &theirs.cert, "--client-key", &theirs.key, &url(&server)]);

    let other = Authority::new("stranger");
    let stranger = other.issue("client", |_| {});
    fails(
        [trust[0], trust[1], "--client-cert", &stranger.cert, "--client-key", &stranger.key, &url(&server)],
        "does not trust the CA of our certificate",
    );
    let line = server.running.error_line("certificate is not signed by a trusted CA");
    assert!(line.contains("the client's certificate"), "{line}");

    let expired = authority.issue("expired", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    fails(
        [trust[0], trust[1], "--client-cert", &expired.cert, "--client-key", &expired.key, &url(&server)],
        "does not accept our certificate",
    );
    server.running.error_line("the client's certificate expired");
}

#[test]
fn a_refused_client_certificate_is_a_tls_error_below_bytes_too() {
    let authority = Authority::new("client-certificate-bytes");
    let ours = authority.issue("server", |_| {});
    let server = Serving::start([
        "tls-l:127.0.0.1:0",
        "mirror:",
        "--cert",
        &ours.cert,
        "--key",
        &ours.key,
        "--client-ca",
        &authority.file,
    ]);
    let mut running =
        Running::start(wsplice(["--cacert", &authority.file, "-", &format!("tls:127.0.0.1:{}", server.port)]));
    running.write("hello\n");
    running.finish().fails_with(4, "requires a client certificate").hints("--client-cert");
}

#[test]
fn certificate_files_that_cannot_be_used_are_named() {
    let authority = Authority::new("files");
    let Identity { cert, key } = authority.issue("server", |_| {});
    let other = authority.issue("other", |_| {});
    let file = |name: &str, text: &str| {
        let path = authority.folder.path(name);
        fs::write(&path, text).expect("write");
        path
    };
    let empty = file("empty.pem", "");
    let noise = file("noise.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let encrypted = file("encrypted.key", &pem("ENCRYPTED PRIVATE KEY", b"not that anybody could tell"));
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
        -----END RSA PRIVATE KEY-----\n";
    let encrypted_as_of_old = file("old.key", old);
    let missing = authority.folder.path("missing.pem");
    for (cert, key, named, reason) in [
        (&missing, &key, &missing, "No such file"),
        (&cert, &missing, &missing, "No such file"),
        (&empty, &key, &empty, "has no certificate"),
        (&key, &key, &key, "has no certificate"),
        (&noise, &key, &noise, "is not a valid PEM file"),
        (&cert, &empty, &empty, "has no private key"),
        (&cert, &cert, &cert, "has no private key"),
        (&cert, &encrypted, &encrypted, "is encrypted; --passphrase TEXT decrypts it"),
        (
            &cert,
            &encrypted_as_of_old,
            &encrypted_as_of_old,
            "is encrypted in an old format; decrypt it with `openssl pkey",
        ),
        (&cert, &other.key, &other.key, "the key does not belong to the certificate"),
    ] {
        let finished = run(["wss-l:0", "mirror:", "--cert", cert, "--key", key], "");
        finished.fails_with(2, reason).fails_with(2, named);
        let finished = run(["wss://127.0.0.1:1/", "--client-cert", cert, "--client-key", key], "");
        finished.fails_with(2, reason).fails_with(2, named);
    }
    for (option, url) in [("--cacert", "wss://127.0.0.1:1/"), ("--client-ca", "wss-l:0")] {
        let args = |path: &str| [option, path, url, "mirror:", "--cert", &cert, "--key", &key].map(str::to_owned);
        run(args(&missing), "").fails_with(2, "No such file").fails_with(2, &missing);
        run(args(&empty), "").fails_with(2, "has no certificate").fails_with(2, &empty);
    }
}

#[test]
fn a_folder_instead_of_a_certificate_is_an_error() {
    let folder = Folder::new("certificate-folder");
    run(["wss://127.0.0.1:1/", "--cacert", &folder.path("")], "").fails_with(2, "Is a directory");
}

#[test]
fn a_self_signed_listener_prints_the_fingerprint_of_its_certificate() {
    let mut server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    let line = server.running.error_line("SHA-256 fingerprint");
    let told = line.trim().rsplit(' ').next().expect("a fingerprint").to_owned();
    assert_eq!(told, fingerprint(server.port));
    fails([&url(&server)], "certificate").hints("-k");
    echoes(["-k", &url(&server)]);
}

/// The SHA-256 fingerprint of the certificate that a server sends.
fn fingerprint(port: u16) -> String {
    use std::sync::{Arc, Mutex};
    use tokio_rustls::rustls::{
        self, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName, UnixTime},
    };
    #[derive(Debug, Default)]
    struct Witness(Mutex<Vec<u8>>);
    impl ServerCertVerifier for Witness {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            *self.0.lock().expect("unpoisoned") = certificate.to_vec();
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
    let witness = Arc::new(Witness::default());
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = crate::support::connect(port);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).expect("a handshake");
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &witness.0.lock().expect("unpoisoned"));
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[test]
fn a_tls_server_on_a_plain_url_is_recognised() {
    let mut server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    run([format!("ws://127.0.0.1:{}/", server.port)], "hello\n")
        .fails_with(5, "the response is not HTTP")
        .hints("wss://");
    let line = server.running.error_line("does not speak TLS");
    assert!(line.starts_with("wsplice: TLS with 127.0.0.1:"), "{line}");
    echoes(["-k", &url(&server)]);
}

#[test]
fn a_tls_server_that_answers_400_in_plain_text_is_recognised() {
    // nginx does so.
    let (port, server) = one_connection(|mut stream| {
        Head::read(&mut stream);
        let body = "The plain HTTP request was sent to HTTPS port";
        write!(stream, "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("write");
    });
    run([format!("ws://127.0.0.1:{port}/")], "").fails_with(5, "expected 101, got 400 Bad Request").hints("wss://");
    server.join().expect("served");
}

#[test]
fn a_plain_server_on_a_tls_url_is_recognised() {
    let mut server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    fails([&url(&server)], "does not speak TLS").hints("ws://");
    server.running.error_line("not HTTP");
    assert_eq!(run([server.url()], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn a_server_that_hangs_up_in_the_tls_handshake_is_named() {
    let (port, server) = one_connection(|mut stream| {
        stream.read_exact(&mut [0; 5]).expect("the start of a greeting");
        // Reads everything, since closing a socket with unread data resets the connection.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(1))).expect("set a limit");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    fails([&format!("wss://127.0.0.1:{port}/")], "the connection ended during the handshake");
    server.join().expect("served");
}

#[test]
fn a_client_that_sends_nothing_times_out() {
    let mut server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed", "--connect-timeout", "0.5"]);
    let mut silent = server.connect();
    assert_eq!(silent.read(&mut [0]).expect("the end"), 0);
    server.running.error_line("in the TLS handshake");
}

#[test]
fn garbage_below_an_upgraded_tls_connection_is_reported() {
    let mut server = Serving::start(["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]);
    let mut garbage = server.connect();
    garbage.write_all(&from_client(0x81, "no TLS")).expect("write");
    let _ = garbage.read_to_end(&mut Vec::new());
    server.running.error_line("does not speak TLS");
    echoes(["-k", &url(&server)]);
}

#[test]
fn a_tls_connection_that_is_cut_off_is_lost_for_bytes() {
    // A proxy that ends the connection without close_notify.
    let server = Serving::start(["tls-l:127.0.0.1:0", "sh-c:echo before; cat >/dev/null", "--self-signed"]);
    let proxy = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = proxy.local_addr().expect("an address").port();
    let behind = server.port;
    let proxied = std::thread::spawn(move || {
        let (client, _) = proxy.accept().expect("accept");
        let far = crate::support::connect(behind);
        let (mut from_client, mut to_far) = (client.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
        std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_far));
        (client, far)
    });
    let mut running = Running::start(wsplice(["-k", "-", &format!("tls:127.0.0.1:{port}")]));
    let (client, mut far) = proxied.join().expect("proxied");
    let mut to_client = client.try_clone().expect("a handle");
    std::thread::spawn(move || std::io::copy(&mut far, &mut to_client));
    assert_eq!(running.line(), "before\n");
    client.shutdown(std::net::Shutdown::Write).expect("cut off");
    running.finish().fails_with(7, "close_notify");
}
