//! The thread of the terminal: reads keys, and shows messages above the line that is typed.

#[cfg(feature = "jq")]
use super::filter::{Filter, Step};
use super::{
    command::{self, Command, Request},
    complete::complete,
    editor::{Action, Editor},
    history::History,
    keys::Decoder,
    link::{Event, Link, Work},
    mode,
    style::Style,
    tty::{self, Signal, raise},
    view::{Record, View, counted, grouped},
};
#[cfg(feature = "jq")]
use crate::{error::carets, filter::Program};
use crate::{
    error::io_message,
    flow::{ControlFrame, RedialRequest, RedialRequests, Transfer},
    message::{Close, Kind, Message},
    recording::Recorder,
    report::{self, millis},
};
use std::{
    collections::VecDeque,
    fmt::Write,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use unicode_width::UnicodeWidthStr;

/// The time between two writes of messages: more than 30 a second are not seen, and keys have their turn in between.
const FRAME: Duration = Duration::from_millis(33);
/// Messages that are shown with one write.
const MAX_SHOWN: usize = 2000;
/// The same, in bytes.
const MAX_SHOWN_BYTES: usize = 256 * 1024;
/// How long the rest of an escape sequence may take.
const ESCAPE_WAIT: Duration = Duration::from_millis(50);
/// How long the thread waits for the process to be stopped and continued. An orphaned process is not stopped.
const STOP_WAIT: Duration = Duration::from_millis(500);
/// Too many messages wait.
const BUSY: &str = "not sent: the connection does not take what has been typed before";
/// Messages that `/find` looks at.
const MAX_RECENT: usize = 5000;
/// The same, in bytes.
const MAX_RECENT_BYTES: usize = 8 << 20;

/// What the thread is told.
pub struct Settings {
    /// How messages are shown.
    pub view: View,
    /// The kind of messages that are typed.
    pub kind: Kind,
    /// The length of the longest message that is sent, in bytes.
    pub longest: usize,
    /// The close frame of `/quit`.
    pub close: Close,
    /// Whether the history is kept across runs.
    pub keeps_history: bool,
    /// Asks for another connection.
    pub redial_requests: Arc<RedialRequests>,
}

/// The thread.
pub struct Screen {
    link: Arc<Link>,
    settings: Settings,
    decoder: Decoder,
    editor: Editor,
    history: Option<History>,
    /// Nothing more is typed.
    has_ended: bool,
    /// What passes is recorded, or will be when the session has taken what was typed before.
    is_recording: bool,
    /// The line as it was drawn.
    drawn: Option<Drawn>,
    /// What is to be written with the line.
    out: String,
    /// What is to be shown, and was taken from the session.
    waiting: VecDeque<Event>,
    #[cfg(feature = "jq")]
    filter: Option<Filter>,
    /// Messages that the program of `/filter` had not looked at when the session was over.
    #[cfg(feature = "jq")]
    unseen: usize,
    recent: VecDeque<Record>,
    recent_bytes: usize,
    sent: (u64, u64),
}

/// The rows of the line on the terminal.
struct Drawn {
    widths: Vec<usize>,
    row: usize,
    column: usize,
}

impl Screen {
    /// The thread as it starts.
    pub fn new(link: Arc<Link>, settings: Settings) -> Self {
        Self {
            link,
            decoder: Decoder::new(settings.longest),
            settings,
            editor: Editor::default(),
            history: None,
            has_ended: false,
            is_recording: false,
            drawn: None,
            out: String::new(),
            waiting: VecDeque::new(),
            #[cfg(feature = "jq")]
            filter: None,
            #[cfg(feature = "jq")]
            unseen: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
            sent: (0, 0),
        }
    }

    /// Runs until the session is over or the terminal is gone.
    pub fn run(mut self) {
        if self.settings.keeps_history {
            self.load_history();
        }
        // An error means that the terminal is gone.
        let _ = self.go_on();
    }

    fn load_history(&mut self) {
        self.history = History::of_user();
        match self.history.as_ref().map(History::load) {
            Some(Ok(entries)) => self.editor = Editor::new(entries),
            Some(Err(error)) => self.give_up_history(&error),
            None => {}
        }
    }

    /// Goes on without a history.
    fn give_up_history(&mut self, error: &io::Error) {
        if let Some(history) = self.history.take() {
            let text = format!("the history is not kept: {}: {}", history.name(), io_message(error));
            self.remark(&text);
        }
    }

    fn go_on(&mut self) -> io::Result<()> {
        let mut last_shown: Option<Instant> = None;
        self.out.push_str(mode::BRACKETED_PASTE_ON);
        self.draw()?;
        loop {
            let next_frame = last_shown.map_or(Duration::ZERO, |shown| FRAME.saturating_sub(shown.elapsed()));
            let is_hurried = self.link.is_hurried();
            let timeouts = [
                self.can_show().then_some(if is_hurried { Duration::ZERO } else { next_frame }),
                self.decoder.is_waiting().then_some(ESCAPE_WAIT),
            ];
            let has_key = self.wait(timeouts.into_iter().flatten().min(), true)?;
            if has_key {
                self.read_keys()?;
            } else if self.decoder.is_waiting()
                && let Some(key) = self.decoder.give_up()
            {
                self.editor.press(key);
                self.draw()?;
            }
            if self.link.take_continued() {
                self.enter_again()?;
                self.draw()?;
            }
            let is_stale = self.link.take_stale();
            let is_due = self.link.is_hurried() || last_shown.is_none_or(|shown| shown.elapsed() >= FRAME);
            if is_due && self.can_show() {
                self.show();
                self.draw()?;
                if self.waiting.is_empty() {
                    self.link.written();
                }
                last_shown = Some(Instant::now());
            } else if is_stale {
                self.draw()?;
            }
            if self.waiting.is_empty() && self.link.is_closing() {
                return self.close();
            }
        }
    }

    /// Waits for a key, for the session, or for the time to pass. Returns whether there is a key.
    fn wait(&self, most: Option<Duration>, reads_keys: bool) -> io::Result<bool> {
        tty::wait(self.link.wake_descriptor(), most, reads_keys)
    }

    fn read_keys(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        use io::ErrorKind::{Interrupted, UnexpectedEof, WouldBlock};
        match tty::read(&mut buffer) {
            Ok(0) => return Err(UnexpectedEof.into()),
            Ok(length) => self.decoder.push(buffer.get(..length).unwrap_or_default()),
            Err(error) if matches!(error.kind(), Interrupted | WouldBlock) => return Ok(()),
            Err(error) => return Err(error),
        }
        while let Some(key) = self.decoder.next() {
            let action = self.editor.press(key);
            self.act(action)?;
        }
        self.draw()
    }

    fn act(&mut self, action: Action) -> io::Result<()> {
        match action {
            Action::Edited => {}
            Action::Interrupt => raise(Signal::INT)?,
            Action::Suspend => self.suspend()?,
            Action::Quit => {
                self.erase();
                self.flush()?;
                mode::restore();
                raise(Signal::QUIT)?;
            }
            Action::Clear => {
                self.drawn = None;
                self.out.push_str("\x1b[H\x1b[2J");
            }
            // What is typed after the end is not sent.
            _ if self.has_ended => {}
            Action::Submit(line) => self.submit(line),
            Action::End => {
                self.has_ended = true;
                self.link.request(Request::End);
            }
            Action::Complete => match complete(self.editor.text()) {
                Ok(line) => self.editor.set_text(line),
                Err(fitting) if fitting.is_empty() && !self.editor.text().starts_with('/') => {
                    self.editor.press(super::keys::Key::Char('\t'));
                }
                Err(fitting) if fitting.is_empty() => {}
                Err(fitting) => {
                    let list = fitting.join("  ");
                    self.remark(&list);
                }
            },
        }
        Ok(())
    }

    fn submit(&mut self, line: String) {
        let is_command = line.starts_with('/') && !line.starts_with("//");
        if !is_command && !self.link.takes_requests() {
            self.remark(BUSY);
            return self.editor.set_text(line);
        }
        if self.editor.remember(&line)
            && let Some(history) = &self.history
            && let Err(error) = history.append(&line)
        {
            self.give_up_history(&error);
        }
        match command::parse(line, self.settings.kind, self.settings.longest, &self.settings.close) {
            Err(error) => self.remark(&error),
            Ok(Command::Send(_) | Command::Control(_) | Command::Record(_)) if !self.link.takes_requests() => {
                self.remark(BUSY);
            }
            Ok(Command::Send(message)) => self.send(message),
            Ok(Command::Control(frame)) => {
                match frame {
                    ControlFrame::Ping(_) => self.link.ping_asked(),
                    ControlFrame::Pong(_) => {}
                    ControlFrame::Close(_) => _ = self.settings.redial_requests.ask(RedialRequest::Leave),
                }
                self.link.request(Request::Control(frame));
            }
            Ok(Command::Quit) => {
                self.settings.redial_requests.ask(RedialRequest::Leave);
                self.link.request(Request::Control(ControlFrame::Close(self.settings.close.clone())));
                // The prompt of a listener outlives its clients.
                self.link.request(Request::End);
            }
            Ok(Command::Reconnect) => {
                if !self.settings.redial_requests.ask(RedialRequest::Reconnect) {
                    self.remark("only a connection that wsplice opens after the terminal can be opened again");
                }
            }
            #[cfg(feature = "jq")]
            Ok(Command::Filter(program)) => self.filter(program),
            Ok(Command::Record(path)) => self.record(path),
            Ok(Command::Headers) => {
                let lines = report::last_handshake();
                if lines.is_empty() {
                    self.remark("there was no handshake");
                }
                // Their marks are those of messages.
                let style = self.settings.view.style;
                lines.iter().for_each(|line| style.push(&mut self.out, Style::DIM, line));
            }
            Ok(Command::Help) => self.out.push_str(&command::help()),
            Ok(Command::Stats) => self.stats(),
            Ok(Command::Last) => {
                let last = self.recent.iter().rev().find(|record| record.transfer == Transfer::Received).cloned();
                self.show_again(last.as_slice(), true);
            }
            Ok(Command::Find(text)) => {
                let has_text =
                    |record: &&Record| memchr::memmem::find(&record.message.payload, text.as_bytes()).is_some();
                let found: Vec<_> = self.recent.iter().filter(has_text).cloned().collect();
                self.show_again(&found, false);
                let count = format!("{} of {} messages", found.len(), self.recent.len());
                self.remark(&count);
            }
        }
    }

    fn record(&mut self, path: Option<String>) {
        let Some(path) = path else {
            if std::mem::take(&mut self.is_recording) {
                self.link.request(Request::Record(None));
                return self.remark("the recording ends");
            }
            return self.remark("nothing is recorded");
        };
        // A name is easily completed to that of another file.
        if Path::new(&path).exists() {
            return self.remark(&format!("{path} exists already"));
        }
        match Recorder::create(Path::new(&path)) {
            Err(error) => self.remark(&error.to_string()),
            Ok(recorder) => {
                self.is_recording = true;
                self.link.request(Request::Record(Some(recorder)));
                self.remark(&format!("what passes is written to {path}; /record ends that"));
            }
        }
    }

    fn send(&mut self, message: Message) {
        self.sent.0 += 1;
        self.sent.1 += message.payload.len() as u64;
        let record = Record { transfer: Transfer::Sent, message: message.clone(), at: SystemTime::now() };
        self.settings.view.message(&record, self.columns(), false, &mut self.out);
        self.keep(record);
        self.link.request(Request::Message(message));
    }

    /// Keeps a message for `/last` and `/find`.
    fn keep(&mut self, record: Record) {
        self.recent_bytes += record.message.payload.len();
        self.recent.push_back(record);
        while self.recent.len() > MAX_RECENT || (self.recent_bytes > MAX_RECENT_BYTES && self.recent.len() > 1) {
            let oldest = self.recent.pop_front();
            self.recent_bytes -= oldest.map_or(0, |record| record.message.payload.len());
        }
    }

    fn show_again(&mut self, records: &[Record], is_whole: bool) {
        let columns = self.columns();
        for record in records {
            self.settings.view.message(record, columns, is_whole, &mut self.out);
        }
    }

    fn stats(&mut self) {
        let ((received, received_bytes), trips) = self.link.totals();
        let elapsed = self.settings.view.started.elapsed().unwrap_or_default();
        let seconds = elapsed.as_secs_f64().max(0.001);
        let mut text = String::new();
        for (what, messages, bytes) in [("sent", self.sent.0, self.sent.1), ("received", received, received_bytes)] {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{what} {}, {} ({:.1} messages/s); ",
                counted(messages, "message"),
                counted(bytes, "byte"),
                messages as f64 / seconds
            );
        }
        let _ = write!(text, "{:.1} s", elapsed.as_secs_f64());
        self.remark(&text);
        if trips.count > 0 {
            let average = trips.sum / trips.count;
            let text = format!(
                "{}: {} to {}, {} on average",
                counted(trips.count.into(), "ping"),
                millis(trips.shortest),
                millis(trips.longest),
                millis(average)
            );
            self.remark(&text);
        }
    }

    fn remark(&mut self, text: &str) {
        self.settings.view.remark(text, &mut self.out);
    }

    /// Whether something can be shown without waiting for the program of `/filter`.
    fn can_show(&mut self) -> bool {
        match self.waiting.front() {
            None => self.link.is_pending(),
            #[cfg(feature = "jq")]
            Some(Event::Received(_)) => self.filter.as_mut().is_none_or(Filter::is_ready) || self.link.is_over(),
            Some(_) => true,
        }
    }

    /// Shows what waits, up to a limit.
    fn show(&mut self) {
        if self.waiting.is_empty() {
            self.take();
        }
        let columns = self.columns();
        let mut shown = 0;
        while shown < MAX_SHOWN && self.out.len() < MAX_SHOWN_BYTES && self.can_show() {
            let Some(event) = self.waiting.pop_front() else { break };
            match event {
                Event::Received(record) if self.received(&record, columns) => self.keep(record),
                Event::Received(record) => self.waiting.push_front(Event::Received(record)),
                Event::Line(line) => self.out.push_str(&line),
                Event::Remark(text) => self.remark(&text),
            }
            shown += 1;
        }
    }

    fn take(&mut self) {
        let Work { events, skipped } = self.link.take(MAX_SHOWN, MAX_SHOWN_BYTES);
        self.waiting = events;
        self.tell_skipped(skipped);
        #[cfg(feature = "jq")]
        self.judge();
    }

    fn tell_skipped(&mut self, count: usize) {
        #[cfg(feature = "jq")]
        let is_filtered = self.filter.is_some();
        #[cfg(not(feature = "jq"))]
        let is_filtered = false;
        if count > 0 {
            let cause = if is_filtered { "the program of /filter" } else { "the terminal" };
            self.remark(&format!("{} messages are not shown: {cause} is too slow", grouped(count)));
        }
    }

    /// Shows a message, or a part of it. Returns whether that was all.
    fn received(&mut self, record: &Record, columns: usize) -> bool {
        #[cfg(feature = "jq")]
        if let Some(filter) = &mut self.filter {
            // Without one of the messages, the next answer would be taken for that of another.
            let step = if self.unseen == 0 { filter.next() } else { None };
            match step {
                Some(Step::Result(text)) => {
                    let message = Message { kind: Kind::Text, payload: text.into() };
                    let record = Record { message, ..*record };
                    self.settings.view.message(&record, columns, false, &mut self.out);
                    return false;
                }
                Some(Step::End) => return true,
                Some(Step::GivenUp(cause)) => {
                    self.filter = None;
                    self.settings.view.message(record, columns, false, &mut self.out);
                    self.remark(&format!("there is no filter any more: {cause}"));
                    return true;
                }
                None => {
                    self.unseen += 1;
                    return true;
                }
            }
        }
        self.settings.view.message(record, columns, false, &mut self.out);
        true
    }

    fn size(&self) -> (usize, usize) {
        tty::size().unwrap_or((80, 24))
    }

    fn columns(&self) -> usize {
        self.size().0
    }

    /// Moves to the start of the line on the terminal, and clears it. A terminal that has become narrower has wrapped its rows.
    fn erase(&mut self) {
        let mut text = String::new();
        if let Some(drawn) = self.drawn.take() {
            let columns = self.columns();
            let wrapped = |width: usize| width.saturating_sub(1) / columns;
            let above: usize = drawn.widths.iter().take(drawn.row).map(|width| 1 + wrapped(*width)).sum();
            let up = above + drawn.column / columns;
            if up > 0 {
                let _ = write!(text, "\x1b[{up}A");
            }
            text.push_str("\r\x1b[J");
        }
        self.out.insert_str(0, &text);
    }

    /// Writes what is to be written above the line, and the line.
    fn draw(&mut self) -> io::Result<()> {
        self.erase();
        if self.has_ended || self.link.is_closing() {
            return self.flush();
        }
        let (columns, rows) = self.size();
        let line = self.editor.rows(columns, (rows / 2).max(1));
        let widths: Vec<_> = line.rows.iter().map(|row| row.width()).collect();
        self.out.push_str(&line.rows.join("\r\n"));
        let up = line.rows.len() - 1 - line.row;
        if up > 0 {
            let _ = write!(self.out, "\x1b[{up}A");
        }
        self.out.push('\r');
        if line.column > 0 {
            let _ = write!(self.out, "\x1b[{}C", line.column);
        }
        self.drawn = Some(Drawn { widths, row: line.row, column: line.column });
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let mut rest = out.as_bytes();
        while !rest.is_empty() {
            match tty::write(rest)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = rest.get(written..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Ctrl-Z: stops the processes of this job, as a terminal does whose keys are not read one by one.
    fn suspend(&mut self) -> io::Result<()> {
        self.erase();
        self.flush()?;
        mode::restore();
        raise(Signal::TSTP)?;
        let end = Instant::now() + STOP_WAIT;
        // The other threads may take the signal, so it is not certain when this one stops.
        while !self.link.take_continued() && Instant::now() < end {
            self.wait(Some(end.saturating_duration_since(Instant::now())), false)?;
        }
        self.enter_again()
    }

    /// Reads keys again; the line is to be drawn.
    fn enter_again(&mut self) -> io::Result<()> {
        mode::enter()?;
        self.drawn = None;
        self.out.push_str(mode::BRACKETED_PASTE_ON);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.erase();
        #[cfg(feature = "jq")]
        if self.unseen > 0 {
            let verb = if self.unseen == 1 { "is" } else { "are" };
            let count = counted(self.unseen as u64, "message");
            self.remark(&format!("{count} {verb} not shown: the program of /filter is too slow"));
        }
        let unsent = self.link.unsent();
        if unsent > 0 {
            let verb = if unsent == 1 { "was" } else { "were" };
            self.remark(&format!("{} {verb} not sent", counted(unsent as u64, "message")));
        }
        if !self.editor.text().is_empty() {
            let text = format!("not sent: {}", self.editor.text());
            self.remark(&text);
        }
        self.flush()
    }
}

#[cfg(feature = "jq")]
impl Screen {
    /// Shows what a program makes of the messages from now on, or all of them again.
    fn filter(&mut self, program: Option<String>) {
        let program = match program.as_deref().map(Program::parse).transpose() {
            Ok(program) => program,
            Err(malformed) => {
                self.remark(&malformed.reason);
                let place = carets(&malformed.text, malformed.span);
                place
                    .lines()
                    .filter(|line| !line.is_empty())
                    .for_each(|line| _ = writeln!(self.out, "{}", super::style::escaped(line)));
                return;
            }
        };
        let is_on = program.is_some();
        let skipped = self.link.take_skipped();
        self.tell_skipped(skipped);
        match self.filter.take() {
            Some(Filter { hidden: hidden @ 1.., .. }) => {
                self.remark(&format!("messages that were not shown: {}; /find finds them", grouped(hidden)));
            }
            Some(_) if !is_on => self.remark("messages are shown as they are again"),
            None if !is_on => self.remark("there is no filter"),
            _ => {}
        }
        let Some(program) = program else { return };
        let text = format!("messages are shown as {} makes them; /filter ends that", program.as_str());
        match Filter::start(program, self.link.clone()) {
            Ok(filter) => {
                self.remark(&text);
                self.filter = Some(filter);
                self.judge();
            }
            Err(error) => self.remark(&format!("there is no thread for a filter: {}", io_message(&error))),
        }
    }

    /// Gives what waits to the program.
    fn judge(&self) {
        let Some(filter) = &self.filter else { return };
        let messages = self.waiting.iter().filter_map(|event| match event {
            Event::Received(record) => Some(record.message.payload.clone()),
            _ => None,
        });
        filter.judge(messages.collect());
    }
}

impl Drop for Screen {
    /// Whatever ended the thread.
    fn drop(&mut self) {
        mode::restore();
        self.link.done();
    }
}
