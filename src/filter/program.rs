//! A jq program, which runs in a process of its own.
//!
//! `jq.rs` stops a program that goes on for ever between two of its steps. But a step may take any time and any memory, and nothing in
//! jaq interrupts it: `"x" * 100000000000`, the text of `reduce range(40) as $i (1; [.,.])`, whose parts are shared, or a
//! number of a million digits in a message. So the system has to stop it.

use super::{
    Malformed,
    jq::{Jq, JqError, TOO_LATE},
    limits,
};
use crate::{allocator, error::io_message};
use std::{
    io::{self, BufReader, Read, Write},
    panic, process,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// The only argument of the process of a program.
pub const ARGUMENT: &str = "--jq-process";

/// How often a process that somebody has ended is replaced, while messages wait.
const MAX_FAILURES: usize = 1;
/// A process gives the answers that it has when they have so many bytes.
const MAX_ANSWERS: usize = 1 << 20;
/// The most processes of a program at a time. Further messages wait.
const MOST: usize = 8;
/// The stack of a process, in bytes. Only what is used of it is in memory.
const STACK: usize = if cfg!(target_pointer_width = "64") { 256 << 20 } else { 64 << 20 };
/// What a program may take of it between its steps. The rest is for one step, which may write or drop a value that is nested deep.
const RECURSION: usize = STACK / 4;
/// The memory of a process, in bytes.
const MEMORY: u64 = 1 << 30;
/// The longest time for a message. A program itself is stopped after a second.
const MAX_TIME: Duration = Duration::from_secs(2);
/// The time between two looks at that.
const TICK: Duration = Duration::from_millis(250);
/// The exit code of a process that took too long.
const LATE_CODE: i32 = 124;

const TOO_LARGE: &str = "it needs more than 1 GiB of memory, or nests values too deep";

/// What a program makes of a message.
pub type Answer<T> = Result<T, JqError>;

fn is_fatal(answer: &Answer<Vec<String>>) -> bool {
    matches!(answer, Err(JqError::Endless(_) | JqError::NoProcess(_)))
}

/// A program. Its processes end when it is dropped.
pub struct Program {
    text: String,
    processes: Mutex<Processes>,
    /// Another process may be used.
    returned: Condvar,
}

#[derive(Default)]
struct Processes {
    idle: Vec<Process>,
    busy: usize,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Jq::parse(text)?;
        Ok(Self { text: text.to_owned(), processes: Mutex::default(), returned: Condvar::new() })
    }

    /// The text of the program.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The results for each message, each a JSON text. A message may take two seconds. Nothing follows the first error that is fatal.
    pub fn results<M: AsRef<[u8]>>(&self, messages: &[M]) -> Vec<Answer<Vec<String>>> {
        self.ask(RESULTS, messages)
    }

    /// Whether a result for a message is neither `false` nor `null`, otherwise the same.
    pub fn are_matches<M: AsRef<[u8]>>(&self, messages: &[M]) -> Vec<Answer<bool>> {
        let answers = self.ask(IS_MATCH, messages).into_iter();
        answers.map(|answer| answer.map(|results| !results.is_empty())).collect()
    }

    fn ask<M: AsRef<[u8]>>(&self, question: u8, messages: &[M]) -> Vec<Answer<Vec<String>>> {
        let mut slot = Slot::take(self);
        let (mut answers, mut most, mut failures) = (Vec::with_capacity(messages.len()), messages.len(), 0);
        while answers.len() < messages.len() && !answers.last().is_some_and(is_fatal) {
            let mut process = match slot.process.take().map_or_else(|| Process::start(&self.text), Ok) {
                Ok(process) => process,
                Err(error) => {
                    answers.push(Err(JqError::NoProcess(io_message(&error))));
                    break;
                }
            };
            if let Ok(some) = process.ask(question, messages.iter().skip(answers.len()).take(most)) {
                slot.process = Some(process);
                answers.extend(some);
                continue;
            }
            match process.end() {
                // The message that is too much for it is found by asking for each alone.
                Ok(_) if most > 1 => most = 1,
                Ok(reason) => answers.push(Err(JqError::Endless(reason.to_owned()))),
                // If somebody else has ended a process, another one takes its place.
                Err(_) if failures < MAX_FAILURES => failures += 1,
                Err(how) => answers.push(Err(JqError::NoProcess(format!("its process has ended ({how})")))),
            }
        }
        answers
    }

    fn lock(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use a process, and that process if there is one.
struct Slot<'a> {
    program: &'a Program,
    process: Option<Process>,
}

impl<'a> Slot<'a> {
    fn take(program: &'a Program) -> Self {
        let mut processes = program
            .returned
            .wait_while(program.lock(), |processes| processes.busy == MOST)
            .unwrap_or_else(PoisonError::into_inner);
        processes.busy += 1;
        Self { program, process: processes.idle.pop() }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut processes = self.program.lock();
        processes.busy -= 1;
        processes.idle.extend(self.process.take());
        drop(processes);
        self.program.returned.notify_one();
    }
}

/// A process of a program.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(text: &str) -> io::Result<Self> {
        let mut command = Command::new(limits::own_binary()?);
        limits::detach(&mut command);
        let mut child =
            command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut part = Vec::new();
        push_part(&mut part, PROGRAM, text.as_bytes());
        // If it has ended, the first question finds out.
        let _ = input.write_all(&part);
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// The answers for the first messages, at least for one.
    ///
    /// # Errors
    /// The process has ended.
    fn ask<'a, M: AsRef<[u8]> + 'a>(
        &mut self,
        question: u8,
        messages: impl Iterator<Item = &'a M>,
    ) -> io::Result<Vec<Answer<Vec<String>>>> {
        let (mut all, mut part) = (Vec::new(), Vec::new());
        messages.for_each(|message| push_part(&mut all, MESSAGE, message.as_ref()));
        push_part(&mut part, question, &all);
        self.input.write_all(&part)?;
        let (mut answers, mut results) = (Vec::new(), Vec::new());
        loop {
            let (tag, bytes) = read_part(&mut self.output)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match tag {
                RESULT => results.push(text),
                END => answers.push(Ok(std::mem::take(&mut results))),
                NOT_JSON => answers.push(Err(JqError::NotJson)),
                TOO_DEEP => answers.push(Err(JqError::TooDeep)),
                FAILED => answers.push(Err(JqError::Failed(text))),
                ENDLESS => answers.push(Err(JqError::Endless(text))),
                _ => return Ok(answers),
            }
        }
    }

    /// Why it has ended. The error is for an end that is not the program's fault.
    fn end(mut self) -> Result<&'static str, String> {
        let status = self.child.wait().map_err(|error| io_message(&error))?;
        match status.code() {
            Some(LATE_CODE) => Ok(TOO_LATE),
            _ if limits::is_exhausted(status) => Ok(TOO_LARGE),
            _ => Err(status.to_string()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// A part of what a process reads and writes: a tag, the number of bytes that follow, and those bytes.

const PROGRAM: u8 = b'p';
const RESULTS: u8 = b'q';
const IS_MATCH: u8 = b't';
/// The content of a question has one for each message.
const MESSAGE: u8 = b'm';
const RESULT: u8 = b'r';
const END: u8 = b'.';
const NOT_JSON: u8 = b'n';
const TOO_DEEP: u8 = b'd';
const FAILED: u8 = b'f';
const ENDLESS: u8 = b'e';
/// Behind the answers to a question.
const DONE: u8 = b'!';

/// The length of a part without its content.
const HEAD: usize = 9;

fn push_part(parts: &mut Vec<u8>, tag: u8, content: &[u8]) {
    parts.push(tag);
    parts.extend_from_slice(&(content.len() as u64).to_le_bytes());
    parts.extend_from_slice(content);
}

fn read_part(input: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; HEAD];
    input.read_exact(&mut head)?;
    let [tag, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    let mut content = Vec::new();
    input.take(length).read_to_end(&mut content)?;
    if content.len() as u64 == length { Ok((tag, content)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// What the process of a program does: reads the program and then messages from standard input, and writes the results of each to
/// standard output. Returns its exit code.
pub fn serve() -> u8 {
    allocator::prepare();
    // A panic is the failure of the program.
    panic::set_hook(Box::new(|_| ()));
    let Ok((PROGRAM, text)) = read_part(&mut io::stdin().lock()) else { return 1 };
    let Ok(jq) = Jq::parse(&String::from_utf8_lossy(&text)) else { return 1 };
    limits::limit_memory(MEMORY + STACK as u64);
    let watch = Arc::new(Watch::new());
    let watched = watch.clone();
    let judging = thread::Builder::new().name("jq".into()).stack_size(STACK).spawn(move || {
        // The end of its input is the end of the run.
        let _ = answer(&jq, &watched);
        process::exit(0);
    });
    if judging.is_ok() { watch.run() } else { 1 }
}

/// Answers questions until the input ends.
fn answer(jq: &Jq, watch: &Watch) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let (question, messages) = read_part(&mut input)?;
        let (mut messages, mut parts) = (&messages[..], Vec::new());
        while !messages.is_empty() && parts.len() < MAX_ANSWERS {
            let (_, message) = read_part(&mut messages)?;
            watch.begin();
            let answer = match question {
                IS_MATCH => jq.is_match(&message, RECURSION).map(|is_match| Vec::from_iter(is_match.then(String::new))),
                _ => jq.results(&message, RECURSION),
            };
            watch.end();
            match answer {
                Ok(results) => {
                    results.iter().for_each(|text| push_part(&mut parts, RESULT, text.as_bytes()));
                    push_part(&mut parts, END, &[]);
                }
                Err(JqError::NotJson) => push_part(&mut parts, NOT_JSON, &[]),
                Err(JqError::TooDeep) => push_part(&mut parts, TOO_DEEP, &[]),
                Err(JqError::Failed(reason)) => push_part(&mut parts, FAILED, reason.as_bytes()),
                Err(JqError::Endless(reason) | JqError::NoProcess(reason)) => {
                    push_part(&mut parts, ENDLESS, reason.as_bytes());
                    break;
                }
            }
        }
        push_part(&mut parts, DONE, &[]);
        output.write_all(&parts)?;
        output.flush()?;
    }
}

/// Ends the process when a message takes too long, or when the run has ended.
struct Watch {
    /// The process of the run.
    parent: u32,
    started: Instant,
    /// When the message came, in milliseconds from the start and one; 0: there is none.
    since: AtomicU64,
    /// It waits for a message, not for the end of a time.
    is_asleep: AtomicBool,
    thread: Thread,
}

impl Watch {
    /// A watch that is to be run on this thread.
    fn new() -> Self {
        let (since, is_asleep) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { parent: limits::parent(), started: Instant::now(), since, is_asleep, thread: thread::current() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn begin(&self) {
        self.since.store(self.now(), SeqCst);
        if self.is_asleep.load(SeqCst) {
            self.thread.unpark();
        }
    }

    fn end(&self) {
        self.since.store(0, SeqCst);
    }

    fn run(&self) -> ! {
        loop {
            match self.since.load(SeqCst) {
                0 => {
                    self.is_asleep.store(true, SeqCst);
                    // A message that came in between has not woken it.
                    if self.since.load(SeqCst) == 0 {
                        thread::park();
                    }
                    self.is_asleep.store(false, SeqCst);
                }
                at if Duration::from_millis(self.now().saturating_sub(at)) > MAX_TIME => process::exit(LATE_CODE),
                // Between messages the end of the input tells it.
                _ if limits::parent() != self.parent => process::exit(0),
                _ => thread::park_timeout(TICK),
            }
        }
    }
}
