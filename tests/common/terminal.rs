//! The real binary in a pseudo-terminal.

use super::support::{LIMIT, wait_for, wsplice};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

/// A run whose standard streams are a terminal of 80 columns and 24 rows, which it controls. It is killed when the test drops it.
pub struct InTerminal {
    child: Child,
    /// The side of the user.
    screen: File,
    /// The side of the run, which keeps the terminal open.
    line: File,
    printed: Arc<Mutex<Vec<u8>>>,
    /// Held while the terminal is not read.
    stall: Arc<Mutex<()>>,
}

impl InTerminal {
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        Self::from_command(wsplice(args).arg("--no-history"))
    }

    #[track_caller]
    pub fn from_command(command: &Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).expect("grant");
        unlockpt(&terminal).expect("unlock");
        let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("text");
        let line = OpenOptions::new().read(true).write(true).open(name).expect("open");
        let screen = File::from(terminal);
        resize(&screen, 80, 24);
        let mut leader = Command::new("setsid");
        leader.args(["--ctty".as_ref(), command.get_program()]).args(command.get_args());
        leader.env("TERM", "xterm").env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        let side = || Stdio::from(line.try_clone().expect("clone"));
        let child = leader.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the binary starts");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, all) = (screen.try_clone().expect("clone"), printed.clone());
        let stall = Arc::new(Mutex::new(()));
        let stalled = stall.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                all.lock().expect("no panic").extend_from_slice(&buffer[..length]);
                drop(stalled.lock().expect("no panic"));
            }
        });
        Self { child, screen, line, printed, stall }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses these keys.
    pub fn press(&mut self, keys: impl AsRef<[u8]>) {
        self.screen.write_all(keys.as_ref()).expect("the terminal takes keys");
    }

    /// A second handle for keys.
    pub fn keys(&self) -> impl Write + use<> {
        self.screen.try_clone().expect("clone")
    }

    /// The terminal takes nothing more, beyond what fits into its buffer, until the guard is dropped.
    pub fn stops_reading(&self) -> MutexGuard<'_, ()> {
        self.stall.lock().expect("no panic")
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.screen, columns, rows);
    }

    /// All that was written to the terminal so far, without the carriage return that a terminal puts before each newline.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().expect("no panic")).replace("\r\n", "\n")
    }

    /// Waits until this was written, and gives all that was.
    #[track_caller]
    pub fn shows(&self, text: &str) -> String {
        let end = std::time::Instant::now() + LIMIT;
        loop {
            let printed = self.printed();
            if printed.contains(text) {
                return printed;
            }
            assert!(std::time::Instant::now() < end, "no {text:?} in {printed:?}");
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Whether the terminal is as a shell leaves it: it edits lines and shows what is typed.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("its modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for the prompt.
    #[track_caller]
    pub fn prompts(&self) {
        // Written when keys are read; the run may have ended since.
        self.shows("\x1b[?2004h");
    }

    /// Sends a signal by its name, such as TERM.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Closes the terminal, as its window does. Gives the exit code.
    #[track_caller]
    pub fn hangs_up(mut self) -> Option<i32> {
        // The thread that reads has a copy of it; the run is told of the end by SIGHUP then, as the kernel does.
        drop(std::mem::replace(&mut self.line, File::open("/dev/null").expect("open")));
        self.signal("HUP");
        wait_for("its end", || self.child.try_wait().expect("wait")).code()
    }

    /// Waits for its end while nobody reads the terminal.
    #[track_caller]
    pub fn has_ended(&self) {
        let stat = format!("/proc/{}/stat", self.pid());
        // A zombie until `ends` waits for it.
        let is_over = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "));
        wait_for("its end", || is_over().then_some(()));
    }

    /// Waits for its end. Gives its exit code, and all that was written to the terminal.
    #[track_caller]
    pub fn ends(mut self) -> (Option<i32>, String) {
        let status = wait_for("its end", || self.child.try_wait().expect("wait"));
        // What it has written is read by then or soon; a mark behind it tells.
        self.line.write_all(b"<end>").expect("write");
        let printed = self.shows("<end>");
        assert!(self.is_cooked(), "it leaves the terminal as it was: {printed:?}");
        (status.code(), printed.replace("<end>", ""))
    }
}

fn resize(screen: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(screen, size).expect("set the size");
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
