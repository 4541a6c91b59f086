//! What README.md says about commands, exit codes and absent names holds.

use crate::support::run;
use wsplice::{
    cli::EXIT_CODES,
    registry::{Build, table},
};

const README: &str = include_str!("../../README.md");

#[test]
fn every_command_line_can_be_explained() {
    let lines: Vec<_> = shell_lines().filter_map(arguments).collect();
    assert!(lines.len() >= 14, "only {} command lines in README.md", lines.len());
    for args in lines {
        run(std::iter::once("--explain".to_owned()).chain(args), "").succeeds();
    }
}

#[test]
fn the_first_two_commands_are_what_they_were() {
    let first: Vec<_> = shell_lines().take(2).collect();
    assert_eq!(first, ["cargo run --release -- ws-l:127.0.0.1:1234 mirror:", "cargo test"]);
}

#[test]
fn every_exit_code_is_listed() {
    for (code, meaning) in EXIT_CODES {
        let row = README.lines().find_map(|line| line.strip_prefix(&format!("| {code} | ")));
        let said = row.unwrap_or_else(|| panic!("exit code {code} is not in README.md")).trim_end_matches(" |");
        assert_eq!(said.to_lowercase(), meaning.trim_end_matches('.').to_lowercase());
    }
}

#[test]
fn the_options_that_are_not_there_are_told_what_to_use() {
    let listed = listed_behind("These options of websocat and wscat");
    assert!(listed.len() > 20);
    for option in listed {
        run([option, "mirror:"], "").fails_with(2, "is not available");
    }
}

#[test]
fn the_addresses_that_are_not_there_are_listed() {
    let listed = listed_behind("These addresses and overlays");
    for name in &listed {
        run([name], "").fails_with(2, "is not available");
    }
    for entry in table().filter(|entry| matches!(entry.build, Build::Absent { .. })) {
        let name = format!("{}:", entry.names[0]);
        assert!(listed.contains(&name.as_str()), "README.md does not list {name}");
    }
}

/// What stands between backquotes in the paragraph that starts so.
fn listed_behind(start: &str) -> Vec<&'static str> {
    let from = README.find(start).expect("the paragraph");
    let paragraph = README[from..].split("\n\n").next().unwrap_or_default();
    paragraph.split('`').skip(1).step_by(2).collect()
}

/// The lines of all blocks that are for a shell.
fn shell_lines() -> impl Iterator<Item = &'static str> {
    let blocks = README.split("```sh\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

/// The arguments of the wsplice in a line, if there is one.
fn arguments(line: &str) -> Option<Vec<String>> {
    let at = ["wsplice ", "cargo run --release -- "].iter().find_map(|start| Some(line.find(start)? + start.len()))?;
    Some(split(&line[at..]))
}

/// Splits at spaces outside single quotes, to the end or to a `|`.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '\'' => quoted = !quoted,
            '|' if !quoted => break,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("never empty").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
