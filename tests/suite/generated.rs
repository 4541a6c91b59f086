//! The manual and the completions are made from the table of addresses and the option parser. They are committed, and
//! equal to what would be made now; `WSPLICE_BLESS=1 cargo test generated` writes them.

use crate::support::run;
use clap_complete::Shell;
use clap_mangen::{Man, roff::Roff, roff::bold, roff::roman};
use std::{fmt::Write, fs, path::Path, process::Command};
use wsplice::{
    cli::{EXIT_CODES, command},
    endpoint::{Build, Entry},
    registry::table,
};

#[test]
fn the_manual_is_up_to_date() {
    is_committed("man/wsplice.1", &manual());
}

#[test]
fn the_bash_completion_is_up_to_date() {
    is_committed("completions/wsplice.bash", &bash());
}

#[test]
fn the_zsh_completion_is_up_to_date() {
    is_committed("completions/_wsplice", &zsh());
}

#[test]
fn the_fish_completion_is_up_to_date() {
    is_committed("completions/wsplice.fish", &fish());
}

#[test]
fn every_row_is_named_in_help_manual_and_completions() {
    let help = run(["--help"], "").out();
    let help = words(&help);
    let manual = plain_manual();
    let scripts = [bash(), zsh().replace("\\:", ":"), fish()];
    for entry in available() {
        for name in entry.names {
            let name = if *name == "-" { "-".to_owned() } else { format!("{name}:") };
            assert!(help.iter().any(|word| word.starts_with(&name)), "--help lacks {name}");
            assert!(manual.contains(&format!("\\fB{name}\\fR")), "the manual lacks {name}");
            for script in &scripts {
                let is_there = words(script).iter().any(|word| word.starts_with(&name));
                assert!(is_there, "a completion lacks {name}:\n{script}");
            }
        }
        for text in [entry.summary, entry.details] {
            assert!(manual.contains(text), "the manual lacks {text:?}");
        }
    }
}

#[test]
fn every_row_s_options_exist() {
    let known: Vec<_> = command().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    for entry in available() {
        for flag in entry.options() {
            assert!(known.iter().any(|long| long == flag), "{}: names the option --{flag}", entry.names[0]);
        }
    }
}

#[test]
fn every_row_s_example_can_be_explained() {
    for entry in available() {
        assert!(!entry.example.is_empty() && !entry.details.is_empty(), "{}: is not documented", entry.names[0]);
        let args = std::iter::once("--explain").chain(entry.example.split(' '));
        run(args, "").succeeds();
    }
}

#[test]
fn every_option_is_in_the_manual() {
    let manual = plain_manual();
    for arg in command().get_arguments() {
        if let Some(long) = arg.get_long() {
            assert!(manual.contains(&format!("\\fB--{long}\\fR")), "the manual lacks --{long}");
        }
    }
}

#[test]
fn bash_completes_addresses_paths_and_options() {
    for (typed, wanted) in [
        ("wsplice mirr", "mirror:"),
        ("wsplice ws-l:127.0.0.1:1234 log:tcp-con", "tcp-connect:"),
        ("wsplice --oneshot autorec", "autoreconnect:"),
        ("wsplice ws:", ""),
        ("wsplice --cert mirr", ""),
        ("wsplice --expl", "--explain"),
        ("wsplice --slow ", "disconnect drop-oldest drop-newest block"),
        ("wsplice --slow drop", "drop-oldest drop-newest"),
        ("wsplice --deflate o", "off on"),
        ("wsplice --help ws-lis", "ws-listen:"),
    ] {
        let script = format!("compopt() {{ :; }}\n{}\n{CALL}", bash());
        let output = Command::new("bash").args(["-c", &script, "bash", typed]).output();
        let output = output.expect("bash is installed, since this is about its completion");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), wanted, "{typed}: {output:?}");
    }
}

/// What bash does when TAB is pressed after `$1`.
const CALL: &str = r#"
COMP_LINE="$1" COMP_POINT=${#1}
COMP_WORDS=($1)
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_wsplice_words wsplice "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
echo "${COMPREPLY[*]}"
"#;

fn is_committed(path: &str, fresh: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("WSPLICE_BLESS").is_some() {
        fs::write(&full, fresh).expect("write");
    }
    let committed = fs::read_to_string(&full).unwrap_or_default();
    let line = committed.lines().zip(fresh.lines()).position(|(old, new)| old != new);
    let hint = "WSPLICE_BLESS=1 cargo test generated";
    assert!(committed == fresh, "{path} is out of date from line {:?} on: {hint}", line.map(|line| line + 1));
}

fn available() -> impl Iterator<Item = &'static Entry> {
    table().filter(|entry| !matches!(entry.build, Build::Unsupported { .. }))
}

/// The words of a text, which white space and quotes separate.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '\'' | '"')).filter(|word| !word.is_empty()).collect()
}

