//! SIGHUP: a listener reads its files again, and ends only when its terminal is closed.

use crate::{
    certificates::{Authority, Identity},
    http::{Exchange, upgrade_request},
    peer::Peer,
    rooms::rooms,
    support::{Folder, Running, Serving, program, run, wsplice},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::{fs, os::fd::OwnedFd, process::Command};

/// A mirror with this certificate.
#[track_caller]
fn serve(identity: &Identity, more: &[&str]) -> Serving {
    let args = ["wss-l:127.0.0.1:0", "mirror:", "--cert", &identity.cert, "--key", &identity.key];
    Serving::start(args.iter().chain(more))
}

fn url(server: &Serving) -> String {
    format!("wss://127.0.0.1:{}/", server.port)
}

/// A client that stays connected.
struct Client(Running);

impl Client {
    #[track_caller]
    fn connect(authority: &str, server: &Serving) -> Self {
        let mut client = Self(Running::start(wsplice(["--cacert", authority, &url(server)])));
        client.echoes();
        client
    }

    #[track_caller]
    fn echoes(&mut self) {
        self.0.write("hello\n");
        assert_eq!(self.0.line(), "hello\n");
    }
}

/// Sends SIGHUP, and waits for the line that says what was read.
#[track_caller]
fn reload(server: &mut Serving, expected: &[&str]) {
    server.running.signal("HUP");
    let line = server.running.error_line("SIGHUP: ");
    assert_eq!(line, format!("* SIGHUP: read {} again\n", expected.join(", ")));
}

/// Sends SIGHUP, and waits for the line that says why a file cannot be used.
#[track_caller]
fn keeps(server: &mut Serving, reason: &str) {
    server.running.signal("HUP");
    let line = server.running.error_line("SIGHUP: ");
    assert!(line.contains(reason) && line.ends_with("; what was read before stays in use\n"), "{line}");
}

#[test]
fn new_handshakes_get_the_new_certificate_and_connections_stay() {
    let [old, new] = ["old-certificate", "new-certificate"].map(Authority::new);
    let ours = old.issue("server", |_| {});
    let mut server = serve(&ours, &[]);
    let mut stays = Client::connect(&old.file, &server);
    let next = new.issue("server", |_| {});
    fs::rename(&next.cert, &ours.cert).expect("rename");
    fs::rename(&next.key, &ours.key).expect("rename");
    Client::connect(&old.file, &server);
    reload(&mut server, &[&ours.cert, &ours.key]);
    Client::connect(&new.file, &server);
    run(["--cacert", &old.file, &url(&server)], "").fails_with(4, "not signed by a trusted CA");
    stays.echoes();
}

#[test]
fn files_that_cannot_be_used_leave_the_old_certificate_in_use() {
    let authority = Authority::new("broken-certificate");
    let ours = authority.issue("server", |_| {});
    let other = authority.issue("other", |_| {});
    let mut server = serve(&ours, &[]);
    let mut stays = Client::connect(&authority.file, &server);
    let good = fs::read(&ours.cert).expect("read");
    fs::copy(&other.cert, &ours.cert).expect("copy");
    keeps(&mut server, "the key does not belong to the certificate");
    fs::write(&ours.cert, "").expect("write");
    keeps(&mut server, &format!("{} has no certificate", ours.cert));
    fs::remove_file(&ours.cert).expect("remove");
    keeps(&mut server, &format!("cannot read {}: No such file or directory", ours.cert));
    // Nobody writes to it: to open it would take for ever.
    assert!(Command::new("mkfifo").arg(&ours.cert).status().expect("mkfifo runs").success());
    keeps(&mut server, &format!("cannot read {} again: not a regular file", ours.cert));
    fs::remove_file(&ours.cert).expect("remove");
    Client::connect(&authority.file, &server);
    fs::write(&ours.cert, good).expect("write");
    reload(&mut server, &[&ours.cert, &ours.key]);
    Client::connect(&authority.file, &server);
    stays.echoes();
}

#[test]
fn new_handshakes_need_a_client_certificate_of_the_new_authority() {
    let [ours, theirs] = ["our-clients", "their-clients"].map(Authority::new);
    let identity = ours.issue("server", |_| {});
    let clients = [ours.issue("client", |_| {}), theirs.issue("client", |_| {})];
    let list = ours.folder.path("client-ca.pem");
    fs::copy(&ours.file, &list).expect("copy");
    let mut server = serve(&identity, &["--client-ca", &list]);
    let connect = |server: &Serving, Identity { cert, key }: &Identity| {
        let args = ["--cacert", &ours.file, "--client-cert", cert, "--client-key", key, &url(server)];
        run(args, "hello\n").code
    };
    assert_eq!(clients.each_ref().map(|client| connect(&server, client)), [0, 4]);
    fs::copy(&theirs.file, &list).expect("copy");
    reload(&mut server, &[&identity.cert, &identity.key, &list]);
    assert_eq!(clients.each_ref().map(|client| connect(&server, client)), [4, 0]);
}

#[test]
fn a_proxy_shows_its_new_client_certificate() {
    let [ours, theirs] = ["first-client", "second-client"].map(Authority::new);
    let client = ours.issue("client", |_| {});
    let far = serve(&theirs.issue("server", |_| {}), &["--client-ca", &theirs.file]);
    let args = ["--client-cert", &client.cert, "--client-key", &client.key, "--cacert", &theirs.file, &url(&far)];
    let mut proxy = Serving::start(["ws-l:127.0.0.1:0"].iter().chain(&args));
    assert_eq!(Exchange::connect(proxy.port, &upgrade_request("/", "")).head.status(), 502);
    let next = theirs.issue("client", |_| {});
    fs::rename(&next.cert, &client.cert).expect("rename");
    fs::rename(&next.key, &client.key).expect("rename");
    reload(&mut proxy, &[&client.cert, &client.key, &theirs.file]);
    assert_eq!(run([proxy.url()], "hello\n").succeeds().out(), "hello\n");
}

#[test]
fn new_clients_need_the_new_credentials_and_members_stay() {
    let folder = Folder::new("new-credentials");
    for (option, header) in [
        ("--require-token", (|secret: &str| format!("Authorization: Bearer {secret}\r\n")) as fn(&str) -> String),
        ("--require-basic-auth", |secret| format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(secret))),
    ] {
        let path = folder.path("secrets");
        fs::write(&path, "me:old\n").expect("write");
        let mut server = rooms(&[option, &path]);
        let mut stays = Peer::connect_with(server.port, "/", &header("me:old"));
        fs::write(&path, "me:new\n").expect("write");
        reload(&mut server, &[&path]);
        let status = |server: &Serving, secret: &str| {
            Exchange::connect(server.port, &upgrade_request("/", &header(secret))).head.status()
        };
        assert_eq!([status(&server, "me:old"), status(&server, "me:new")], [401, 101], "{option}");
        fs::write(&path, "# nobody\n").expect("write");
        keeps(&mut server, &format!("{path} has no entries"));
        assert_eq!([status(&server, "me:old"), status(&server, "me:new")], [401, 101], "{option}");
        stays.send_text("still here");
        assert_eq!(stays.receive_text(), "still here");
    }
}

