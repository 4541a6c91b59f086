//! How messages look on the terminal.

use super::{
    json,
    style::{Style, escaped},
};
use crate::{
    config::{TerminalOptions, Timestamps},
    flow::Transfer,
    message::{Kind, Message},
};
use std::{
    fmt::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use unicode_width::UnicodeWidthChar;

/// Rows of a message that are shown; the rest is folded.
const UNFOLDED: usize = 20;
/// Bytes of a text that are laid out, if it is folded: more than rows of a wide terminal have.
const LAID_OUT: usize = 64 * 1024;
/// Bytes in a row of a hex dump.
const DUMPED: usize = 16;

/// The last boundary between characters at or before `at`.
pub fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// Lines that begin in the rest of a text.
fn line_count(rest: &str) -> usize {
    memchr::memchr_iter(b'\n', rest.strip_suffix('\n').unwrap_or(rest).as_bytes()).count()
}

/// What fits into some rows of the terminal.
struct Fit {
    /// Where it ends in the line.
    end: usize,
    /// The rows that it takes.
    rows: usize,
    /// Bytes behind it, without colours.
    hidden: usize,
}

/// How much of a line fits into `most` rows.
fn fit(line: &str, columns: usize, most: usize) -> Fit {
    let mut fit = Fit { end: line.len(), rows: most.min(1), hidden: 0 };
    let (mut column, mut is_color) = (0, false);
    for (at, letter) in line.char_indices() {
        if is_color || letter == '\x1b' {
            is_color = letter != 'm';
            continue;
        }
        let width = letter.width().unwrap_or(0);
        let is_full = most == 0 || column + width > columns;
        if fit.hidden == 0 && !is_full {
            column += width;
        } else if fit.hidden == 0 && fit.rows < most {
            (fit.rows, column) = (fit.rows + 1, width);
        } else {
            if fit.hidden == 0 {
                fit.end = at;
            }
            fit.hidden += letter.len_utf8();
        }
    }
    fit
}

/// A message that was sent or received.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which way it went.
    pub transfer: Transfer,
    /// The message.
    pub message: Message,
    /// When.
    pub at: SystemTime,
}

/// How messages are shown.
pub struct View {
    /// Colours.
    pub style: Style,
    /// Layout and times.
    pub options: TerminalOptions,
    /// When the session began.
    pub started: SystemTime,
}

impl View {
    /// Appends a message with a newline at its end. `is_whole`: it is not folded.
    pub fn message(&self, record: &Record, columns: usize, is_whole: bool, out: &mut String) {
        self.stamp(record.at, out);
        match record.transfer {
            Transfer::Received => self.style.push(out, Style::RECEIVED, "<"),
            Transfer::Sent => self.style.push(out, Style::SENT, ">"),
        }
        out.push(' ');
        let Message { kind, payload } = &record.message;
        if self.options.raw {
            out.push_str(&String::from_utf8_lossy(payload));
            return out.push('\n');
        }
        let most = if is_whole { usize::MAX } else { UNFOLDED };
        let (body, behind) = match std::str::from_utf8(payload) {
            Ok(text) if *kind == Kind::Text => self.text(text, columns, is_whole),
            _ => {
                self.size(payload.len(), " binary", out);
                let rows = payload.chunks(DUMPED);
                let count = rows.len();
                for (row, bytes) in rows.take(most).enumerate() {
                    self.dump(row * DUMPED, bytes, out);
                }
                return self.folded(count.saturating_sub(most), out);
            }
        };
        let mut lines = body.lines();
        let mut left = most;
        if body.contains('\n') {
            self.size(payload.len(), "", out);
        } else {
            let hidden = self.line(lines.next().unwrap_or_default(), columns, &mut left, out);
            return self.cut(hidden + behind.len(), out);
        }
        while let Some(line) = lines.next() {
            if left == 0 {
                return self.folded(1 + lines.count() + line_count(behind), out);
            }
            out.push_str("  ");
            let hidden = self.line(line, columns, &mut left, out);
            if hidden > 0 {
                let others: usize = lines.map(|line| 1 + fit(line, columns, 0).hidden).sum();
                return self.cut(hidden + others + behind.len(), out);
            }
        }
        self.cut(behind.len(), out);
    }

