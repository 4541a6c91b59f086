//! `/filter`: a program judges messages on a thread of its own, so that keys are shown however long it takes.
//!
//! The terminal gives it messages in their order, and gets what is to be shown of each in the same order. Until it has shown them it takes no
//! others from the session, so what waits has the limit of a slow terminal (`link.rs`).

use super::link::Link;
use crate::filter::{Answer, JqError, Program};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// The most messages that are judged together, so that a burst costs few changes of process.
const BATCH: usize = 16;
/// A program that takes longer gets the next messages one by one: each is shown before the next is looked at.
const QUICK: Duration = Duration::from_millis(10);

type Answers = Vec<Answer<Vec<String>>>;

/// What is to be shown next.
pub enum Step {
    /// A result for the message, a JSON text.
    Result(String),
    /// There are no more for it.
    End,
    /// There are none for it and for those behind it. Says why.
    GivenUp(String),
}

/// A program that is run. The thread ends when this is dropped, after the messages that it looks at.
pub struct Filter {
    messages: Sender<Vec<Bytes>>,
    answers: Receiver<Answers>,
    steps: VecDeque<Step>,
    /// Messages without a result.
    pub hidden: usize,
}

impl Filter {
    /// Starts the thread, which wakes the terminal when something is to be shown.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(program: Program, link: Arc<Link>) -> io::Result<Self> {
        let (messages, jobs) = channel();
        // The thread waits while the terminal takes nothing.
        let (sender, answers) = sync_channel(1);
        let thread = thread::Builder::new().name("filter".into());
        thread.spawn(move || judge(&program, &jobs, &sender, &link))?;
        Ok(Self { messages, answers, steps: VecDeque::new(), hidden: 0 })
    }

    /// Judges these messages, too.
    pub fn judge(&self, messages: Vec<Bytes>) {
        // If the thread has ended, the next step says so.
        let _ = self.messages.send(messages);
    }

    /// Whether there is a step.
    pub fn is_ready(&mut self) -> bool {
        if self.steps.is_empty() {
            match self.answers.try_recv() {
                Ok(answers) => answers.into_iter().for_each(|answer| self.push(answer)),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.steps.push_back(Step::GivenUp("it has ended".into())),
            }
        }
        !self.steps.is_empty()
    }

    /// The next step for the first message that has not ended; `None`: it is not judged yet.
    pub fn next(&mut self) -> Option<Step> {
        self.is_ready();
        self.steps.pop_front()
    }

    fn push(&mut self, answer: Answer<Vec<String>>) {
        match answer {
            Ok(results) if !results.is_empty() => self.steps.extend(results.into_iter().map(Step::Result)),
            Ok(_) | Err(JqError::NotJson | JqError::TooDeep | JqError::Failed(_)) => self.hidden += 1,
            Err(JqError::Endless(cause) | JqError::NoProcess(cause)) => {
                return self.steps.push_back(Step::GivenUp(cause));
            }
        }
        self.steps.push_back(Step::End);
    }
}

/// Judges messages until nobody wants to know, or one is too much for the program.
fn judge(program: &Program, jobs: &Receiver<Vec<Bytes>>, answers: &SyncSender<Answers>, link: &Link) {
    let mut most = 1;
    for messages in jobs {
        let mut rest = &messages[..];
        while !rest.is_empty() {
            let (some, behind) = rest.split_at(most.min(rest.len()));
            let started = Instant::now();
            let judged = program.results(some);
            most = if started.elapsed() > QUICK { 1 } else { BATCH.min(2 * most) };
            let is_over = matches!(judged.last(), None | Some(Err(JqError::Endless(_) | JqError::NoProcess(_))));
            if answers.send(judged).is_err() {
                return;
            }
            link.wake();
            if is_over {
                return;
            }
            rest = behind;
        }
    }
}
