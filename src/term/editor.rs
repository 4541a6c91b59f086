//! The line that is typed, and how it is laid out. It does no input and output.
//!
//! rustyline was considered: it loses what is typed while it is not reading, takes SIGINT from the session, cannot be told that the session
//! is over, and clears the screen line by line for a paste that is longer than the screen. reedline and rustyline-async bring
//! crossterm. Only what these have in common with this file is needed here.

use super::{
    keys::Key,
    style::escaped,
    view::{boundary, counted},
};
use std::mem;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Entries of the history that are kept.
pub const MAX_HISTORY: usize = 1000;
/// The part of a long text on each side of the cursor that is laid out, in bytes.
const LAID_OUT: usize = 16 * 1024;
/// In front of the first row; further rows are indented by as much.
const PROMPT: &str = "> ";
const MARGIN: usize = 2;

/// What a key has caused beyond a change of the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Only the line has to be drawn again.
    Edited,
    /// This is to be sent.
    Submit(String),
    /// The input is over.
    End,
    /// The word before the cursor is to be completed.
    Complete,
    /// The screen is to be cleared.
    Clear,
    /// SIGINT is to be raised.
    Interrupt,
    /// SIGTSTP is to be raised.
    Suspend,
    /// SIGQUIT is to be raised.
    Quit,
}

/// The line that is typed.
#[derive(Default)]
pub struct Editor {
    text: String,
    /// A byte position in the text.
    cursor: usize,
    history: Vec<String>,
    /// The entry of the history that is shown; `None`: the line itself.
    shown: Option<usize>,
    /// The line, while an entry of the history is shown.
    draft: String,
    killed: String,
    search: Option<Search>,
}

/// Ctrl-R.
struct Search {
    wanted: String,
    /// Entries from here on are not looked at.
    before: usize,
    /// The line and the cursor before.
    saved: (String, usize),
}

/// The rows of the line, and the place of the cursor in them.
#[derive(Debug, PartialEq, Eq)]
pub struct Rows {
    /// The rows, none wider than the terminal.
    pub rows: Vec<String>,
    /// The row of the cursor.
    pub row: usize,
    /// Its column.
    pub column: usize,
}

impl Editor {
    /// An editor with these older entries.
    pub fn new(history: Vec<String>) -> Self {
        Self { history, ..Self::default() }
    }

    /// What has been typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Replaces what has been typed.
    pub fn set_text(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
    }

