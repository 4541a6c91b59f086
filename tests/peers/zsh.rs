//! The completion for zsh, in zsh.

use crate::support::Running;
use std::process::Command;

/// What zsh shows when TAB is pressed after the first argument.
const SCRIPT: &str = r#"
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($2 \$fpath); autoload -U compinit; compinit -u -D; stty cols 200 rows 300; LISTMAX=1000; PS1='RE''ADY'"
zpty -r z shown '*READY*'
zpty -w -n z "$1"$'\t'
zpty -r z shown "*$3*"
print -rn -- "$shown"
# It says when it has shown all, if it is asked for something else.
zpty -w -n z $'\C-u'"print DO''NE"$'\n'
zpty -r z shown '*DONE*'
print -r -- "$shown"
zpty -d z
"#;

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn zsh_offers_each_name_once_with_its_text() {
    let completions = concat!(env!("CARGO_MANIFEST_DIR"), "/completions");
    for (typed, name, text) in [
        ("wsplice wss", "wss-listen:", "Accept WebSocket connections over TLS"),
        ("wsplice ws://x/ wss", "wss-listen:", "Accept WebSocket connections over TLS"),
        ("wsplice --slow ", "drop-oldest", "Drop the oldest messages"),
    ] {
        let mut command = Command::new("zsh");
        command.args(["-f", "-c", SCRIPT, "zsh", typed, completions, text]);
        let shown = Running::start(command).finish().succeeds().out();
        assert_eq!(shown.matches(name).count(), 1, "{typed}: {shown}");
    }
}
