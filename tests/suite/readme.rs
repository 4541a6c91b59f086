//! What README.md says about commands, exit codes and absent names holds.

use crate::support::run;
use wsplice::cli::EXIT_CODES;

const README: &str = include_str!("../../README.md");

#[test]
fn every_command_line_can_be_explained() {
    let services = README.lines().filter(|line| line.starts_with("ExecStart="));
    let lines: Vec<_> = shell_lines().chain(services).filter_map(arguments).collect();
    assert!(lines.len() >= 22, "only {} command lines in README.md", lines.len());
    for args in lines {
        run(std::iter::once("--explain".to_owned()).chain(args), "").succeeds();
    }
}

#[test]
fn the_first_two_commands_are_what_they_were() {
    let first: Vec<_> = shell_lines().take(2).collect();
    assert_eq!(first, ["cargo run --release -- --broadcast", "cargo test"]);
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
fn the_nginx_block_is_the_one_that_is_tested() {
    assert!(README.contains(include_str!("../peers/nginx-broadcast.conf").trim()));
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
