//! Shell command lines as people write them.

use crate::{
    peer::bash,
    support::{Folder, Serving},
};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Runs a line in which `$URL` is the server's.
#[track_caller]
fn prints(server: &Serving, line: &str, out: &str) {
    bash(LIMIT, &format!("URL={}\n{line}", server.url())).prints(out);
}

fn mirror() -> Serving {
    Serving::start(["ws-l:0", "mirror:"])
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_filter_on_the_far_side_answers_after_the_end_of_the_input() {
    let server = Serving::start(["ws-l:0", "sh-c:sort"]);
    prints(&server, r"printf 'b\na\n' | wsplice --reply-wait 0 $URL", "a\nb\n");
    prints(&server, r"wsplice --reply-wait 0 $URL <<< $'d\nc'", "c\nd\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_while_loop_reads_the_answers() {
    let line = "for i in 1 2 3; do echo $i; done | wsplice $URL | while read -r x; do echo \"got $x\"; done";
    prints(&mirror(), line, "got 1\ngot 2\ngot 3\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_coprocess_asks_and_is_answered_line_by_line() {
    let line = "coproc wsplice $URL
        for i in 1 2 3; do echo $i >&${COPROC[1]}; read -r x <&${COPROC[0]}; echo \"answer $x\"; done";
    prints(&mirror(), line, "answer 1\nanswer 2\nanswer 3\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn head_ends_a_stream_that_would_last_for_ever() {
    let server = Serving::start(["ws-l:0", "sh-c:yes"]);
    prints(&server, "yes '' | wsplice $URL 2>&1 | head -1", "y\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_reader_that_leaves_early_is_no_complaint() {
    let server = Serving::start(["ws-l:0", "sh-c:yes"]);
    prints(&server, "wsplice -U $URL | head -2", "y\ny\n");
    prints(&mirror(), "seq 1000000 | wsplice $URL | head -2", "1\n2\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn process_substitution_works_on_both_sides() {
    let server = mirror();
    prints(&server, r"diff <(printf 'x\ny\n' | wsplice $URL) <(printf 'x\ny\n') && echo same", "same\n");
    prints(&server, r"wsplice $URL < <(printf 'x\ny\n')", "x\ny\n");
    prints(&server, r"printf 'x\ny\n' | tee >(wsplice $URL | sed 's/^/copy /') | sort", "copy x\ncopy y\nx\ny\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn command_substitution_takes_one_answer() {
    prints(&mirror(), r#"answer=$(echo '{"get":1}' | wsplice -1 $URL); echo "<$answer>""#, "<{\"get\":1}>\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn a_greeting_is_printed_when_there_is_no_input() {
    let server = Serving::start(["ws-l:0", "sh-c:echo hello"]);
    prints(&server, "wsplice $URL </dev/null", "hello\n");
    prints(&server, "wsplice $URL <&-", "hello\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn the_exit_status_tells_the_shell_what_happened() {
    prints(&mirror(), "echo x | wsplice $URL && echo fine", "x\nfine\n");
    let shell = bash(LIMIT, "wsplice ws://127.0.0.1:1/ </dev/null 2>/dev/null || echo $?");
    assert_eq!(shell.out, "3\n");
    let shell = bash(LIMIT, "set -o pipefail; echo x | wsplice ws://127.0.0.1:1/ 2>/dev/null | cat || echo $?");
    assert_eq!(shell.out, "3\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn output_goes_to_files_and_behind_what_they_hold() {
    let folder = Folder::new("bash-files");
    let file = folder.path("out");
    let line = format!("echo 1 | wsplice $URL > {file}; echo 2 | wsplice $URL >> {file}; cat {file}");
    prints(&mirror(), &line, "1\n2\n");
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn two_runs_in_a_row_chain_their_answers() {
    let upper = Serving::start(["ws-l:0", "sh-c:tr a-z A-Z"]);
    let line = format!(r"printf 'b\na\n' | wsplice $URL | wsplice --reply-wait 0 {}", upper.url());
    prints(&mirror(), &line, "B\nA\n");
}