fn manual() -> String {
    include_str!("../../man/wsplice.1.in")
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@OPTIONS@", &options())
        .replace("@ADDRESSES@", &rows(false))
        .replace("@OVERLAYS@", &rows(true))
        .replace("@EXIT@", &exit_codes())
}

/// The manual with roff's escapes for dashes and apostrophes replaced.
fn plain_manual() -> String {
    manual().replace("\\-", "-").replace("\\*(Aq", "'")
}

fn options() -> String {
    let mut page = Vec::new();
    Man::new(command()).render_options_section(&mut page).expect("render");
    let mut text = String::from_utf8(page).expect("text");
    // The headings of --help become subsections of OPTIONS, spelt as in --help.
    let command = command();
    for heading in command.get_arguments().filter_map(clap::Arg::get_help_heading) {
        text = text.replace(&format!("\n.SH \"{}\"\n", heading.to_uppercase()), &format!("\n.SS {heading}\n"));
        text = text.replace(&format!("\n.SH {}\n", heading.to_uppercase()), &format!("\n.SS {heading}\n"));
    }
    without_prelude(&text)
}

/// Without the definition of the apostrophe that every rendered piece starts with; a page needs it once.
fn without_prelude(text: &str) -> String {
    let is_prelude = |line: &&str| line.contains(".ds Aq");
    text.lines().skip_while(is_prelude).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn rows(overlays: bool) -> String {
    let mut roff = Roff::new();
    for entry in available().filter(|entry| entry.build.is_overlay() == overlays) {
        roff.control("TP", []);
        let mut names = Vec::new();
        for (i, name) in entry.names.iter().enumerate() {
            if i > 0 {
                names.push(roman(", "));
            }
            names.push(bold(if *name == "-" { "-".to_owned() } else { format!("{name}:") }));
            if let (0, Some(arg)) = (i, entry.arg) {
                names.push(clap_mangen::roff::italic(arg));
            }
        }
        roff.text(names);
        roff.text([roman(format!("{}.", entry.summary))]);
        roff.text([roman(entry.details)]);
        roff.control("br", []);
        roff.text([roman("Example: "), bold(format!("wsplice {}", entry.example))]);
        if entry.options().next().is_some() {
            let flags = entry.options().map(|flag| format!("--{flag}")).collect::<Vec<_>>().join(", ");
            roff.control("br", []);
            roff.text([roman("Options: "), roman(flags)]);
        }
    }
    without_prelude(&roff.render())
}

fn exit_codes() -> String {
    let mut roff = Roff::new();
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", []);
        roff.text([bold(*code)]);
        roff.text([roman(*meaning)]);
    }
    without_prelude(&roff.render())
}

/// clap's own script.
fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut command(), "wsplice", &mut bytes);
    String::from_utf8(bytes).expect("text")
}

fn names(rows: impl Iterator<Item = &'static Entry>) -> impl Iterator<Item = &'static str> {
    rows.flat_map(|entry| entry.names).copied().filter(|name| *name != "-")
}

fn overlay_names() -> Vec<&'static str> {
    names(available().filter(|entry| entry.build.is_overlay())).collect()
}

/// Addresses that take a path.
fn path_names() -> Vec<&'static str> {
    names(available().filter(|entry| entry.arg.is_some_and(|arg| arg.starts_with("PATH")))).collect()
}

/// Addresses that take no argument.
fn complete_names() -> Vec<&'static str> {
    names(available().filter(|entry| entry.arg.is_none() && !entry.build.is_overlay())).collect()
}

/// Options that take a value, which is one of a few or not.
fn options_with_value(command: &clap::Command, has_choice: bool) -> Vec<String> {
    let with_value = command
        .get_opts()
        .filter(|arg| arg.get_action().takes_values() && arg.get_possible_values().is_empty() != has_choice);
    let short_and_long = |arg: &clap::Arg| {
        let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
        let longs: Vec<_> = longs.into_iter().map(|long| format!("--{long}")).collect();
        arg.get_short_and_visible_aliases()
            .unwrap_or_default()
            .into_iter()
            .map(|short| format!("-{short}"))
            .chain(longs)
    };
    with_value.flat_map(short_and_long).collect()
}

