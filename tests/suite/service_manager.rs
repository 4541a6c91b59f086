//! Messages to the service manager, as systemd expects them of `Type=notify` (sd_notify(3)), to a socket of the test.

use crate::{
    peer::Peer,
    support::{Folder, LIMIT, Running, Serving, program, wait_for, wsplice},
};
use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process::Command,
};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    folder: Folder,
}

impl Manager {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let socket = UnixDatagram::bind(folder.path("notify")).expect("bind");
        socket.set_read_timeout(Some(LIMIT)).expect("set a limit");
        Self { socket, folder }
    }

    /// The command of a service that this manager starts.
    fn service(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", self.folder.path("notify"));
        command
    }

    /// The next message that does not come from the watchdog, line by line.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        wait_for("a message", || Some(receive(&self.socket)).filter(|message| message != &["WATCHDOG=1"]))
    }
}

#[track_caller]
fn receive(socket: &UnixDatagram) -> Vec<String> {
    let mut message = [0; 4096];
    let length = socket.recv(&mut message).expect("a message");
    String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned).collect()
}

/// A mirror whose announcement can be read.
fn mirror(more: &[&str]) -> Command {
    wsplice(["ws-l:127.0.0.1:0", "mirror:", "--stdout-announce-listening-ports"].iter().chain(more))
}

#[test]
fn a_service_is_ready_once_its_listener_is_open() {
    let manager = Manager::new("ready");
    for command in [mirror(&[]), mirror(&["-q"]), wsplice(["--broadcast", "ws-l:127.0.0.1:0"])] {
        let _server = Running::start(manager.service(command));
        let message = manager.next();
        assert_eq!(message.first().map(String::as_str), Some("READY=1"));
        let port = message[1].strip_prefix("STATUS=listening: ws-listen:127.0.0.1:").expect("the address");
        Peer::connect(port.parse().expect("a port"), "/");
    }
}

#[test]
fn a_client_is_ready_once_it_is_connected() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let manager = Manager::new("ready-client");
    let _client = Running::start(manager.service(wsplice([server.url()])));
    assert_eq!(manager.next(), ["READY=1".to_owned(), format!("STATUS=connected to {}", server.url())]);
}

#[test]
fn a_reload_is_announced_and_its_end_too() {
    let manager = Manager::new("reload");
    let server = Serving::from_command(manager.service(mirror(&[])));
    manager.next();
    for _ in 0..2 {
        server.running.signal("HUP");
        let message = manager.next();
        assert_eq!(message[0], "RELOADING=1");
        let at = message[1].strip_prefix("MONOTONIC_USEC=").expect("the time").parse::<u64>().expect("a number");
        assert!(at > 0);
        assert_eq!(manager.next()[0], "READY=1");
    }
}

#[test]
fn a_reload_that_failed_is_in_the_status() {
    let manager = Manager::new("reload-failed");
    let tokens = manager.folder.path("tokens");
    std::fs::write(&tokens, "secret\n").expect("write");
    let server = Serving::from_command(manager.service(mirror(&["--require-token", &tokens])));
    manager.next();
    std::fs::remove_file(&tokens).expect("remove");
    server.running.signal("HUP");
    manager.next();
    let status =
        format!("STATUS=SIGHUP: cannot read {tokens}: No such file or directory; what was read before stays in use");
    assert_eq!(manager.next(), ["READY=1".to_owned(), status]);
}

#[test]
fn a_shutdown_is_announced_before_the_sessions_have_ended() {
    let manager = Manager::new("stopping");
    let server = Serving::from_command(manager.service(mirror(&["--grace", "60"])));
    manager.next();
    let mut client = Peer::connect(server.port, "/");
    server.running.signal("TERM");
    assert_eq!(manager.next(), ["STOPPING=1", "STATUS=waiting for sessions to end"]);
    assert_eq!(client.receive_close().0, 1001);
    assert_eq!(server.running.finish().code, 143);
}

#[test]
fn the_watchdog_hears_of_us_in_half_of_its_time() {
    let manager = Manager::new("watchdog");
    let mut command = Command::new("sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", &program(), "ws-l:127.0.0.1:0"]);
    command.env("WATCHDOG_USEC", "200000");
    let _server = Running::start(manager.service(command));
    let started = std::time::Instant::now();
    manager.next();
    for _ in 0..5 {
        assert_eq!(receive(&manager.socket), ["WATCHDOG=1"]);
    }
    assert!(started.elapsed().as_millis() >= 300, "five messages in {:?}", started.elapsed());
}

#[test]
fn the_watchdog_of_another_process_is_not_ours() {
    let manager = Manager::new("other-watchdog");
    let mut command = mirror(&[]);
    command.env("WATCHDOG_USEC", "2").env("WATCHDOG_PID", "1");
    let server = Serving::from_command(manager.service(command));
    assert_eq!(receive(&manager.socket)[0], "READY=1");
    server.running.signal("HUP");
    for first in ["RELOADING=1", "READY=1"] {
        assert_eq!(receive(&manager.socket)[0], first);
    }
}

#[test]
fn the_socket_may_be_an_abstract_one() {
    let name = format!("wsplice-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let socket = UnixDatagram::bind_addr(&address).expect("bind");
    socket.set_read_timeout(Some(LIMIT)).expect("set a limit");
    let mut command = mirror(&[]);
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let _server = Running::start(command);
    assert_eq!(receive(&socket)[0], "READY=1");
}

#[test]
fn a_service_without_a_socket_that_listens_runs_too() {
    for socket in ["/nonexistent/notify", "vsock:2:1", "", "@"] {
        let mut command = mirror(&[]);
        command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "1000");
        Peer::connect(Serving::from_command(command).port, "/");
    }
}

#[test]
fn children_do_not_inherit_the_variables() {
    let manager = Manager::new("inherit");
    let mut command = wsplice(["-", "sh-c:env"]);
    command.env("WATCHDOG_USEC", "1000000").env("WATCHDOG_PID", "1").env("KEPT", "yes");
    let finished = Running::start(manager.service(command)).finish();
    let environment = finished.succeeds().out();
    assert!(environment.contains("KEPT=yes\n"));
    assert!(!environment.contains("NOTIFY_SOCKET=") && !environment.contains("WATCHDOG_"), "{environment}");
}
