//! The history of what was typed, kept across runs.

use super::{editor::MAX_HISTORY, tty};
use crate::flow::file_options;
use std::{
    env, fs,
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
};

/// Longer entries are not kept across runs, in bytes.
const LONGEST: usize = 64 * 1024;
/// A longer file is cut to its last half, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The file, an entry a line: newlines and backslashes in it are escaped.
pub struct History(PathBuf);

impl History {
    /// `wsplice/history` in the folder for the state of programs (the XDG Base Directory Specification). `None`: there is no such
    /// folder.
    pub fn of_user() -> Option<Self> {
        let is_absolute = |path: &PathBuf| path.is_absolute();
        let of_home = || Some(PathBuf::from(env::var_os("HOME")?).join(".local/state"));
        let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(is_absolute).or_else(of_home)?;
        Some(Self(state.join("wsplice/history")))
    }

    /// The entries, the oldest first.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is a FIFO or a device, which may hold up the keys.
    pub fn load(&self) -> io::Result<Vec<String>> {
        let mut file = match file_options::non_blocking().read(true).open(&self.0) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            file => file?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if metadata.is_file() {
            tty::make_private(&file);
        }
        let length = metadata.len();
        let start = length.saturating_sub(MAX_FILE / 2);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        // The first line may be cut.
        let whole = if start > 0 { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        if length > MAX_FILE {
            self.replace(whole)?;
        }
        let lines: Vec<&str> = whole.lines().filter(|line| !line.is_empty()).collect();
        let kept = lines.len().saturating_sub(MAX_HISTORY);
        Ok(lines.into_iter().skip(kept).map(unescape).collect())
    }

    /// Writes the file anew.
    fn replace(&self, text: &str) -> io::Result<()> {
        let new = self.0.with_extension(std::process::id().to_string());
        // What is typed may be secret.
        tty::private_file().write(true).truncate(true).open(&new)?.write_all(text.as_bytes())?;
        fs::rename(new, &self.0)
    }

    /// Adds an entry with one write, so that the entries of several runs do not mix.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&self, entry: &str) -> io::Result<()> {
        if entry.len() > LONGEST {
            return Ok(());
        }
        if let Some(folder) = self.0.parent() {
            tty::private_folder().create(folder).map_err(|error| match error.kind() {
                // A file has the name of a folder.
                io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
                _ => error,
            })?;
        }
        let mut file = tty::private_file().read(true).append(true).open(&self.0)?;
        // An editor may have saved it without a newline at its end. It also looks so while another run writes: that gives an empty line,
        // which is no entry.
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let start = if last == *b"\n" { "" } else { "\n" };
        file.write_all(format!("{start}{}\n", escape(entry)).as_bytes())
    }

    /// Its name in remarks.
    pub fn name(&self) -> String {
        self.0.display().to_string()
    }
}

fn escape(entry: &str) -> String {
    entry.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => entry.extend(letters.next().map(|next| if next == 'n' { '\n' } else { next })),
            _ => entry.push(letter),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_not_joined_to_a_last_line_without_a_newline() {
        let path = env::temp_dir().join(format!("wsplice-history-{}", std::process::id()));
        fs::write(&path, "first").expect("a file");
        let history = History(path.clone());
        history.append("second").expect("an entry");
        history.append("third").expect("an entry");
        assert_eq!(history.load().expect("entries"), ["first", "second", "third"]);
        fs::remove_file(path).expect("remove it");
    }

    #[test]
    fn entries_come_back_as_they_were() {
        for entry in ["", "plain", "two\nlines\n", r"C:\new \\ \", "\\n\n\\"] {
            let line = escape(entry);
            assert_eq!((unescape(&line).as_str(), line.contains('\n')), (entry, false));
        }
    }
}
