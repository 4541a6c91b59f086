//! How a session ends (the manual, HOW A SESSION ENDS), rule by rule, with ends in memory and paused time.

use super::{Session, Summary};
use crate::{
    config::{AfterEof, Directions, Replies, SessionOptions},
    error::Error,
    flow::{
        EndKind, Incoming, MessageEnd, MessageStream,
        testing::{Script, rounded},
    },
    message::{Close, Message},
};
use std::{
    future::{Future, pending},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const LINGER: u64 = 300;
const REPLY_WAIT: u64 = 5000;
const CLOSE_TIMEOUT: u64 = 5000;
const GRACE: u64 = 4000;
const HOUR: u64 = 3_600_000;

/// The rules without options.
fn rules() -> SessionOptions {
    SessionOptions {
        directions: Directions::Both,
        after_eof: AfterEof::Close,
        metrics: None,
        max_sent: None,
        max_messages: [None; 2],
        replies: Replies::Any,
        within: None,
        linger: Duration::from_millis(LINGER),
        reply_wait: Duration::from_millis(REPLY_WAIT),
        close_timeout: Duration::from_millis(CLOSE_TIMEOUT),
        close_code: 1000,
        grace: Duration::from_millis(GRACE),
    }
}

/// `--replies N`.
fn replies(enough: u64) -> SessionOptions {
    SessionOptions { replies: Replies::Exactly(enough), ..rules() }
}

fn console() -> Script {
    Script::new(EndKind::Console { terminal: false })
}

fn socket() -> Script {
    Script::new(EndKind::Peer)
}

fn websocket() -> Script {
    Script::new(EndKind::WebSocket)
}

/// A signal comes after so many seconds.
async fn signal_after(seconds: u64) -> Close {
    sleep(Duration::from_secs(seconds)).await;
    Close::new(1001, "")
}

fn lost() -> Error {
    Error::Lost { with: "script".into(), reason: "it ended without a close frame".into() }
}

/// A session that is over.
#[derive(Debug)]
struct Ended {
    result: Result<Summary, Error>,
    /// What the ends were sent, and when.
    left: Vec<String>,
    right: Vec<String>,
    /// How many milliseconds it took.
    took: u128,
}

async fn run(left: Script, right: Script, rules: SessionOptions) -> Ended {
    run_until(pending(), left, right, rules).await
}

async fn run_until(stop: impl Future<Output = Close>, left: Script, right: Script, rules: SessionOptions) -> Ended {
    let started = Instant::now();
    let ((left_end, left), (right_end, right)) = (left.start(), right.start());
    let result = Session::Messages(left_end, right_end).run_until(stop, &rules).await;
    Ended { result, left: left.lines(), right: right.lines(), took: rounded(started.elapsed()) }
}

impl Ended {
    #[track_caller]
    fn succeeds(&self) -> &Self {
        assert!(self.result.is_ok(), "{self:?}");
        self
    }

    #[track_caller]
    fn fails(&self, is_expected: impl Fn(&Error) -> bool) -> &Self {
        assert!(self.result.as_ref().is_err_and(is_expected), "{self:?}");
        self
    }

    #[track_caller]
    fn is_closed_by_peer(&self, code: u16) -> &Self {
        self.fails(|error| matches!(error, Error::ClosedByPeer { close, .. } if close.code == code))
    }

    #[track_caller]
    fn times_out(&self, doing: &str) -> &Self {
        self.fails(|error| matches!(error, Error::TimedOut { doing: found, .. } if found.contains(doing)))
    }

    #[track_caller]
    fn sent_left(&self, expected: &[&str]) -> &Self {
        assert_eq!(self.left, expected, "{self:?}");
        self
    }

    #[track_caller]
    fn sent_right(&self, expected: &[&str]) -> &Self {
        assert_eq!(self.right, expected, "{self:?}");
        self
    }

    #[track_caller]
    fn took(&self, millis: u64) -> &Self {
        assert_eq!(self.took, millis.into(), "{self:?}");
        self
    }
}

// The end of standard input

#[tokio::test(start_paused = true)]
async fn the_end_of_standard_input_is_told_when_the_pong_is_back_and_linger_is_over() {
    let server = websocket().pongs_after(1000).when_finished().closes(1000, "");
    let linger_only = SessionOptions { reply_wait: Duration::ZERO, ..rules() };
    run(console().says("question").ends(), server, linger_only).await.succeeds().sent_right(&[
        "0 message question",
        "0 ping",
        "1300 close",
    ]);
}

#[tokio::test(start_paused = true)]
async fn every_reply_restarts_the_linger_time() {
    let server = websocket().after(200).says("one").after(200).says("two").when_finished().closes(1000, "");
    run(console().says("question").ends(), server, rules())
        .await
        .succeeds()
        .sent_left(&["200 message one", "400 message two", "700 close 1000"])
        .sent_right(&["0 message question", "0 ping", "700 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_arrives_slowly_restarts_the_linger_time_with_each_part() {
    let server =
        websocket().after(200).says_a_part().after(200).says_a_part().after(200).says("reply").when_finished().ends();
    run(console().ends(), server, rules())
        .await
        .succeeds()
        .sent_left(&["600 message reply", "900 close"])
        .sent_right(&["0 ping", "900 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_never_comes_is_waited_for_five_seconds() {
    let server = websocket().never_pongs().after(4000).says("reply").when_finished().closes(1000, "");
    run(console().ends(), server, rules())
        .await
        .succeeds()
        .sent_left(&["4000 message reply", "5300 close 1000"])
        .sent_right(&["0 ping", "5300 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_reply_is_waited_for_longer_than_those_that_follow() {
    let server = websocket().pongs_after(1000).after(5500).says("reply").when_finished().closes(1000, "");
    run(console().says("question").ends(), server, rules())
        .await
        .succeeds()
        .sent_left(&["5500 message reply", "5800 close 1000"])
        .sent_right(&["0 message question", "0 ping", "5800 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_reply_is_left_after_reply_wait() {
    let server = websocket().pongs_after(1000).when_finished().closes(1000, "");
    run(console().says("data").ends(), server, rules()).await.succeeds().sent_right(&[
        "0 message data",
        "0 ping",
        "6000 close",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_message_from_before_the_question_is_no_reply() {
    let server = websocket().says("welcome").after(3000).says("reply").when_finished().closes(1000, "");
    run(console().after(100).says("question").ends(), server, rules()).await.succeeds().sent_left(&[
        "0 message welcome",
        "3000 message reply",
        "3300 close 1000",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sent_nothing_during_the_input_gets_linger_only() {
    let server = websocket().when_finished().closes(1000, "");
    run(console().says("a").after(REPLY_WAIT).says("b").ends(), server, rules()).await.succeeds().took(5300);
}

#[tokio::test(start_paused = true)]
async fn a_first_reply_is_not_waited_for_where_nothing_was_asked_or_a_person_ended_the_input() {
    let terminal = Script::new(EndKind::Console { terminal: true });
    for input in [console(), terminal.says("typed")] {
        let server = websocket().when_finished().closes(1000, "");
        run(input.ends(), server, rules()).await.succeeds().took(LINGER);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_reply_is_not_waited_for_again_where_the_pong_has_not_come_in_that_time() {
    let server = websocket().never_pongs().when_finished().closes(1000, "");
    run(console().says("question").ends(), server, rules()).await.succeeds().took(REPLY_WAIT + LINGER);
    let server = websocket().never_pongs().after(8000).says("reply").when_finished().closes(1000, "");
    let patient = SessionOptions { reply_wait: Duration::from_secs(9), ..rules() };
    run(console().says("question").ends(), server, patient)
        .await
        .succeeds()
        .sent_left(&["8000 message reply", "9300 close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_server_ends_the_wait_for_replies_at_once() {
    for server in [websocket(), websocket().never_pongs()] {
        run(console().ends(), server.after(100).closes(1000, "bye"), rules())
            .await
            .succeeds()
            .sent_right(&["0 ping", "100 close"])
            .took(100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_end_is_asked_to_confirm_and_stays_when_the_session_ends() {
    let shared = Script::new(EndKind::Shared { outlives_input: false }).after(200).says("reply");
    run(console().says("question").ends(), shared, rules())
        .await
        .succeeds()
        .sent_left(&["200 message reply", "500 close"])
        .sent_right(&["0 message question", "500 close"])
        .took(500);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_any_other_input_is_told_at_once() {
    for source in [EndKind::Source, EndKind::Peer, EndKind::Process { terminal: false }] {
        let server = websocket().when_finished().closes(1000, "");
        run(Script::new(source).says("data").ends(), server, rules())
            .await
            .succeeds()
            .sent_right(&["0 message data", "0 close"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_standard_input_is_told_at_once_where_replies_are_not_wanted() {
    let server = websocket().says("unwanted").when_finished().closes(1000, "");
    run(console().says("data").ends(), server, SessionOptions { directions: Directions::Forward, ..rules() })
        .await
        .succeeds()
        .sent_left(&["0 close 1000"])
        .sent_right(&["0 message data", "0 close"]);
}

// Options

#[tokio::test(start_paused = true)]
async fn with_e_the_end_of_the_input_ends_both_directions_and_the_close_is_awaited_for_linger() {
    let server = websocket().after(100).says("too late");
    run(console().says("data").ends(), server, SessionOptions { after_eof: AfterEof::End, ..rules() })
        .await
        .succeeds()
        .sent_left(&["0 close"])
        .sent_right(&["0 message data", "0 close"])
        .took(LINGER);
}

#[tokio::test(start_paused = true)]
async fn with_n_no_close_is_sent_and_a_reply_may_come_at_any_time() {
    let server = websocket().after(HOUR).says("reply").closes(1000, "");
    run(console().says("question").ends(), server, SessionOptions { after_eof: AfterEof::KeepOpen, ..rules() })
        .await
        .succeeds()
        .sent_left(&["3600000 message reply", "3600000 close 1000"])
        .sent_right(&["0 message question", "3600000 close"]);
}

#[tokio::test(start_paused = true)]
async fn with_1_one_message_is_sent_and_the_first_reply_ends_the_session() {
    let server = websocket().when_sent_a_message().after(HOUR).says("reply").says("more").when_finished().ends();
    let one = SessionOptions { max_sent: Some(1), replies: Replies::One, ..rules() };
    run(console().says("question").says("never sent"), server, one)
        .await
        .succeeds()
        .sent_left(&["3600000 message reply", "3600000 close"])
        .sent_right(&["0 message question", "3600000 close"])
        .took(HOUR);
}

#[tokio::test(start_paused = true)]
async fn with_replies_the_session_waits_for_them_without_a_limit_and_then_ends() {
    let server = websocket().after(HOUR).says("one").after(HOUR).says("two").says("three").when_finished().ends();
    run(console().says("question").ends(), server, replies(2))
        .await
        .succeeds()
        .sent_left(&["3600000 message one", "7200000 message two", "7200000 close"])
        .sent_right(&["0 message question", "7200000 close"]);
}

#[tokio::test(start_paused = true)]
async fn with_replies_or_1_a_shared_end_is_waited_for_without_a_limit_too() {
    let one = SessionOptions { max_sent: Some(1), replies: Replies::One, ..rules() };
    for rules in [one, replies(1)] {
        let shared = Script::new(EndKind::Shared { outlives_input: false }).after(HOUR).says("reply");
        run(console().says("question").ends(), shared, rules)
            .await
            .succeeds()
            .sent_left(&["3600000 message reply", "3600000 close"])
            .sent_right(&["0 message question", "3600000 close"])
            .took(HOUR);
    }
}

/// As `replies`, and `--within`.
fn replies_within(enough: u64, millis: u64) -> SessionOptions {
    SessionOptions { within: Some(Duration::from_millis(millis)), ..replies(enough) }
}

/// Whether the limit of `--within` was reached after `got` replies.
fn silent_after(got: u64) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::Replies { got: found, within: Some(_), .. } if *found == got)
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_replies_ends_within_its_limit_for_each_kind_of_end() {
    let one = SessionOptions { max_sent: Some(1), replies: Replies::One, ..replies_within(1, 2000) };
    for rules in [one, replies_within(1, 2000)] {
        for kind in [
            EndKind::WebSocket,
            EndKind::Shared { outlives_input: false },
            EndKind::Peer,
            EndKind::Process { terminal: false },
        ] {
            for left in [console(), Script::new(EndKind::Source)] {
                let right = Script::new(kind).when_finished().after(100).closes(1000, "");
                let ended = run(left.says("question").ends(), right, rules.clone()).await;
                // What a socket or a process ends with comes after the end of its input, within the limit.
                match kind {
                    EndKind::Peer | EndKind::Process { terminal: false } => assert_eq!(ended.took, 100, "{ended:?}"),
                    _ => _ = ended.fails(silent_after(0)).sent_left(&["2000 close"]),
                }
                let silent = Script::new(kind);
                run(console().says("question").ends(), silent, rules.clone()).await.fails(silent_after(0));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_wait_for_replies_begins_with_the_last_message_in_either_direction() {
    let server = websocket().after(4000).says("one").after(1500).says("two").when_finished().closes(1000, "");
    run(console().says("a").after(3000).says("b").ends(), server, replies_within(3, 2000))
        .await
        .fails(silent_after(2))
        .sent_right(&["0 message a", "3000 message b", "7500 close"]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_replies_has_no_limit_while_the_input_may_ask_more() {
    let server = websocket().after(HOUR).says("one").when_finished().closes(1000, "");
    run(console().says("question"), server, replies_within(1, 2000)).await.succeeds().took(HOUR);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_wait_for_replies_holds_where_nothing_is_sent_at_all() {
    let only_back = SessionOptions { directions: Directions::Back, ..replies_within(2, 2000) };
    let server = websocket().after(1500).says("one").when_finished().closes(1000, "");
    run(console(), server, only_back).await.fails(silent_after(1)).sent_left(&["1500 message one", "3500 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_shared_end_that_closes_ends_the_wait_for_replies_at_once() {
    let shared = Script::new(EndKind::Shared { outlives_input: false }).after(100).says("one").closes(1000, "");
    run(console().ends(), shared, replies(2))
        .await
        .fails(|error| matches!(error, Error::Replies { wanted: 2, got: 1, within: None }))
        .sent_left(&["100 message one", "100 close 1000"])
        .took(100);
}

#[tokio::test(start_paused = true)]
async fn with_replies_the_session_ends_while_the_input_is_open() {
    let server = websocket().says("one").when_finished().closes(1000, "");
    run(console(), server, replies(1)).await.succeeds().sent_left(&["0 message one", "0 close"]).took(0);
}

#[tokio::test(start_paused = true)]
async fn too_few_replies_are_an_error() {
    let server = websocket().says("one").closes(1000, "");
    run(console().ends(), server, replies(2))
        .await
        .fails(|error| matches!(error, Error::Replies { wanted: 2, got: 1, within: None }))
        .sent_left(&["0 message one", "0 close 1000"]);
}

// Close frames

#[tokio::test(start_paused = true)]
async fn a_close_is_passed_on_to_another_websocket_with_its_code_and_reason() {
    let client = websocket().says("last words").closes(4001, "tired");
    let server = websocket().when_finished().closes(4001, "tired");
    run(client, server, rules())
        .await
        .is_closed_by_peer(4001)
        .sent_left(&["0 close 4001 tired"])
        .sent_right(&["0 message last words", "0 close 4001 tired"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_behind_a_websocket_may_finish_before_it_answers_the_close() {
    let client = websocket().closes(1000, "bye");
    let server = websocket().when_finished().after(1000).says("one more").closes(1000, "bye");
    run(client, server, rules())
        .await
        .succeeds()
        .sent_left(&["1000 message one more", "1000 close 1000 bye"])
        .sent_right(&["0 close 1000 bye"]);
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_though_a_process_goes_on_printing() {
    let endless = |kind| (0..100).fold(Script::new(kind), |script, _| script.after(900).says("more"));
    let client = || websocket().closes(1000, "enough");
    let ended = run(client(), endless(EndKind::Process { terminal: false }), rules()).await;
    ended.succeeds().took(900 + CLOSE_TIMEOUT);
    assert_eq!(ended.left.len(), 7, "six messages and the close frame: {ended:?}");
    // A socket, whose other side knows that its input has ended, may go on.
    run(client(), endless(EndKind::Peer).ends(), rules()).await.succeeds().took(90_000);
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_after_the_last_words_of_a_socket_or_a_process() {
    for behind in [EndKind::Peer, EndKind::Process { terminal: false }] {
        let client = websocket().says("question").closes(1000, "bye");
        let server = Script::new(behind).when_finished().after(4000).says("answer").after(4000).ends();
        run(client, server, rules())
            .await
            .succeeds()
            .sent_left(&["4000 message answer", "8000 close"])
            .sent_right(&["0 message question", "0 close 1000 bye"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_after_the_close_timeout_when_a_socket_says_nothing_more() {
    run(websocket().closes(1000, ""), socket(), rules()).await.succeeds().sent_left(&["5000 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_at_once_while_standard_input_is_open() {
    let server = websocket().says("goodbye").closes(1000, "");
    run(console(), server, rules())
        .await
        .succeeds()
        .sent_left(&["0 message goodbye", "0 close 1000"])
        .sent_right(&["0 close"])
        .took(0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_the_close_is_left_after_the_close_timeout() {
    run(socket().ends(), websocket(), rules())
        .await
        .times_out("to answer the close frame")
        .sent_right(&["0 close"])
        .sent_left(&["5000 close 1011"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_on_after_our_close_is_heard_to_its_end() {
    let server = websocket().after(4000).says("one").after(4000).says_a_part().after(4000).says("two").ends();
    run(socket().ends(), server, rules()).await.succeeds().sent_left(&[
        "4000 message one",
        "12000 message two",
        "12000 close",
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_standard_output_gets_everything_before_the_close_is_answered() {
    let server = websocket().says("one").says("two").closes(1000, "");
    run(console().pauses(1, HOUR), server, rules())
        .await
        .succeeds()
        .sent_left(&["0 message one", "3600000 message two", "3600000 close 1000"])
        .sent_right(&["3600000 close"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_that_has_closed_does_not_read_is_dropped() {
    let client = websocket().says("one").says("two").says("three").when_finished().closes(4008, "");
    run(client, websocket().takes(1).closes(4008, "too much"), rules())
        .await
        .is_closed_by_peer(4008)
        .sent_left(&["0 close 4008 too much"])
        .sent_right(&["0 message one"])
        .took(CLOSE_TIMEOUT);
}

// Failures

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_is_an_error_after_all_that_came() {
    let server = websocket().says("last words").fails(lost());
    run(websocket().when_finished().closes(1011, ""), server, rules())
        .await
        .fails(|error| matches!(error, Error::Lost { .. }))
        .sent_left(&["0 message last words", "0 close 1011"])
        .sent_right(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_write_is_explained_by_the_close_that_still_comes() {
    let server = websocket().fails_to_write(1, lost()).after(100).says("reply").closes(1009, "too big");
    run(console().says("one").says("two"), server, rules())
        .await
        .is_closed_by_peer(1009)
        .sent_left(&["100 message reply", "100 close 1009 too big"])
        .sent_right(&["0 message one"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_write_without_an_explanation_is_the_error() {
    let server = socket().fails_to_write(0, lost()).after(100).says("reply").ends();
    run(console().says("one"), server, rules())
        .await
        .fails(|error| matches!(error, Error::Lost { .. }))
        .sent_left(&["100 message reply", "100 close 1011"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_standard_output_that_goes_away_closes_the_session_with_1001() {
    let error = Error::io("cannot write standard output", io::ErrorKind::BrokenPipe.into());
    let server = websocket().says("one").says("two").when_finished().closes(1001, "");
    run(console().fails_to_write(1, error), server, rules())
        .await
        .fails(Error::is_silent)
        .sent_left(&["0 message one"])
        .sent_right(&["0 close 1001"]);
}

#[tokio::test(start_paused = true)]
async fn output_that_cannot_be_written_closes_the_session_with_1011() {
    let error = Error::io("cannot write a file", io::ErrorKind::StorageFull.into());
    let server = websocket().says("one").when_finished().closes(1011, "");
    run(Script::new(EndKind::Sink).fails_to_write(0, error), server, rules())
        .await
        .fails(|error| matches!(error, Error::Io { .. }))
        .sent_right(&["0 close 1011"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_session_waits_for_the_close_of_its_other_end_for_a_second() {
    run(websocket(), websocket().fails(lost()), rules())
        .await
        .fails(|error| matches!(error, Error::Lost { .. }))
        .sent_left(&["0 close 1011"])
        .took(1000);
}

// Signals

#[tokio::test(start_paused = true)]
async fn a_signal_closes_a_websocket_with_1001_and_its_last_words_are_delivered() {
    let server = websocket().when_finished().after(1000).says("last words").closes(1000, "");
    run_until(signal_after(2), console(), server, rules())
        .await
        .succeeds()
        .sent_left(&["3000 message last words", "3000 close 1001"])
        .sent_right(&["2000 close 1001"])
        .took(3000);
}

#[tokio::test(start_paused = true)]
async fn a_signal_closes_both_websockets_with_1001() {
    let end = || websocket().when_finished().closes(1001, "");
    run_until(signal_after(2), end(), end(), rules())
        .await
        .succeeds()
        .sent_left(&["2000 close 1001"])
        .sent_right(&["2000 close 1001"])
        .took(2000);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_after_a_signal_is_left_after_the_grace() {
    run_until(signal_after(2), console(), websocket(), rules())
        .await
        .succeeds()
        .sent_right(&["2000 close 1001"])
        .took(2000 + GRACE);
}

// Without WebSockets

#[tokio::test(start_paused = true)]
async fn a_half_close_is_passed_on_and_the_other_direction_goes_on_without_a_limit() {
    let server = socket().when_finished().after(HOUR).says("answer").ends();
    run(socket().says("question").ends(), server, rules())
        .await
        .succeeds()
        .sent_left(&["3600000 message answer", "3600000 close"])
        .sent_right(&["0 message question", "0 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_is_not_read_and_ends_with_its_source() {
    run(console().says("data").after(HOUR).ends(), Script::new(EndKind::Sink).says("never read"), rules())
        .await
        .succeeds()
        .sent_left(&["3600000 close"])
        .sent_right(&["0 message data", "3600000 close"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_ends_are_both_not_read_is_over_at_once() {
    let sink = || Script::new(EndKind::Sink).says("never read");
    run(sink(), sink(), rules()).await.succeeds().sent_left(&[]).sent_right(&[]).took(0);
}

#[tokio::test(start_paused = true)]
async fn a_shared_output_goes_on_when_its_input_has_ended() {
    let shared = Script::new(EndKind::Shared { outlives_input: true }).ends();
    run(websocket().after(HOUR).says("data").closes(1000, ""), shared, rules())
        .await
        .succeeds()
        .sent_left(&["3600000 close"])
        .sent_right(&["3600000 message data", "3600000 close 1000"]);
}

#[tokio::test(start_paused = true)]
async fn the_summary_names_the_end_that_closed_first_and_counts_messages() {
    let ended = run(console().says("one").says("two"), websocket().says("three").after(1).closes(1000, "bye"), rules());
    let summary = ended.await.result.expect("a clean close");
    assert_eq!(summary.moved, [2, 1]);
    assert_eq!(summary.close, Some((Some("script".into()), Close::new(1000, "bye"))));
    let summary = run(socket().ends(), websocket().when_finished().closes(1000, ""), rules()).await.result;
    assert_eq!(summary.expect("a clean close").close, Some((None, Close::new(1000, ""))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_our_close_with_an_error_code_has_failed() {
    let answers = || websocket().when_finished().closes(1011, "the disk is full");
    let ended = run(console().says("a").ends(), answers(), rules()).await;
    assert!(matches!(&ended.result, Err(Error::ClosedByPeer { close, .. }) if close.code == 1011), "{ended:?}");
    let own = SessionOptions { close_code: 1011, ..rules() };
    run(console().says("a").ends(), answers(), own).await.succeeds();
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_no_more_and_then_ends_closes_the_websocket_with_1011() {
    let client = websocket().says("a").says("b").when_finished().closes(1011, "");
    let ended = run(client, socket().fails_to_write(1, lost()).when_sent_a_message().ends(), rules()).await;
    assert!(matches!(ended.result, Err(Error::Lost { .. })), "{ended:?}");
    assert!(ended.left.iter().any(|line| line.contains("close 1011")), "{ended:?}");
}

// Polls

/// An end that takes everything, says nothing and counts how often it is read.
struct Silent {
    reads: Arc<AtomicUsize>,
    may_answer_at_once: bool,
}

impl MessageStream for Silent {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        self.reads.fetch_add(1, Relaxed);
        Poll::Pending
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, _: Message) -> Result<(), Error> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, _: Option<&Close>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn may_answer_at_once(&self) -> bool {
        self.may_answer_at_once
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_always_wakes_its_task_is_not_read_again_because_it_was_sent_a_message() {
    for (may_answer_at_once, expected) in [(true, 3), (false, 2)] {
        // The task may have been woken by the session before.
        sleep(Duration::from_secs(1)).await;
        let reads = Arc::new(AtomicUsize::new(0));
        let left = MessageEnd::new(Silent { reads: reads.clone(), may_answer_at_once }, EndKind::Peer, "silent");
        let (right, _) = socket().after(1000).says("one").start();
        let stop = async {
            sleep(Duration::from_secs(2)).await;
            let before_the_signal = reads.load(Relaxed);
            assert_eq!(before_the_signal, expected, "{may_answer_at_once}");
            Close::new(1001, "")
        };
        let ended = Session::Messages(left, right).run_until(stop, &rules()).await;
        assert_eq!(ended.expect("stopped by a signal").moved, [0, 1]);
    }
}
