//! A jq program, which runs in a process of its own.
//!
//! `jq.rs` stops a program that goes on for ever between two of its steps. But a step may take any time and any memory, and nothing in
//! jaq interrupts it: `"x" * 100000000000`, the text of `reduce range(40) as $i (1; [.,.])`, whose parts are shared, or a
//! number of a million digits in a message. So the system has to stop it.

use super::{
    Malformed,
    jq::{Budget, Jq, JqError, TOO_LATE},
    limits,
};
use crate::{
    allocator,
    error::{Error, io_message},
};
use bytes::Bytes;
use std::{
    io::{self, BufReader, IsTerminal, Read, Write},
    panic,
    path::Path,
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// The only argument of the process of a program.
pub const ARGUMENT: &str = "--jq-process";

/// How often a process that somebody has ended is replaced, while messages wait.
const MAX_FAILURES: usize = 1;
/// A process gives the answers that it has when they have so many bytes.
const MAX_ANSWERS: usize = 1 << 20;
/// The longest time of a program for the messages of a session that are judged together. Those that are left have another turn behind
/// other sessions. A message that takes longer is judged anew in the second lane, so that few slow ones do not hold up the others.
const QUICK: Duration = Duration::from_millis(25);
/// The longest time of a program for a message.
const PATIENT: Duration = Duration::from_secs(1);
/// Messages above this size are not tried in the first lane, in bytes.
const LONG: usize = 1 << 20;
/// The most processes of a program at a time in each lane. Further messages wait, in order.
const MOST: usize = 4;
/// The stack of a process, in bytes. Only what is used of it is in memory.
const STACK: usize = if cfg!(target_pointer_width = "64") { 256 << 20 } else { 64 << 20 };
/// What a program may take of it between its steps. The rest is for one step, which may write or drop a value that is nested deep.
const RECURSION: usize = STACK / 4;
/// The memory of a process, in bytes.
const MEMORY: u64 = 1 << 30;
/// The exit code of a process that took too long.
const LATE_CODE: i32 = 124;

const TOO_LARGE: &str = "it needs more than 1 GiB of memory, or nests values too deep";

/// What a program makes of a message.
pub type Answer<T> = Result<T, JqError>;

fn is_fatal(answer: &Answer<Vec<String>>) -> bool {
    matches!(answer, Err(JqError::Endless(_) | JqError::NoProcess(_)))
}

/// What is asked of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The results for a message, each a JSON text.
    Results,
    /// Whether a result is neither `false` nor `null`: one empty text, or none.
    IsMatch,
}

