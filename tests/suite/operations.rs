//! `docs/operations.md` has every limit: each option that sets one, and for each limit without an option the reason.

use clap::Arg;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// Options that take a number, a size or a time, and limit nothing.
const NO_LIMITS: [&str; 13] = [
    "queue-len",
    "lengthprefixed-nbytes",
    "max-sent-pings",
    "inhibit-pongs",
    "wait",
    "replies",
    "linger",
    "deflate-level",
    "deflate-window-bits",
    "deflate-threshold",
    "separator-n",
    "buffer-size",
    "udp-ttl",
];

#[test]
fn every_option_that_sets_a_limit_is_in_operations() {
    let is_quantity = |arg: &Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().any(|name| matches!(name.as_str(), "N" | "BYTES" | "SECONDS" | "MS"))
    };
    let command = wsplice::cli::command();
    let options = command.get_arguments().filter(|arg| is_quantity(arg)).filter_map(Arg::get_long);
    let missing: Vec<_> = options
        .filter(|option| !NO_LIMITS.contains(option) && !OPERATIONS.contains(&format!("`--{option}`")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_limit_has_an_option_or_the_reason_why_it_is_fixed() {
    let (mut rows, mut within) = (0, false);
    for line in OPERATIONS.lines() {
        within = line.starts_with("| limit |") || (within && line.starts_with('|'));
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if !within
            || matches!(cells.get(1), Some(&("limit" | "---")))
            || cells.get(1).is_some_and(|cell| cell.starts_with("--"))
        {
            continue;
        }
        let option = cells.get(2).copied().unwrap_or_default();
        assert!(option.contains("`--") || option.starts_with("fixed: "), "neither an option nor a reason: {line}");
        rows += 1;
    }
    assert!(rows >= 40, "only {rows} limits");
}
