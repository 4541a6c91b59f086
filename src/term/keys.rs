//! What a terminal sends, as keys.

use std::mem;

/// What begins and ends a paste.
const PASTE_START: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";
/// The longest escape sequence that is waited for, in bytes.
const MAX_SEQUENCE: usize = 32;

/// A key, or a paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character that is inserted.
    Char(char),
    /// What was pasted, with newlines as line ends.
    Paste(String),
    /// Enter.
    Enter,
    /// Alt-Enter: a newline in the message.
    Newline,
    /// Tab.
    Tab,
    /// Deletes the character before the cursor.
    Backspace,
    /// Deletes the character at the cursor.
    Delete,
    /// Ctrl-D: deletes the character at the cursor, or ends the input where there is none.
    Eof,
    /// Moves the cursor.
    Left,
    /// Moves the cursor.
    Right,
    /// Moves the cursor by a word.
    WordLeft,
    /// Moves the cursor by a word.
    WordRight,
    /// Moves the cursor to the start.
    Home,
    /// Moves the cursor to the end.
    End,
    /// An older entry of the history.
    Up,
    /// A newer entry of the history.
    Down,
    /// Deletes from the start to the cursor.
    KillToStart,
    /// Deletes from the cursor to the end.
    KillToEnd,
    /// Deletes the word before the cursor.
    KillWordLeft,
    /// Deletes the word at the cursor.
    KillWordRight,
    /// Inserts what was deleted last.
    Yank,
    /// Ctrl-R.
    Search,
    /// Ctrl-L.
    ClearScreen,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl and backslash.
    Quit,
    /// Escape, or Ctrl-G.
    Escape,
}

/// Makes keys of bytes, however they are cut.
#[derive(Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// What has been pasted so far.
    paste: Option<Vec<u8>>,
    /// The longest paste; what is beyond it is dropped.
    longest: usize,
}

impl Decoder {
    /// A decoder that takes pastes of up to `longest` bytes.
    pub fn new(longest: usize) -> Self {
        Self { longest, ..Self::default() }
    }

    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the bytes so far may be the start of a sequence: then the key Escape is meant if nothing follows soon.
    pub fn is_waiting(&self) -> bool {
        self.paste.is_none() && !self.bytes.is_empty()
    }

    /// Takes what is waiting for more as it is, since nothing has followed.
    pub fn give_up(&mut self) -> Option<Key> {
        let was_escape = self.bytes.first() == Some(&0x1b);
        self.bytes.clear();
        was_escape.then_some(Key::Escape)
    }

    /// The next key. `None`: more bytes are needed.
    pub fn next(&mut self) -> Option<Key> {
        loop {
            if self.paste.is_some() {
                return self.pasted();
            }
            if self.bytes.starts_with(PASTE_START) {
                self.bytes.drain(..PASTE_START.len());
                self.paste = Some(Vec::new());
                continue;
            }
            let (key, length) = decode(&self.bytes)?;
            self.bytes.drain(..length);
            if key.is_some() {
                return key;
            }
        }
    }

    fn pasted(&mut self) -> Option<Key> {
        let end = memchr::memmem::find(&self.bytes, PASTE_END);
        // The last bytes may be the start of the end.
        let length = end.unwrap_or(self.bytes.len().saturating_sub(PASTE_END.len() - 1));
        let paste = self.paste.get_or_insert_default();
        let room = self.longest.saturating_sub(paste.len());
        paste.extend(self.bytes.drain(..length).take(room));
        end?;
        self.bytes.drain(..PASTE_END.len());
        let paste = mem::take(&mut self.paste).unwrap_or_default();
        let text = String::from_utf8_lossy(&paste).replace("\r\n", "\n").replace('\r', "\n");
        Some(Key::Paste(text))
    }
}

/// The first key, if it means something, and its length in bytes. `None`: more bytes are needed.
fn decode(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let key = match first {
        0x1b => return escape_sequence(rest),
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::Eof,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x07 => Key::Escape,
        0x08 | 0x7f => Key::Backspace,
        b'\t' => Key::Tab,
        // Ctrl-J stands for Enter in some terminals.
        b'\r' | b'\n' => Key::Enter,
        0x0b => Key::KillToEnd,
        0x0c => Key::ClearScreen,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x12 => Key::Search,
        0x15 => Key::KillToStart,
        0x17 => Key::KillWordLeft,
        0x19 => Key::Yank,
        0x1a => Key::Suspend,
        0x1c => Key::Quit,
        0..0x20 => return Some((None, 1)),
        _ => return character(bytes),
    };
    Some((Some(key), 1))
}