    /// Applies a key.
    pub fn press(&mut self, key: Key) -> Action {
        if self.search.is_some() {
            match key {
                Key::Char(letter) => return self.search_for(|wanted| wanted.push(letter)),
                Key::Backspace => return self.search_for(|wanted| _ = wanted.pop()),
                Key::Search => return self.search_on(),
                Key::Escape | Key::Interrupt => {
                    if let Some(Search { saved: (text, cursor), .. }) = self.search.take() {
                        (self.text, self.cursor) = (text, cursor);
                    }
                    return Action::Edited;
                }
                // Any other key takes what was found.
                _ => self.search = None,
            }
        }
        match key {
            Key::Char(letter) => self.insert(letter.encode_utf8(&mut [0; 4])),
            Key::Paste(text) => self.insert(&text),
            Key::Newline => self.insert("\n"),
            Key::Enter => return self.submit(),
            Key::Tab => return Action::Complete,
            Key::Interrupt if self.text.is_empty() => return Action::Interrupt,
            Key::Interrupt => {
                self.set_text(String::new());
                self.shown = None;
            }
            Key::Eof if self.text.is_empty() => return Action::End,
            Key::Suspend => return Action::Suspend,
            Key::Quit => return Action::Quit,
            Key::ClearScreen => return Action::Clear,
            Key::Search => {
                self.search = Some(Search {
                    wanted: String::new(),
                    before: self.history.len(),
                    saved: (self.text.clone(), self.cursor),
                });
            }
            Key::Left => self.cursor = self.left(),
            Key::Right => self.cursor = self.right(),
            Key::WordLeft => self.cursor = self.word_left(),
            Key::WordRight => self.cursor = self.word_right(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.text.len(),
            Key::Up => self.older(),
            Key::Down => self.newer(),
            Key::Backspace => _ = self.remove(self.left(), self.cursor),
            Key::Delete | Key::Eof => _ = self.remove(self.cursor, self.right()),
            Key::KillToStart => self.killed = self.remove(0, self.cursor),
            Key::KillToEnd => self.killed = self.remove(self.cursor, self.text.len()),
            Key::KillWordLeft => self.killed = self.remove(self.word_left(), self.cursor),
            Key::KillWordRight => self.killed = self.remove(self.cursor, self.word_right()),
            Key::Yank => self.insert(&self.killed.clone()),
            Key::Escape => {}
        }
        Action::Edited
    }

    fn insert(&mut self, text: &str) {
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
    }

    fn remove(&mut self, from: usize, to: usize) -> String {
        let removed = self.text.drain(from..to).collect();
        self.cursor = from;
        removed
    }

    fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn behind(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    fn left(&self) -> usize {
        self.cursor - self.before().graphemes(true).next_back().map_or(0, str::len)
    }

    fn right(&self) -> usize {
        self.cursor + self.behind().graphemes(true).next().map_or(0, str::len)
    }

    fn word_left(&self) -> usize {
        let ends = self.before().trim_end_matches(|letter: char| !letter.is_alphanumeric());
        ends.trim_end_matches(char::is_alphanumeric).len()
    }

    fn word_right(&self) -> usize {
        let behind = self.behind();
        let starts = behind.trim_start_matches(|letter: char| !letter.is_alphanumeric());
        self.text.len() - starts.trim_start_matches(char::is_alphanumeric).len()
    }

    fn submit(&mut self) -> Action {
        let text = mem::take(&mut self.text);
        (self.cursor, self.shown) = (0, None);
        Action::Submit(text)
    }

    /// Adds an entry to the history; returns whether it is new.
    pub fn remember(&mut self, text: &str) -> bool {
        // As in shells, what begins with a space is not kept.
        let is_new = !text.is_empty() && !text.starts_with(' ') && self.history.last().is_none_or(|last| last != text);
        if is_new {
            self.history.push(text.to_owned());
            if self.history.len() > MAX_HISTORY {
                self.history.remove(0);
            }
        }
        is_new
    }

    fn older(&mut self) {
        let at = self.shown.unwrap_or(self.history.len());
        let Some(older) = at.checked_sub(1) else { return };
        if self.shown.is_none() {
            self.draft = mem::take(&mut self.text);
        }
        self.show_entry(older);
    }

    fn newer(&mut self) {
        match self.shown {
            Some(at) if at + 1 < self.history.len() => self.show_entry(at + 1),
            Some(_) => {
                self.shown = None;
                let draft = mem::take(&mut self.draft);
                self.set_text(draft);
            }
            None => {}
        }
    }

    fn show_entry(&mut self, at: usize) {
        if let Some(entry) = self.history.get(at) {
            self.shown = Some(at);
            self.set_text(entry.clone());
        }
    }

    fn search_for(&mut self, change: impl FnOnce(&mut String)) -> Action {
        if let Some(search) = &mut self.search {
            change(&mut search.wanted);
            search.before = self.history.len();
        }
        self.search_on()
    }

    /// Shows the next older entry that contains what is searched for.
    fn search_on(&mut self) -> Action {
        let Some(search) = &mut self.search else { return Action::Edited };
        let older = self.history.get(..search.before).unwrap_or_default();
        if let Some(at) = older.iter().rposition(|entry| entry.contains(&search.wanted)) {
            search.before = at;
            let entry = older.get(at).cloned().unwrap_or_default();
            self.cursor = entry.find(&search.wanted).unwrap_or_default();
            self.text = entry;
        }
        Action::Edited
    }

    /// The line as it is shown on a terminal of this size. Of a long one, the part around the cursor.
    pub fn rows(&self, columns: usize, most_rows: usize) -> Rows {
        let limit = columns.saturating_sub(1).max(MARGIN + 2);
        let from = boundary(&self.text, self.cursor.saturating_sub(LAID_OUT));
        let to = boundary(&self.text, self.cursor + LAID_OUT);
        let mut row = match &self.search {
            Some(search) => format!("(search `{}`) ", escaped(&search.wanted)),
            None => PROMPT.to_owned(),
        };
        let mut width = row.width();
        let (mut rows, mut place) = (Vec::new(), (0, width));
        let mut at = from;
        for grapheme in self.text.get(from..to).unwrap_or_default().graphemes(true) {
            let shown = match grapheme {
                "\n" | "\r\n" => "\u{21b5}".to_owned(),
                "\t" => "    ".to_owned(),
                _ => escaped(grapheme),
            };
            let grapheme_width = shown.width();
            if width + grapheme_width > limit {
                rows.push(mem::replace(&mut row, " ".repeat(MARGIN)));
                width = MARGIN;
            }
            if at == self.cursor {
                place = (rows.len(), width);
            }
            row.push_str(&shown);
            width += grapheme_width;
            at += grapheme.len();
            if grapheme.ends_with('\n') {
                rows.push(mem::replace(&mut row, " ".repeat(MARGIN)));
                width = MARGIN;
            }
        }
        if at <= self.cursor {
            place = (rows.len(), width);
        }
        rows.push(row);
        let count = rows.len();
        if count > most_rows || from > 0 || to < self.text.len() {
            // The last row shows the total size.
            let most_rows = most_rows.saturating_sub(1).max(1);
            let start = place.0.saturating_sub(most_rows / 2).min(count.saturating_sub(most_rows));
            rows = rows.into_iter().skip(start).take(most_rows).collect();
            place.0 -= start;
            let [bytes, lines] = [(self.text.len(), "byte"), (self.text.lines().count(), "line")]
                .map(|(count, unit)| counted(count as u64, unit));
            rows.push(format!("  [{bytes}, {lines}]"));
        }
        Rows { rows, row: place.0, column: place.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn press(editor: &mut Editor, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            editor.press(key);
        }
    }

    fn letters(text: &str) -> impl Iterator<Item = Key> {
        text.chars().map(Key::Char)
    }

    #[test]
    fn the_cursor_moves_by_characters_as_they_are_seen_and_by_words() {
        let mut editor = Editor::default();
        press(&mut editor, letters("one e\u{301}\u{1f468}\u{200d}\u{1f469} two"));
        press(&mut editor, [Key::WordLeft, Key::Left, Key::Backspace, Key::Backspace]);
        assert_eq!(editor.text(), "one  two");
        press(&mut editor, [Key::Home, Key::KillWordRight, Key::End, Key::Yank]);
        assert_eq!(editor.text(), "  twoone");
        assert_eq!(editor.press(Key::Interrupt), Action::Edited, "it clears the line");
        assert_eq!((editor.press(Key::Interrupt), editor.text()), (Action::Interrupt, ""));
        assert_eq!(editor.press(Key::Eof), Action::End);
    }

    #[test]
    fn the_history_is_walked_and_searched_and_the_draft_comes_back() {
        let mut editor = Editor::new(["one", "two", "tower"].map(str::to_owned).into());
        press(&mut editor, letters("draft"));
        press(&mut editor, [Key::Up, Key::Up]);
        assert_eq!(editor.text(), "two");
        press(&mut editor, [Key::Down, Key::Down]);
        assert_eq!(editor.text(), "draft");
        press(&mut editor, [Key::Search].into_iter().chain(letters("tw")));
        assert_eq!(editor.text(), "two");
        press(&mut editor, [Key::Escape]);
        assert_eq!(editor.text(), "draft");
        press(&mut editor, [Key::Search].into_iter().chain(letters("o")).chain([Key::Search]));
        assert_eq!(editor.press(Key::Enter), Action::Submit("two".into()));
    }

    #[test]
    fn rows_wrap_before_wide_characters_and_show_newlines() {
        let mut editor = Editor::default();
        press(&mut editor, [Key::Paste("ab\u{4f60}\u{597d}\ncd".into()), Key::Left]);
        let Rows { rows, row, column } = editor.rows(8, 10);
        assert_eq!(rows, ["> ab\u{4f60}", "  \u{597d}\u{21b5}", "  cd"]);
        assert_eq!((row, column), (2, 3));
        let rows = editor.rows(8, 2);
        assert_eq!(rows.rows, ["  cd", "  [11 bytes, 2 lines]"]);
    }

    fn key() -> impl Strategy<Value = Key> {
        prop_oneof![
            any::<char>().prop_map(Key::Char),
            "[a-c\u{301}\u{4f60}\n]{0,50}".prop_map(Key::Paste),
            prop::sample::select(vec![
                Key::Left,
                Key::Right,
                Key::WordLeft,
                Key::WordRight,
                Key::Home,
                Key::Up,
                Key::Down,
                Key::Backspace,
                Key::Delete,
                Key::KillToStart,
                Key::KillWordLeft,
                Key::KillWordRight,
                Key::Yank,
                Key::Search,
                Key::Newline,
                Key::Escape,
                Key::Interrupt,
                Key::Enter,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn no_key_breaks_it_and_no_row_is_wider_than_the_terminal(
            keys in prop::collection::vec(key(), 0..60), columns in 1..40_usize, most_rows in 1..6_usize
        ) {
            let mut editor = Editor::new(vec!["older".into(), "oldest\nentry".into()]);
            for key in keys {
                editor.press(key);
                prop_assert!(editor.text.is_char_boundary(editor.cursor));
                let rows = editor.rows(columns, most_rows);
                prop_assert!(rows.row < rows.rows.len() && rows.rows.len() <= most_rows.max(2));
            }
        }
    }
}