/// clap's script knows the options. A function around it completes the addresses: bash splits words at colons, so the word
/// is put together again first.
fn bash() -> String {
    let script = script(Shell::Bash).replace("complete -F _wsplice ", "complete -F _wsplice_words ");
    let addresses = std::iter::once("-".into())
        .chain(names(available()).map(|name| format!("{name}:")))
        .collect::<Vec<_>>()
        .join(" ");
    let end = script.rfind("if [[ \"${BASH_VERSINFO[0]}\" -eq 4").expect("clap's last lines");
    format!(
        r#"{options}
# Addresses. bash splits words at colons unless told otherwise; the whole word decides.
_wsplice_words() {{
    local word="${{COMP_LINE:0:COMP_POINT}}" before
    word="${{word##*[[:space:]]}}"
    before="${{COMP_LINE:0:COMP_POINT}}"
    before="${{before%"$word"}}"
    before="${{before%"${{before##*[![:space:]]}}"}}"
    before="${{before##*[[:space:]]}}"
    if [[ "$word" == -* ]]; then
        _wsplice "$@"
        [[ "$word" == - ]] && COMPREPLY+=(-)
        return
    fi
    case "$before" in
        {with_choice})
            # clap's script knows the values.
            _wsplice "$@"
            return
            ;;
        {with_value})
            # The value of an option. Files are what -o default offers.
            COMPREPLY=()
            return
            ;;
    esac
    local rest="$word" prefix=""
    while [[ "$rest" =~ ^({overlays}): ]]; do
        prefix+="${{BASH_REMATCH[0]}}"
        rest="${{rest#"${{BASH_REMATCH[0]}}"}}"
    done
    # With the colon as a break, what stands before the last one stays as it is.
    [[ "$COMP_WORDBREAKS" == *:* ]] && prefix=""
    if [[ "$rest" =~ ^({paths}): ]]; then
        # A path, which -o default completes where it is a word of its own.
        COMPREPLY=()
        if [[ "$COMP_WORDBREAKS" != *:* ]]; then
            prefix+="${{BASH_REMATCH[0]}}"
            mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "${{rest#*:}}")
        fi
    elif [[ "$rest" == *:* ]]; then
        COMPREPLY=()
        compopt +o default +o bashdefault
    else
        COMPREPLY=( $(compgen -P "$prefix" -W "{addresses}" -- "$rest") )
        case "${{COMPREPLY[*]}}" in
            {complete}) ;;
            *) compopt -o nospace +o default +o bashdefault ;;
        esac
    fi
}}

{last}"#,
        options = &script[..end],
        with_choice = options_with_value(&command(), true).join("|"),
        with_value = options_with_value(&command(), false).join("|"),
        overlays = overlay_names().join("|"),
        paths = path_names().join("|").replace('+', "\\+"),
        complete = complete_names().iter().map(|name| format!("*{name}:")).collect::<Vec<_>>().join("|"),
        last = &script[end..],
    )
}

fn zsh() -> String {
    let script = script(Shell::Zsh);
    let (mut options, mut count) = (String::new(), 0);
    for line in script.lines() {
        let is_address = line.starts_with("'::first") || line.starts_with("'::second");
        count += usize::from(is_address);
        // One line for both: zsh would offer each name twice where either may come.
        match (is_address, count) {
            (true, 1) => _ = writeln!(options, "'*:address:_wsplice_addresses' \\"),
            (true, _) => {}
            _ => _ = writeln!(options, "{line}"),
        }
    }
    assert_eq!(count, 2, "clap's script names both addresses");
    let mut rows = String::new();
    for entry in available() {
        for name in entry.names {
            let name = if *name == "-" { "-".to_owned() } else { format!("{name}\\:") };
            let _ = writeln!(rows, "        '{name}:{}'", entry.summary);
        }
    }
    let function = format!(
        r#"
(( $+functions[_wsplice_addresses] )) ||
_wsplice_addresses() {{
    local -a addresses
    addresses=(
{rows}    )
    while compset -P '({overlays}):'; do :; done
    if compset -P '({paths}):'; then
        _files
    elif [[ "$PREFIX" != *:* ]]; then
        _describe -t addresses address addresses -S ''
    fi
}}

"#,
        overlays = overlay_names().join("|"),
        paths = path_names().join("|"),
    );
    let call = options.rfind("if [ \"$funcstack[1]\"").expect("clap's last lines");
    options.insert_str(call, function.trim_start());
    options
}

fn fish() -> String {
    let mut rows = String::new();
    for entry in available() {
        for name in entry.names {
            let name = if *name == "-" { "-".to_owned() } else { format!("{name}:") };
            let _ = writeln!(rows, "        '{name}' '{}' \\", entry.summary);
        }
    }
    format!(
        r#"{options}
# Addresses, behind overlays or not; a path where the address takes one.
function __wsplice_addresses
    set -l word (commandline -ct)
    set -l prefix (string match -r '^(?:(?:{overlays}):)*' -- $word)
    set -l rest (string replace -- "$prefix" '' $word)
    if set -l kind (string match -r '^(?:{paths}):' -- $rest)
        __fish_complete_path (string replace -- $kind '' $rest) | string replace -r '^' -- "$prefix$kind"
        return
    end
    printf "$prefix%s\t%s\n" \
{rows}        | string match -v '\t'
end
complete -c wsplice -f -a '(__wsplice_addresses)'
"#,
        options = script(Shell::Fish),
        overlays = overlay_names().join("|"),
        paths = path_names().join("|").replace('+', "\\+"),
        rows = rows,
    )
}