    /// The text as it is laid out, and what is not looked at since it will be folded.
    fn text<'a>(&self, text: &'a str, columns: usize, is_whole: bool) -> (String, &'a str) {
        let fits = text.len() + 10 < columns && !text.contains('\n');
        let is_indented = self.options.pretty || !fits;
        if let Some(json) = json::pretty(text, self.style, is_indented) {
            return (json, "");
        }
        if is_whole || text.len() <= LAID_OUT {
            return (escaped(text), "");
        }
        // A newline belongs to the lines behind it.
        let start = text.get(..boundary(text, LAID_OUT)).unwrap_or_default().trim_end_matches('\n');
        (escaped(start), text.get(start.len()..).unwrap_or_default())
    }

    /// Appends a line, cut where it would take more than the rows that are left. Returns the bytes that were left out.
    fn line(&self, line: &str, columns: usize, left: &mut usize, out: &mut String) -> usize {
        let fit = fit(line, columns, *left);
        *left -= fit.rows;
        out.push_str(line.get(..fit.end).unwrap_or_default());
        if fit.hidden > 0 && self.style.color {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
        fit.hidden
    }

    fn cut(&self, bytes: usize, out: &mut String) {
        if bytes > 0 {
            let count = counted(bytes as u64, "byte");
            self.style.push(out, Style::DIM, &format!("  \u{2026} {count} more; /last shows all"));
            out.push('\n');
        }
    }

    fn dump(&self, offset: usize, bytes: &[u8], out: &mut String) {
        let mut hex = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            let _ = write!(hex, "{byte:02x}{}", if at == 7 { "  " } else { " " });
        }
        let letters: String =
            bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }).collect();
        out.push_str("  ");
        self.style.push(out, Style::DIM, &format!("{offset:08x}"));
        let _ = writeln!(out, "  {hex:<50}{letters}");
    }

    fn size(&self, length: usize, kind: &str, out: &mut String) {
        self.style.push(out, Style::DIM, &format!("{}{kind}", counted(length as u64, "byte")));
        out.push('\n');
    }

    fn folded(&self, lines: usize, out: &mut String) {
        if lines > 0 {
            let count = counted(lines as u64, "line");
            self.style.push(out, Style::DIM, &format!("  \u{2026} {count} more; /last shows all"));
            out.push('\n');
        }
    }

    /// Appends a remark of our own.
    pub fn remark(&self, text: &str, out: &mut String) {
        self.style.push(out, Style::DIM, &format!("* {}", escaped(text)));
        out.push('\n');
    }

    fn stamp(&self, at: SystemTime, out: &mut String) {
        let now = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = match self.options.timestamps {
            Timestamps::Off => return,
            Timestamps::Time => clock(now),
            Timestamps::Rel => {
                let since = at.duration_since(self.started).unwrap_or_default();
                format!("+{}.{:03}", since.as_secs(), since.subsec_millis())
            }
            Timestamps::Iso => {
                let (year, month, day) = date(now.as_secs() / 86400);
                format!("{year:04}-{month:02}-{day:02}T{}Z", clock(now))
            }
        };
        self.style.push(out, Style::DIM, &stamp);
        out.push(' ');
    }
}