fn character(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let chunk = bytes.utf8_chunks().next()?;
    if let Some(letter) = chunk.valid().chars().next() {
        return Some((Some(Key::Char(letter)), letter.len_utf8()));
    }
    let broken = chunk.invalid();
    let may_be_completed =
        broken.len() == bytes.len() && std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none());
    (!may_be_completed).then_some((Some(Key::Char(char::REPLACEMENT_CHARACTER)), broken.len()))
}

/// The key of what follows an escape character, and the length of the whole.
fn escape_sequence(rest: &[u8]) -> Option<(Option<Key>, usize)> {
    let key = match rest.first()? {
        b'[' => {
            let is_final = |byte: &u8| (0x40..0x7f).contains(byte);
            let Some(at) = rest.iter().skip(1).position(is_final) else {
                return (rest.len() > MAX_SEQUENCE).then_some((None, 1 + rest.len()));
            };
            let sequence = rest.get(1..at + 2).unwrap_or_default();
            return Some((control_sequence(sequence), at + 3));
        }
        b'O' => {
            let key = match rest.get(1)? {
                b'A' => Some(Key::Up),
                b'B' => Some(Key::Down),
                b'C' => Some(Key::Right),
                b'D' => Some(Key::Left),
                b'F' => Some(Key::End),
                b'H' => Some(Key::Home),
                b'M' => Some(Key::Enter),
                _ => None,
            };
            return Some((key, 3));
        }
        b'\r' | b'\n' => Key::Newline,
        b'b' | b'B' => Key::WordLeft,
        b'f' | b'F' => Key::WordRight,
        b'd' | b'D' => Key::KillWordRight,
        0x08 | 0x7f => Key::KillWordLeft,
        // Escape was a key of its own.
        0x1b => return Some((Some(Key::Escape), 1)),
        _ => return Some((None, 2)),
    };
    Some((Some(key), 2))
}

/// The key of a control sequence (ECMA-48), without its introducer.
fn control_sequence(sequence: &[u8]) -> Option<Key> {
    let by_word = sequence.ends_with(b";5C") || sequence.ends_with(b";3C");
    let by_word_left = sequence.ends_with(b";5D") || sequence.ends_with(b";3D");
    Some(match sequence {
        _ if by_word => Key::WordRight,
        _ if by_word_left => Key::WordLeft,
        b"A" => Key::Up,
        b"B" => Key::Down,
        b"C" => Key::Right,
        b"D" => Key::Left,
        b"F" | b"4~" | b"8~" => Key::End,
        b"H" | b"1~" | b"7~" => Key::Home,
        b"3~" => Key::Delete,
        // Alt-Enter and Shift-Enter of terminals that tell them apart.
        b"13;2u" | b"13;3u" | b"27;2;13~" | b"27;3;13~" => Key::Newline,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8], cut: usize) -> Vec<Key> {
        let (start, rest) = bytes.split_at(cut);
        let mut decoder = Decoder::new(1000);
        let mut keys = Vec::new();
        for part in [start, rest] {
            decoder.push(part);
            keys.extend(std::iter::from_fn(|| decoder.next()));
        }
        keys.extend(decoder.give_up());
        keys
    }

    #[test]
    fn keys_are_the_same_however_the_bytes_are_cut() {
        for (bytes, expected) in [
            (&b"a\xc3\xa4\x1b[D\x1bOH\r"[..], vec![Key::Char('a'), Key::Char('ä'), Key::Left, Key::Home, Key::Enter]),
            (b"\x1b\r\x1b[1;5C\x1bb", vec![Key::Newline, Key::WordRight, Key::WordLeft]),
            (
                b"\x1b[200~one\r\ntwo\x1b[Cthree\x1b[201~x",
                vec![Key::Paste("one\ntwo\x1b[Cthree".into()), Key::Char('x')],
            ),
            (b"\xff\x1b[99;99Zx", vec![Key::Char('\u{fffd}'), Key::Char('x')]),
            (b"\x1b\x1b[A", vec![Key::Escape, Key::Up]),
            (b"x\x1b", vec![Key::Char('x'), Key::Escape]),
        ] {
            for cut in 0..=bytes.len() {
                assert_eq!(keys(bytes, cut), expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_paste_and_a_sequence_have_a_limit() {
        let long = [PASTE_START, &[b'x'; 5000], PASTE_END].concat();
        assert_eq!(keys(&long, 100), [Key::Paste("x".repeat(1000))]);
        let mut decoder = Decoder::new(1000);
        decoder.push(b"\x1b[");
        decoder.push(&[b'1'; 5000]);
        assert_eq!((decoder.next(), decoder.bytes.len()), (None, 0));
    }
}