#[test]
fn a_broken_file_does_not_keep_the_others_from_being_read() {
    let authority = Authority::new("one-broken");
    let ours = authority.issue("server", |_| {});
    let tokens = authority.folder.path("tokens");
    fs::write(&tokens, "secret\n").expect("write");
    let mut server = serve(&ours, &["--require-token", &tokens]);
    fs::write(&tokens, "").expect("write");
    keeps(&mut server, &format!("{tokens} has no entries"));
    let line = server.running.error_line("SIGHUP: ");
    assert_eq!(line, format!("* SIGHUP: read {}, {} again\n", ours.cert, ours.key));
}

#[test]
fn a_listener_without_files_goes_on_after_sighup() {
    for args in [&["ws-l:127.0.0.1:0", "mirror:"][..], &["wss-l:127.0.0.1:0", "mirror:", "--self-signed"]] {
        let mut server = Serving::start(args);
        for _ in 0..2 {
            server.running.signal("HUP");
            assert_eq!(server.running.error_line("SIGHUP: "), "* SIGHUP: there are no files to read again\n");
        }
    }
}

#[test]
fn a_run_that_is_no_listener_ends_on_sighup() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut client = Running::start(wsplice([server.url()]));
    client.write("hello\n");
    assert_eq!(client.line(), "hello\n");
    client.signal("HUP");
    assert_eq!(client.finish().code, 129);
}

/// Starts a mirror whose standard input is a terminal, which is closed when the second value is dropped.
#[track_caller]
fn in_a_terminal(prefix: &str) -> (Serving, OwnedFd) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&terminal).expect("grant");
    unlockpt(&terminal).expect("unlock");
    let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("text");
    let mut command = Command::new("sh");
    // The server leads the session of the terminal, as in `xterm -e wsplice …`.
    command.args(["-c", &format!("{prefix} exec setsid --ctty \"$0\" \"$@\" <{name}"), &program()]);
    command.args(["ws-l:127.0.0.1:0", "mirror:", "--stdout-announce-listening-ports"]);
    (Serving::from_command(command), terminal)
}

#[test]
fn a_listener_ends_when_its_terminal_is_closed_but_not_before() {
    let (mut server, terminal) = in_a_terminal("");
    server.running.signal("HUP");
    server.running.error_line("there are no files to read again");
    let mut client = Peer::connect(server.port, "/");
    drop(terminal);
    assert_eq!(client.receive_close().0, 1001);
    assert_eq!(server.running.finish().code, 129);
}

#[test]
fn a_listener_that_was_started_with_sighup_ignored_stays_when_its_terminal_is_closed() {
    let (mut server, terminal) = in_a_terminal("trap '' HUP;");
    drop(terminal);
    server.running.error_line("there are no files to read again");
    assert_eq!(run([server.url()], "hello\n").succeeds().out(), "hello\n");
}
