//! Runs the real binary over real sockets. Tests wait for lines, bytes and ends; where there is no such event, [`wait_for`]
//! asks again and again. Everything has a limit after which the test fails instead of hanging.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for anything before it fails.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The pause between two looks at something that does not report its changes.
const PAUSE: Duration = Duration::from_millis(2);

/// Calls `look` again and again until it gives something. `what` names that in the message of a test that waits in vain.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// The path of the binary under test: `$WSPLICE`, such as the release build (tests/with-peers.sh) or a binary for another system
/// (tests/targets.sh), else that of this build.
pub fn program() -> String {
    std::env::var("WSPLICE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_wsplice").to_owned())
}

/// The binary, in an environment without the variables that change what it does.
pub fn wsplice<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program());
    command.args(args);
    for name in ["RUST_BACKTRACE", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"] {
        command.env_remove(name);
    }
    for name in ["ws", "wss", "http", "https", "all", "no"].map(|name| format!("{name}_proxy")) {
        command.env_remove(name.to_uppercase()).env_remove(name);
    }
    command
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

impl Finished {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails, and shows the whole output, unless the exit code is this and the first line of the error has the text.
    #[track_caller]
    pub fn fails_with(&self, code: i32, text: &str) -> &Self {
        assert_eq!(self.code, code, "exit code; the run said {self:?}");
        let first = self.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("wsplice: ") && first.contains(text), "no {text:?} in the first line of {self:?}");
        self
    }

    #[track_caller]
    pub fn hints(&self, text: &str) -> &Self {
        let hint = self.stderr.split_once("\n  ").map(|(_, hint)| hint).unwrap_or_default();
        assert!(hint.contains(text), "no {text:?} in the hint of {self:?}");
        self
    }

    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Runs the binary with this standard input, which is then closed.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: impl AsRef<[u8]>) -> Finished {
    let mut running = Running::start(wsplice(args));
    running.write(input);
    running.close_input();
    running.finish()
}

/// A running process. It is killed when the test drops it.
pub struct Running {
    child: Child,
    stdin: Option<std::process::ChildStdin>,
    lines: mpsc::Receiver<Vec<u8>>,
    error_lines: mpsc::Receiver<String>,
    /// All of standard error, once it has ended.
    stderr: mpsc::Receiver<String>,
    started: Instant,
    /// Lines of standard output that a test has waited for already.
    seen: Vec<u8>,
}

impl Running {
    pub fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    /// Starts `wsplice ARGS --stdout-announce-listening-ports` and waits until it listens.
    #[track_caller]
    pub fn announced(args: &[&str]) -> Self {
        let mut command = wsplice(args);
        command.arg("--stdout-announce-listening-ports");
        let mut running = Self::start(command);
        assert!(running.line().starts_with("LISTEN "));
        running
    }

    fn start_with(mut command: Command, stderr: Stdio) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        // A test that passes its own standard error reads it itself.
        let stderr: Box<dyn Read + Send> = match child.stderr.take() {
            Some(stderr) => Box::new(stderr),
            None => Box::new(std::io::empty()),
        };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            loop {
                let mut line = Vec::new();
                if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) || sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (sender, error_lines) = mpsc::channel();
        let (all, error_text) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut text = Vec::new();
            loop {
                let start = text.len();
                if !matches!(reader.read_until(b'\n', &mut text), Ok(1..)) {
                    // The test may have ended before the run.
                    let _ = all.send(String::from_utf8_lossy(&text).into_owned());
                    return;
                }
                // A test that does not wait for lines gets them all in the text.
                let _ = sender.send(String::from_utf8_lossy(&text[start..]).into_owned());
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, error_lines, stderr: error_text, started: Instant::now(), seen: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input. It is not an error when the run has ended already.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes.as_ref()).and_then(|()| stdin.flush());
        }
    }

    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output, with its newline if it has one.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let line =
            self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no further line; it said {:?}", self.give_up()));
        self.seen.extend_from_slice(&line);
        String::from_utf8_lossy(&line).into_owned()
    }

    /// The next line of its standard error that holds the text.
    #[track_caller]
    pub fn error_line(&mut self, text: &str) -> String {
        loop {
            match self.error_lines.recv_timeout(LIMIT) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("no {text:?} on standard error; it said {:?}", self.give_up()),
            }
        }
    }

    /// Sends a signal by its name, such as TERM.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let mut stdout = std::mem::take(&mut self.seen);
        let end = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => stdout.extend(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end; it said {:?}", self.give_up()),
            }
        }
        let status = self.wait(end);
        // A process that the run has started may still hold its standard error.
        let Ok(stderr) = self.stderr.recv_timeout(end.saturating_duration_since(Instant::now())) else {
            panic!("its standard error does not end");
        };
        let code = std::os::unix::process::ExitStatusExt::signal(&status).map_or(status.code(), |signal| Some(-signal));
        Finished { code: code.unwrap_or(i32::MIN), stdout, stderr, took: self.started.elapsed() }
    }

    #[track_caller]
    fn wait(&mut self, end: Instant) -> ExitStatus {
        // std has no wait with a limit. Its output has ended, so it ends soon.
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < end, "it closed its output but does not end");
            thread::sleep(PAUSE);
        }
    }

    /// Kills it for a test that fails, and gives its standard output and standard error.
    fn give_up(&mut self) -> (String, String) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let seen = String::from_utf8_lossy(&self.seen).into_owned();
        (seen, self.stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A listener of ours that has announced its port.
pub struct Serving {
    pub running: Running,
    pub port: u16,
}

impl Serving {
    /// Starts `wsplice ARGS --stdout-announce-listening-ports`; one of the arguments listens on port 0.
    #[track_caller]
    pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = wsplice(args);
        command.arg("--stdout-announce-listening-ports");
        Self::from_command(command)
    }

    #[track_caller]
    pub fn from_command(command: Command) -> Self {
        let mut running = Running::start(command);
        let line = running.line();
        let port = line.trim().rsplit_once("port=").and_then(|(_, port)| port.parse().ok());
        Self { running, port: port.unwrap_or_else(|| panic!("no port in {line:?}")) }
    }

    /// As [`from_command`](Self::from_command), with a standard error that nobody reads as long as the second part exists.
    #[track_caller]
    pub fn with_stuck_stderr(command: Command) -> (Self, impl Sized) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut running = Running::start_with(command, writer.into());
        let port = running.line().trim().rsplit_once("port=").and_then(|(_, port)| port.parse().ok()).expect("a port");
        (Self { running, port }, reader)
    }

    /// `ws://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.port)
    }
}

/// A TCP connection whose reads and writes fail after [`LIMIT`].
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    stream.set_write_timeout(Some(LIMIT)).expect("set a limit");
    stream
}

/// Accepts a TCP connection, whose reads and writes fail after [`LIMIT`].
pub fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("accept");
    stream.set_read_timeout(Some(LIMIT)).expect("set a limit");
    stream.set_write_timeout(Some(LIMIT)).expect("set a limit");
    stream
}

/// A TCP server for one connection, which runs `serve` on a thread. Gives its port at once.
pub fn one_connection<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (u16, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let thread = thread::spawn(move || serve(accept(&listener)));
    (port, thread)
}

/// A temporary folder for one test, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wsplice-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("make a folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
