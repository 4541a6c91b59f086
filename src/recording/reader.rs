//! Reads a recording.

use super::{
    Frame,
    har::{self, Panel},
};
use crate::{
    error::io_message,
    flow::Transfer,
    message::{Close, Message},
    report,
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    time::Duration,
};

/// The longest HAR file that is read, in bytes. It is held as a whole.
const MAX_HAR: u64 = 512 << 20;

/// A part of a recording.
#[derive(Debug, PartialEq)]
pub struct Part {
    /// The time since the first frame of either direction.
    pub after: Duration,
    /// A message or a close frame; `None`: the end of the recording.
    pub content: Option<Result<Message, Close>>,
}

/// Why the rest of a recording cannot be played.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// Such as `line 7`.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// Reads a file and gives what went in one direction to `take`, until that returns `false`. A message may have `max_length` bytes.
/// It blocks.
///
/// # Errors
/// The file cannot be read, or is cut or invalid behind what was given to `take`.
pub fn read(
    file: &File,
    transfer: Transfer,
    max_length: usize,
    mut take: impl FnMut(Part) -> bool,
) -> Result<(), Broken> {
    // A letter takes six at most: `\u0000`.
    let max_line = (max_length as u64).saturating_mul(6).saturating_add(4096);
    let mut times = Times { direction: transfer, first: None, last: Duration::ZERO };
    let (mut session, mut is_alone) = (None, true);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let whole = |reason: String| Broken { at: "the recording".into(), reason };
    for number in 1_u64.. {
        let broken = |reason: String| Broken { at: format!("line {number}"), reason };
        line.clear();
        let length =
            (&mut reader).take(max_line).read_until(b'\n', &mut line).map_err(|error| broken(failed(&error)))?;
        if length == 0 {
            break;
        }
        let is_whole = line.last() == Some(&b'\n');
        if !is_whole && length as u64 == max_line {
            return Err(broken(format!("is longer than a message of {max_length} bytes can be")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let text = if number == 1 { without_mark(&line) } else { &line };
        let frame = match Frame::parse(text) {
            Ok(frame) => frame,
            Err(reason) if number == 1 => match read_har(file) {
                Some(Ok(panel)) => {
                    for part in panel.frames.into_iter().filter_map(|frame| times.part(frame)) {
                        if !take(part) {
                            return Ok(());
                        }
                    }
                    return match panel.broken {
                        Some(reason) => Err(whole(reason)),
                        None => {
                            take(times.end());
                            Ok(())
                        }
                    };
                }
                Some(Err(reason)) => return Err(whole(reason)),
                None if is_whole => return Err(broken(reason)),
                None => return Err(broken("is cut off".into())),
            },
            Err(_) if !is_whole => return Err(broken("is cut off".into())),
            Err(reason) => return Err(broken(reason)),
        };
        if *session.get_or_insert(frame.session) != frame.session {
            if std::mem::take(&mut is_alone) {
                report::warn(
                    "the recording holds other sessions, too, which are not played; `grep '\"session\":2,'` gives the lines of one",
                );
            }
            continue;
        }
        if let Some(part) = times.part(frame)
            && !take(part)
        {
            return Ok(());
        }
    }
    take(times.end());
    Ok(())
}

/// The text behind a byte order mark, which editors on Windows write.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

fn failed(error: &io::Error) -> String {
    format!("cannot be read: {}", io_message(error))
}

/// The first WebSocket of a HAR file; `None` if it is none.
fn read_har(mut file: &File) -> Option<Result<Panel, String>> {
    // What cannot be read twice is no file of a browser.
    file.rewind().ok()?;
    let mut text = Vec::new();
    if let Err(error) = file.take(MAX_HAR).read_to_end(&mut text) {
        return Some(Err(failed(&error)));
    }
    let panel = har::panel(without_mark(&text))?;
    if let Ok(Panel { others: others @ 1.., .. }) = panel {
        report::warn(format_args!("the recording holds other WebSockets, too ({others}), which are not played"));
    }
    Some(panel)
}

struct Times {
    direction: Transfer,
    first: Option<Duration>,
    last: Duration,
}

impl Times {
    /// The part that a frame is, if it went in the right direction and can be played.
    fn part(&mut self, frame: Frame) -> Option<Part> {
        let at = frame.at.unwrap_or(self.last).max(self.last);
        self.last = at;
        let first = *self.first.get_or_insert(at);
        let content = frame.content.filter(|_| frame.transfer == self.direction)?;
        Some(Part { after: at.saturating_sub(first), content: Some(content) })
    }

    /// The end, at the time of the last frame of either direction.
    fn end(&self) -> Part {
        Part { after: self.last.saturating_sub(self.first.unwrap_or(self.last)), content: None }
    }
}
