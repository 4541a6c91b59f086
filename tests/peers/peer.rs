//! Starts the peers.

use crate::support::{Running, program};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

/// Where `tests/with-peers.sh` puts what it installs for itself.
pub fn installed(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    target.join("peers").join(name)
}

/// A script of ours, or a page.
pub fn script(name: &str) -> String {
    format!("{}/tests/peers/scripts/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `node SCRIPT ARGS`.
pub fn node<'a>(name: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("node");
    command.arg(script(name)).args(args).env("NODE_PATH", installed("node_modules"));
    command
}

/// `python SCRIPT ARGS`.
pub fn python<'a>(name: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg("-u").arg(script(name)).args(args);
    command
}

/// A program whose standard error is shown on its standard output.
pub fn merged<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$@" 2>&1"#, "sh", program]).args(args);
    command
}

/// A server that has printed its port.
pub struct Peer {
    pub running: Running,
    pub port: u16,
}

impl Peer {
    /// Starts a server and waits for the line with `announcement` in it, which ends in the port.
    #[track_caller]
    pub fn start(command: Command, announcement: &str) -> Self {
        let mut running = Running::start(command);
        let line = loop {
            let line = running.line();
            if line.contains(announcement) {
                break line;
            }
        };
        let port = line.trim_end().rsplit(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default().parse();
        Self { port: port.unwrap_or_else(|_| panic!("no port in {line:?}")), running }
    }

    /// Starts a client, which has no port.
    pub fn client(command: Command) -> Self {
        Self { running: Running::start(command), port: 0 }
    }

    /// `ws://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// The next line must be this one.
    #[track_caller]
    pub fn says(&mut self, line: &str) -> &mut Self {
        assert_eq!(self.running.line().trim_end_matches('\n'), line);
        self
    }
}

/// How a shell command line ended.
#[derive(Debug)]
pub struct Shell {
    pub code: i32,
    pub out: String,
    pub stderr: String,
}

/// Runs a command line with bash, `wsplice` being the binary under test. When the limit is over, all its processes are
/// killed and the status is 124 or 137.
pub fn bash(limit: Duration, line: &str) -> Shell {
    let binary = PathBuf::from(program());
    let folder = binary.parent().expect("a folder").to_path_buf();
    let rest = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&rest))).expect("a search path");
    let Output { status, stdout, stderr } = Command::new("timeout")
        .args(["--kill-after=5", &limit.as_secs().to_string(), "bash", "-c", line])
        .env("PATH", path)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("timeout runs");
    Shell {
        code: status.code().unwrap_or(137),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Shell {
    /// It succeeded, printed this, and wrote nothing to standard error.
    #[track_caller]
    pub fn prints(&self, out: &str) {
        assert_eq!((self.code, self.out.as_str(), self.stderr.as_str()), (0, out, ""));
    }
}

/// Makes a file of random bytes, which cannot be compressed.
pub fn random_file(path: &str, megabytes: u64) {
    use std::io::Read;
    let mut random = fs::File::open("/dev/urandom").expect("open").take(megabytes << 20);
    let mut file = fs::File::create(path).expect("create");
    std::io::copy(&mut random, &mut file).expect("copy");
}

/// The length and the SHA-256 of everything that can be read.
pub fn sha256(mut from: impl std::io::Read) -> (u64, String) {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut buffer, mut length) = (vec![0; 1 << 16], 0);
    loop {
        match from.read(&mut buffer).expect("read") {
            0 => break,
            n => {
                context.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
    (length, context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
