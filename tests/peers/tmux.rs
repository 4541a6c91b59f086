//! The interactive terminal as a terminal shows it: tmux, with its keys and its screen.

use crate::{
    common::peer::websocket_server,
    peer::{Peer, node},
    support::{Folder, LIMIT, Serving, program},
};
use std::{
    io::Write,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// A terminal with a shell that controls jobs. It is closed when the test drops it.
pub struct Tmux {
    server: String,
    /// For the history, and what is pasted.
    pub folder: Folder,
}

impl Tmux {
    pub fn start(name: &str, columns: u16, rows: u16) -> Self {
        let folder = Folder::new(&format!("tmux_{name}"));
        let tmux = Self { server: format!("wsplice-{name}-{columns}-{}", std::process::id()), folder };
        let size = [columns.to_string(), rows.to_string()];
        let state = format!("XDG_STATE_HOME={}", tmux.folder.path("state"));
        tmux.run(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            "env",
            &state,
            "PS1=$ ",
            "bash",
            "--norc",
        ]);
        tmux.shows("$");
        tmux
    }

    pub fn run(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").args(["-L", &self.server]).args(args).env_remove("TMUX").output();
        let output = output.expect("tmux runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Starts wsplice.
    pub fn connect(&self, args: &str) {
        self.types(&format!("clear; {} {args}", program()));
        self.keys(&["Enter"]);
        self.shows("* connected");
    }

    pub fn types(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
    }

    pub fn keys(&self, names: &[&str]) {
        self.run(&[&["send-keys"], names].concat());
    }

    /// The rows of the screen that are not empty.
    pub fn screen(&self) -> Vec<String> {
        let shown = self.run(&["capture-pane", "-p"]);
        shown.lines().map(str::to_owned).filter(|row| !row.is_empty()).collect()
    }

    /// Waits until the screen is so.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return;
            }
            assert!(Instant::now() < end, "no {what}:\n{}", screen.join("\n"));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a row that contains this.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.until(text, |screen| screen.iter().any(|row| row.contains(text)));
    }

    /// Waits until the last row is this, with the cursor in this column.
    #[track_caller]
    pub fn ends_with(&self, row: &str, column: usize) {
        self.until(row, |screen| {
            screen.last().is_some_and(|last| last == row)
                && self.run(&["display-message", "-p", "#{cursor_x}"]).trim() == column.to_string()
        });
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}

pub const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn wide_characters_and_emoji_are_typed_and_shown_without_a_gap() {
    for (columns, rows) in SIZES {
        let mut peer = Peer::start(node("ws_server.js", ["echo"]), "port ");
        let tmux = Tmux::start("wide", columns, rows);
        tmux.connect(&peer.url());
        tmux.types("\u{4f60}\u{597d} \u{1f44b} caf\u{e9}");
        tmux.keys(&["Left", "Left", "Left", "Left", "BSpace"]);
        tmux.ends_with("> \u{4f60}\u{597d} \u{1f44b}caf\u{e9}", 9);
        tmux.keys(&["Enter"]);
        tmux.shows("< \u{4f60}\u{597d} \u{1f44b}caf\u{e9}");
        tmux.ends_with(">", 2);
        peer.says("text \"\u{4f60}\u{597d} \u{1f44b}caf\u{e9}\"");
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_half_typed_line_stays_whole_under_ten_thousand_messages_and_when_the_size_changes() {
    for (columns, rows) in SIZES {
        let server = Serving::start(["--broadcast", "ws-l:127.0.0.1:0"]);
        let tmux = Tmux::start("flood", columns, rows);
        tmux.connect(&format!("{}room", server.url()));
        let line = "0123456789 ".repeat(6);
        tmux.types(line.trim_end());
        tmux.ends_with(&format!("> {}", line.trim_end()), 67);
        let mut sender = Command::new(program());
        let sender = sender.args(["-u", "-", &format!("{}room", server.url())]).stdin(Stdio::piped()).spawn();
        let mut sender = sender.expect("the binary starts");
        let mut input = sender.stdin.take().expect("piped");
        let flood = thread::spawn(move || {
            for number in 0..20_000 {
                writeln!(input, "{{\"number\": {number}}}").expect("write");
            }
        });
        tmux.shows("< {\"number\": ");
        tmux.keys(&["!"]);
        tmux.ends_with(&format!("> {}!", line.trim_end()), 68);
        tmux.run(&["resize-window", "-x", "40", "-y", "20"]);
        tmux.until(
            "the line in two rows",
            |screen| matches!(screen, [.., first, last] if first.starts_with("> 0123456789 ") && last.ends_with("89!")),
        );
        tmux.run(&["resize-window", "-x", "100", "-y", "20"]);
        tmux.ends_with(&format!("> {}!", line.trim_end()), 68);
        flood.join().expect("all is written");
        tmux.shows("< {\"number\": 19999}");
        assert!(sender.wait().expect("its end").success());
        tmux.ends_with(&format!("> {}!", line.trim_end()), 68);
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn ctrl_z_gives_the_terminal_back_to_the_shell_and_fg_takes_it_again() {
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let tmux = Tmux::start("stop", 80, 24);
    tmux.connect(&server.url());
    tmux.types("kept");
    tmux.ends_with("> kept", 6);
    tmux.keys(&["C-z"]);
    tmux.shows("Stopped");
    tmux.types("stty -a | grep -c ' icanon.* echo ' && echo typed");
    tmux.keys(&["Enter"]);
    tmux.until("what the shell prints", |screen| screen.iter().any(|row| row == "typed"));
    tmux.types("fg");
    tmux.keys(&["Enter"]);
    tmux.ends_with("> kept", 6);
    tmux.types(" line");
    tmux.keys(&["Enter"]);
    tmux.shows("< kept line");
    tmux.keys(&["C-d"]);
    tmux.shows("* closed: 1000");
    tmux.ends_with("$", 2);
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_paste_of_100_kilobytes_is_one_message_and_the_screen_stays_usable() {
    for (columns, rows) in SIZES {
        let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
        let tmux = Tmux::start("paste", columns, rows);
        tmux.connect(&server.url());
        let text = (0..5000).map(|number| format!("line number {number:08}\n")).collect::<String>();
        let file = tmux.folder.path("paste");
        std::fs::write(&file, text.trim_end()).expect("write");
        tmux.run(&["load-buffer", &file]);
        tmux.run(&["paste-buffer", "-p"]);
        tmux.shows("[104,999 bytes, 5,000 lines]");
        tmux.keys(&["Enter"]);
        tmux.shows("4,980 lines more; /last shows all");
        tmux.until("its echo", |screen| screen.iter().any(|row| row == "< 104,999 bytes"));
        tmux.ends_with(">", 2);
    }
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn two_terminals_in_a_room_read_as_a_conversation() {
    let server = Serving::start(["--broadcast", "--no-echo", "ws-l:127.0.0.1:0"]);
    let [red, blue] = [(80, 24), (200, 50)].map(|(columns, rows)| {
        let tmux = Tmux::start("room", columns, rows);
        tmux.connect(&format!("{}room", server.url()));
        tmux
    });
    red.types("hello");
    red.keys(&["Enter"]);
    blue.shows("< hello");
    blue.types("half");
    red.types("again");
    red.keys(&["Enter"]);
    blue.shows("< again");
    blue.ends_with("> half", 6);
    blue.types(" a reply");
    blue.keys(&["Enter"]);
    red.until("the conversation", |screen| {
        matches!(screen, [.., a, b, c, d] if a == "> hello" && b == "> again" && c == "< half a reply" && d == ">")
    });
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn ctrl_c_leaves_one_line_of_progress_and_a_clean_prompt() {
    for (columns, rows) in SIZES {
        let tmux = Tmux::start("progress", columns, rows);
        let file = tmux.folder.path("file");
        std::fs::write(&file, vec![b'x'; 64 << 20]).expect("write");
        let (go, wait) = mpsc::channel::<()>();
        // It reads nothing, so the bar stands still.
        let (url, server) = websocket_server(move |_| _ = wait.recv());
        tmux.types(&format!("clear; {} --grace 0.3 -bu readfile:{file} {url}", program()));
        tmux.keys(&["Enter"]);
        tmux.shows("% of 64.00 MiB, ");
        // What has passed took half a second at least.
        assert!(!tmux.screen().iter().any(|row| row.contains("GiB/s")), "{}", tmux.screen().join("\n"));
        // What a narrower terminal has wrapped is cleared.
        tmux.run(&["resize-window", "-x", "60", "-y", "20"]);
        let is_bar = |row: &&String| row.contains("of 64.00 MiB") || row.contains(" left");
        tmux.until("one row of progress", |screen| screen.iter().filter(is_bar).count() == 1);
        tmux.keys(&["C-c"]);
        tmux.ends_with("$", 2);
        let screen = tmux.screen();
        let bars = screen.iter().filter(|row| row.contains("% of 64.00 MiB") || row.contains("\u{2588}")).count();
        assert_eq!(bars, 1, "{}", screen.join("\n"));
        assert!(!screen.iter().any(|row| row.contains(" left")), "{}", screen.join("\n"));
        drop(go);
        server.join().expect("the server");
    }
}
