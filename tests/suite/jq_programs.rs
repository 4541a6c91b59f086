//! Programs in the language of jq that take too much.

use crate::{
    support::{Finished, Folder, Running, Serving, run, wait_for, wsplice},
    terminal::InTerminal,
};
use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// The number behind a name in `/proc/PID/status`.
fn status(pid: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().nth(1)?.parse().ok())
}

fn is_over(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// The processes that a run has started.
fn children(pid: u32) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("processes");
    let names = processes.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| status(name, "PPid") == Some(pid.into())).collect()
}

/// Runs a program for a message. Gives how it ends, and the most memory that its process took, in MiB.
fn run_program(program: &str, message: &str) -> (Finished, u64) {
    // Tests run at the same time.
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let folder = Folder::new(&format!("jq-program-{}", FOLDERS.fetch_add(1, Relaxed)));
    let path = folder.path("message");
    fs::write(&path, message).expect("write");
    let mut running = Running::start(wsplice(["--send", &format!("@{path}"), "--filter-json", program, "mirror:"]));
    running.close_input();
    let mut most = 0;
    while running.is_running() {
        most = children(running.pid()).iter().filter_map(|pid| status(pid, "VmHWM")).max().unwrap_or(0).max(most);
    }
    (running.finish(), most >> 10)
}

#[test]
fn a_step_that_takes_too_much_ends_with_a_clear_error() {
    for (program, message) in [
        ("\"x\" * 100000000000", "1"),
        (". as $n | \"x\" * $n", "100000000000"),
        ("reduce range(40) as $i (1; [.,.]) | tojson", "1"),
        ("reduce range(40) as $i (1; [.,.])", "1"),
        ("[range(2) | reduce range(40) as $i (1; [.,.])] | .[0] == .[1]", "1"),
        ("reduce range(50) as $i (\"x\"; . + .)", "1"),
        ("reduce range(64) as $i (10; . * .)", "1"),
        ("def f: [.,.]|f; f", "1"),
        ("[range(infinite)]", "1"),
        ("{} | until(false; .[\"\\(length)\"] = [range(1000)])", "1"),
        ("tojson", &format!("1{}", "0".repeat(15_000_000))),
    ] {
        let (finished, most) = run_program(program, message);
        finished.fails_with(1, "is too much for the program of --filter-json: it ");
        assert!(finished.took < Duration::from_secs(10), "{program}: {finished:?}");
        assert!(most < 1400, "{program} took {most} MiB");
    }
}

#[test]
fn values_that_are_nested_deep_do_not_end_the_run_with_a_signal() {
    let array = format!("[{}1]", "1,".repeat(100_000));
    for (program, message) in [
        ("reduce range(900000) as $i (null; [.])", "1"),
        ("reduce range(100000) as $i (null; [.])", "1"),
        ("last(limit(100000; recurse([.])))|1", "1"),
        ("reduce .[] as $x ([]; [$x,.]) | .[0]", &*array),
        ("reduce range(20000) as $i (null; [.]) | tojson | length", "1"),
        ("reduce range(20000) as $i (\"\"; . + \"[\") | fromjson", "1"),
    ] {
        let (finished, _) = run_program(program, message);
        assert!(matches!(finished.code, 0 | 1), "{program}: {finished:?}");
    }
    // The error would show the value.
    let (finished, _) = run_program("reduce range(60) as $i (1; [.,.]) | .a", "1");
    assert!(finished.succeeds().stderr.contains("cannot index [[["), "{finished:?}");
    let (finished, _) = run_program("def f: if .==0 then 0 else 1+(.-1|f) end; 400|f", "1");
    assert_eq!(finished.succeeds().out(), "400\n");
    let (finished, _) = run_program("def f: 1 + f; f", "1");
    finished.fails_with(1, "it called itself too often");
}

#[test]
fn a_long_message_is_filtered_whole() {
    let message = format!("[{}0]", "1,".repeat(20_000));
    let (finished, _) = run_program("map(. + 1) | add", &message);
    assert_eq!(finished.succeeds().out(), "40001\n");
}

#[test]
fn a_program_that_takes_too_much_fails_an_expectation_and_ends_filter() {
    let args = ["--send", "1", "--expect-json", "\"x\" * 100000000000", "mirror:"];
    run(args, "").fails_with(1, "is too much for the program of --expect-json: it needs more than 1 GiB");
    let server = Serving::start(["ws-l:127.0.0.1:0", "mirror:"]);
    let mut terminal = InTerminal::start(&[&server.url()]);
    terminal.prompts();
    terminal.press("/filter \"x\" * 100000000000\r");
    terminal.shows("/filter ends that");
    terminal.press("7\r");
    terminal.shows("there is no filter any more: it needs more than 1 GiB of memory");
    terminal.press("\x04");
    assert_eq!(terminal.ends().0, Some(0));
}

#[test]
fn the_process_of_a_program_is_replaced_and_does_not_outlive_the_run() {
    let mut running = Running::start(wsplice(["--filter-json", ". + 1", "mirror:"]));
    for (number, signal) in ["TERM", "KILL", "INT"].iter().enumerate() {
        running.write(format!("{number}\n"));
        assert_eq!(running.line(), format!("{}\n", number + 1));
        let [child] = &children(running.pid())[..] else { panic!("not one process: {:?}", children(running.pid())) };
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), child]).status();
        assert!(sent.expect("kill runs").success());
        // It is a zombie until it is replaced.
        wait_for("its end", || is_over(child).then_some(()));
    }
    running.write("7\n");
    assert_eq!(running.line(), "8\n");
    let left = children(running.pid());
    running.close_input();
    running.finish().succeeds();
    wait_for("the end of its process", || left.iter().all(|pid| is_over(pid)).then_some(()));
}

#[test]
fn ctrl_c_does_not_end_the_process_of_a_program() {
    let mut running = Running::start(wsplice(["--filter-json", ". + 1", "mirror:"]));
    running.write("1\n");
    assert_eq!(running.line(), "2\n");
    let [child] = &children(running.pid())[..] else { panic!("not one process") };
    let stat = fs::read_to_string(format!("/proc/{child}/stat")).expect("its state");
    // State, parent and process group.
    let group = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(2));
    assert_eq!(group, Some(child.as_str()), "it is in a group of its own: {stat}");
}

#[test]
fn what_is_before_a_message_that_is_too_much_is_printed() {
    let program = "if . == 3 then \"x\" * 100000000000 elif . == 4 then repeat(.) else . end";
    for last in ["3", "4"] {
        let finished = run(["--filter-json", program, "mirror:"], format!("1\nno JSON\n2\n{last}\n5\n"));
        assert_eq!((finished.code, &*finished.out()), (1, "1\n2\n"), "{finished:?}");
        assert!(finished.stderr.contains("is too much for the program of --filter-json"), "{finished:?}");
    }
}