/// The time of the day, UTC.
fn clock(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs() % 86400;
    let millis = since_epoch.subsec_millis();
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The year, month and day of a day after 1970-01-01, in the Gregorian calendar.
fn date(day: u64) -> (u64, u64, u64) {
    // Years of this count begin in March, so that the day of a leap year is the last one, and eras have 400 years.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

/// A number with commas between groups of three digits.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with its unit, which is in the plural unless there is one.
pub fn counted(number: u64, unit: &str) -> String {
    format!("{} {unit}{}", grouped(number as usize), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn shown(kind: Kind, payload: &[u8], change: impl FnOnce(&mut TerminalOptions)) -> String {
        let mut options = TerminalOptions::default();
        change(&mut options);
        let at = UNIX_EPOCH + Duration::from_millis(1_709_210_096_789);
        let view = View { style: Style { color: false }, options, started: at - Duration::from_millis(1234) };
        let message = Message { kind, payload: Bytes::copy_from_slice(payload) };
        let mut out = String::new();
        view.message(&Record { transfer: Transfer::Received, message, at }, 80, false, &mut out);
        out
    }

    #[test]
    fn messages_are_laid_out_by_what_they_contain() {
        let text = |text: &str| shown(Kind::Text, text.as_bytes(), |_| ());
        assert_eq!(text(""), "< \n");
        assert_eq!(text("hello \x1b[31m\u{4f60}"), "< hello \\u{1b}[31m\u{4f60}\n");
        assert_eq!(text("one\ntwo"), "< 7 bytes\n  one\n  two\n");
        assert_eq!(text(r#"{"a":[1]}"#), "< {\"a\": [1]}\n");
        assert_eq!(
            shown(Kind::Text, br#"{"a":1}"#, |options| options.pretty = true),
            "< 7 bytes\n  {\n    \"a\": 1\n  }\n"
        );
        assert_eq!(shown(Kind::Text, b"{\"a\":1}\x1b[m", |options| options.raw = true), "< {\"a\":1}\x1b[m\n");
        let dump = "< 18 bytes binary\n  00000000  00 41 42 ff 43 43 43 43  43 43 43 43 43 43 43 43  .AB.CCCCCCCCCCCC\n  \
                    00000010  43 43                                             CC\n";
        assert_eq!(shown(Kind::Binary, &[&[0, 65, 66, 255][..], &[67; 14]].concat(), |_| ()), dump);
    }

    #[test]
    fn long_messages_are_folded_with_a_count() {
        let long = shown(Kind::Text, "x\n".repeat(5000).as_bytes(), |_| ());
        assert_eq!(
            (long.lines().count(), long.ends_with("  \u{2026} 4,980 lines more; /last shows all\n")),
            (22, true)
        );
        let wide = shown(Kind::Text, "x".repeat(5000).as_bytes(), |_| ());
        assert!(wide.ends_with("x\n  \u{2026} 3,400 bytes more; /last shows all\n"), "{wide}");
        let binary = shown(Kind::Binary, &[0; 10_000], |_| ());
        assert!(binary.ends_with("  \u{2026} 605 lines more; /last shows all\n"), "{binary}");
    }

    #[test]
    fn units_are_in_the_plural_unless_there_is_one() {
        assert_eq!([0, 1, 1000].map(|number| counted(number, "ping")), ["0 pings", "1 ping", "1,000 pings"]);
    }

    #[test]
    fn what_is_folded_is_counted_as_it_is_seen() {
        let text = |text: &str| shown(Kind::Text, text.as_bytes(), |_| ());
        assert_eq!(text(&"x".repeat(1600)).lines().count(), 1, "it fills the rows");
        assert!(text(&"x".repeat(1601)).ends_with("x\n  \u{2026} 1 byte more; /last shows all\n"));
        assert!(text(&"\u{4f60}".repeat(801)).ends_with("\u{4f60}\n  \u{2026} 3 bytes more; /last shows all\n"));
        let lines = text(&format!("a\n{}\nb", "x".repeat(1600)));
        assert!(lines.ends_with("x\n  \u{2026} 82 bytes more; /last shows all\n"), "{lines}");
        let colored = format!("\x1b[32m{}\x1b[0m", "x".repeat(85));
        let Fit { end, rows, hidden } = fit(&colored, 80, 1);
        assert_eq!((end, rows, hidden), (85, 1, 5));
    }

    #[test]
    fn times_are_those_of_the_clock_of_the_session_or_of_iso_8601() {
        let stamped = |timestamps| shown(Kind::Text, b"x", |options| options.timestamps = timestamps);
        assert_eq!(stamped(Timestamps::Time), "12:34:56.789 < x\n");
        assert_eq!(stamped(Timestamps::Rel), "+1.234 < x\n");
        assert_eq!(stamped(Timestamps::Iso), "2024-02-29T12:34:56.789Z < x\n");
        assert_eq!([date(0), date(11_016), date(11_017)], [(1970, 1, 1), (2000, 2, 29), (2000, 3, 1)]);
    }
}