/// A program. Its processes end when it is dropped.
pub struct Program {
    text: String,
    idle: Mutex<Vec<Process>>,
    /// The lanes, and how many processes more may be used in each.
    quick: Arc<Semaphore>,
    patient: Arc<Semaphore>,
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Jq::parse(text)?;
        let lane = || Arc::new(Semaphore::new(MOST));
        Ok(Self { text: text.to_owned(), idle: Mutex::default(), quick: lane(), patient: lane() })
    }

    /// The text of the program.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The results for each message, each a JSON text. Nothing follows the first error that is fatal. It blocks.
    #[cfg(feature = "term")]
    pub fn results<M: AsRef<[u8]>>(&self, messages: &[M]) -> Vec<Answer<Vec<String>>> {
        let mut answers = Vec::with_capacity(messages.len());
        while answers.len() < messages.len() && !answers.last().is_some_and(is_fatal) {
            answers.extend(self.ask(Question::Results, PATIENT, messages.get(answers.len()..).unwrap_or_default()));
        }
        answers
    }

    /// The same for a question of one of many sessions, which have their turns. Nothing blocks.
    pub async fn judge(self: &Arc<Self>, question: Question, messages: Vec<Bytes>) -> Vec<Answer<Vec<String>>> {
        let mut answers = Vec::with_capacity(messages.len());
        let mut is_slow = false;
        while let Some(first) = messages.get(answers.len()) {
            is_slow |= first.len() > LONG;
            let rest = messages.iter().skip(answers.len()).cloned();
            let (lane, limit, some) = if is_slow {
                (&self.patient, PATIENT, rest.take(1).collect())
            } else {
                (&self.quick, QUICK, rest.take_while(|message| message.len() <= LONG).collect())
            };
            let mut new = self.ask_in_turn(lane, question, limit, some).await;
            is_slow = !is_slow && matches!(new.last(), Some(Err(JqError::Endless(cause))) if cause == TOO_LATE);
            if is_slow {
                new.pop();
            }
            let is_over = new.last().is_some_and(is_fatal);
            answers.extend(new);
            if is_over {
                break;
            }
        }
        answers
    }

    /// The answers for the first of `messages`, at least for one.
    async fn ask_in_turn(
        self: &Arc<Self>,
        lane: &Arc<Semaphore>,
        question: Question,
        limit: Duration,
        messages: Vec<Bytes>,
    ) -> Vec<Answer<Vec<String>>> {
        let (program, turn) = (self.clone(), lane.clone().acquire_owned().await);
        let asking = spawn_blocking(move || {
            let answers = program.ask(question, limit, &messages);
            // Until now, also if the session has ended meanwhile.
            drop(turn);
            answers
        });
        asking.await.unwrap_or_else(|error| vec![Err(JqError::NoProcess(error.to_string()))])
    }

    fn ask<M: AsRef<[u8]>>(&self, question: Question, limit: Duration, messages: &[M]) -> Vec<Answer<Vec<String>>> {
        let (mut answers, mut most, mut failures) = (Vec::with_capacity(messages.len()), messages.len(), 0);
        let mut started = Instant::now();
        loop {
            let idle = self.idle().pop();
            let mut process = match idle.map_or_else(|| Process::start(&self.text), Ok) {
                Ok(process) => process,
                Err(error) => {
                    answers.push(Err(JqError::NoProcess(io_message(&error))));
                    return answers;
                }
            };
            if let Ok(some) = process.ask(question, limit, messages.iter().skip(answers.len()).take(most)) {
                self.idle().push(process);
                answers.extend(some);
                let is_over = answers.len() == messages.len() || answers.last().is_some_and(is_fatal);
                if is_over || most > 1 || started.elapsed() > limit {
                    return answers;
                }
                continue;
            }
            match process.end() {
                // The message that is too much for it is found by asking for each alone.
                Ok(_) if most > 1 => (most, started) = (1, Instant::now()),
                Ok(reason) => {
                    answers.push(Err(JqError::Endless(reason.to_owned())));
                    return answers;
                }
                // If somebody else has ended a process, another one takes its place.
                Err(_) if failures < MAX_FAILURES => failures += 1,
                Err(how) => {
                    answers.push(Err(JqError::NoProcess(format!("its process has ended ({how})"))));
                    return answers;
                }
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| {
            io::Error::other(format!("{}: {}", Path::new(command.get_program()).display(), io_message(&error)))
        })?;
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
        question: Question,
        limit: Duration,
        messages: impl Iterator<Item = &'a M>,
    ) -> io::Result<Vec<Answer<Vec<String>>>> {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let (mut all, mut part) = (millis.to_le_bytes().to_vec(), Vec::new());
        messages.for_each(|message| push_part(&mut all, MESSAGE, message.as_ref()));
        push_part(&mut part, if question == Question::Results { RESULTS } else { IS_MATCH }, &all);
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
/// The content of a question is the longest time of the program, in milliseconds, and one of these for each message.
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
///
/// # Errors
/// Standard input is not that of a process of a program.
pub fn serve() -> Result<u8, Error> {
    allocator::prepare();
    let program = if io::stdin().is_terminal() { None } else { read_part(&mut io::stdin().lock()).ok() };
    let Some((PROGRAM, text)) = program else {
        return Err(Error::usage(format!("{ARGUMENT} is for processes that wsplice starts for jq programs")));
    };
    // A panic is the failure of the program.
    panic::set_hook(Box::new(|_| ()));
    let Ok(jq) = Jq::parse(&String::from_utf8_lossy(&text)) else { return Ok(1) };
    limits::limit_memory(MEMORY + STACK as u64);
    let watch = Arc::new(Watch::new());
    let watched = watch.clone();
    let judging = thread::Builder::new().name("jq".into()).stack_size(STACK).spawn(move || {
        // The end of its input is the end of the run.
        let _ = answer(&jq, &watched);
        process::exit(0);
    });
    if judging.is_ok() { watch.run() } else { Ok(1) }
}

/// Answers questions until the input ends.
fn answer(jq: &Jq, watch: &Watch) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let (question, content) = read_part(&mut input)?;
        let (millis, mut messages) = content.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let limit = Duration::from_millis(u64::from_le_bytes(*millis));
        let (mut parts, started) = (Vec::new(), Instant::now());
        loop {
            let (_, message) = read_part(&mut messages)?;
            watch.begin(limit);
            let budget = Budget { time: limit, stack: RECURSION };
            let answer = match question {
                IS_MATCH => jq.is_match(&message, budget).map(|is_match| Vec::from_iter(is_match.then(String::new))),
                _ => jq.results(&message, budget),
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
            if messages.is_empty() || parts.len() >= MAX_ANSWERS || started.elapsed() > limit {
                break;
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
    /// When the process ends if the message is not judged, in milliseconds from the start; 0: there is none.
    deadline: AtomicU64,
    /// It waits for a message, not for the end of a time.
    is_asleep: AtomicBool,
    thread: Thread,
}

impl Watch {
    /// A watch that is to be run on this thread.
    fn new() -> Self {
        let (deadline, is_asleep) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { parent: limits::parent(), started: Instant::now(), deadline, is_asleep, thread: thread::current() }
    }

    /// The program itself is stopped after `limit`, and gets the same again for a step.
    fn begin(&self, limit: Duration) {
        let deadline = (self.started.elapsed() + 2 * limit).as_millis();
        self.deadline.store(u64::try_from(deadline).unwrap_or(u64::MAX).max(1), SeqCst);
        if self.is_asleep.load(SeqCst) {
            self.thread.unpark();
        }
    }

    fn end(&self) {
        self.deadline.store(0, SeqCst);
    }

    fn run(&self) -> ! {
        loop {
            match self.deadline.load(SeqCst) {
                0 => {
                    self.is_asleep.store(true, SeqCst);
                    // A message that came in between has not woken it.
                    if self.deadline.load(SeqCst) == 0 {
                        thread::park();
                    }
                    self.is_asleep.store(false, SeqCst);
                }
                at if Duration::from_millis(at) < self.started.elapsed() => process::exit(LATE_CODE),
                // Between messages the end of the input tells it.
                _ if limits::parent() != self.parent => process::exit(0),
                _ => thread::park_timeout(QUICK),
            }
        }
    }
}
