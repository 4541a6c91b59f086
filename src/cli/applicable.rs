//! Options that cannot apply to the addresses of a run. The table of addresses says which options belong to which rows; those of no
//! row are general, except the ones below.

use crate::{
    endpoint::{Build, Entry},
    error::Error,
    overlay,
    plan::{FirstAddress, Plan},
    registry,
    spec::Spec,
};
use clap::{ArgMatches, Command, parser::ValueSource};

/// Options of sessions between two ends, which a room server does not have.
const OF_SESSIONS: &[&str] = &[
    "unidirectional",
    "unidirectional-reverse",
    "exit-on-eof",
    "no-close",
    "one-message",
    "replies",
    "within",
    "linger",
    "reply-wait",
    "close-timeout",
    "text",
    "binary",
    "null-terminated",
    "separator",
    "separator-n",
    "one-line",
    "preamble",
    "preamble-reverse",
    "max-messages",
    "max-messages-rev",
    "jsonrpc",
    "send",
    "expect",
    "expect-json",
    "filter-json",
    "stats",
    "record",
];

/// Options of WebSockets that a room server does not have.
const NOT_OF_ROOMS: &[&[&str]] = &[overlay::PAYLOADS, &["print-ping-rtts", "inhibit-pongs"]];

/// Options of listeners that serve any number of clients, as ADDR1 does.
const OF_SERVERS: &[&str] = &["threads", "conncap", "max-per-address", "max-lifetime", "max-memory"];

/// Options of all listeners.
const OF_LISTENERS: &[&str] = &["oneshot", "stdout-announce-listening-ports", "trust-proxy"];

/// Options of rooms that belong to a row, too. The others require `--broadcast`.
const OF_ROOMS: &[&str] = &["backlog", "slow-timeout"];

/// Options of all runs, though rows name them. `-k` promises nothing, and scripts give it with any URL: curl takes it with http://
/// as well.
const GENERAL: &[&str] = &["connect-timeout", "grace", "insecure"];

/// What to use instead, where the run has a listener and where it has none.
const ADVICE: &[(&[&str], Option<&str>, Option<&str>)] = &[
    (&["basic-auth"], Some("--require-basic-auth FILE asks the clients of a listener for a password"), None),
    (&["origin"], Some("--allow-origin ORIGIN accepts browsers with this origin only"), None),
    (&["header"], Some("--server-header adds a header to the responses of a listener"), None),
    (&["protocol"], Some("--server-protocol selects the subprotocol of a listener"), None),
    (&["server-header"], None, Some("--header adds a header to the request of a client")),
    (&["server-protocol"], None, Some("--protocol offers subprotocols to a server")),
    (&["allow-origin", "same-origin"], None, Some("--origin sends an Origin header")),
    (&["require-basic-auth"], None, Some("--basic-auth USER:PASSWORD sends credentials")),
    (&["require-token"], None, Some("-H 'Authorization: Bearer TOKEN' sends a token")),
    (
        &["cert", "key", "pkcs12-der", "self-signed", "client-ca"],
        Some("wss-l: and tls-l: listen with TLS, ws-l: and tcp-l: without"),
        Some("wss:// and tls: connect with TLS; --client-cert is the certificate of a client"),
    ),
    (
        &["cacert", "tls-domain", "client-cert", "client-key", "client-pkcs12-der"],
        None,
        Some("wss:// and tls: connect with TLS"),
    ),
    (&["exec-args"], Some(EXEC), Some(EXEC)),
    (&["ts"], Some(PROMPT_TIMES), Some(PROMPT_TIMES)),
    (&["pretty"], Some(PROMPT_LAYOUT), Some(PROMPT_LAYOUT)),
    (&["conncap", "max-per-address", "max-lifetime"], Some(RIGHT), None),
];

const PROMPT_TIMES: &str = "it belongs to the prompt of a terminal; elsewhere --jsonl and timestamp: tell times";
const PROMPT_LAYOUT: &str = "it belongs to the prompt of a terminal; elsewhere `| jq .` lays out JSON";
const EXEC: &str = "exec:PROGRAM runs a program with them";
const RIGHT: &str = "a listener serves many clients as the first address only";

/// The long names of the options that the command line has. Defaults are not among them.
pub(super) fn given(options: &Command, matches: &ArgMatches) -> Vec<String> {
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let ids = matches.ids().map(clap::Id::as_str).filter(|id| is_given(id));
    let long = |id| options.get_arguments().find(|arg| arg.get_id() == id)?.get_long();
    ids.filter_map(long).map(str::to_owned).collect()
}

/// Checks that each of the options that were `given` can apply to what the plan contains.
///
/// # Errors
/// [`Error::Usage`] for the first one that cannot. It names the addresses that the option belongs to, or what to use instead.
pub fn check_applicable(
    given: &[String],
    first: &FirstAddress,
    second: Option<&Spec>,
    plan: &Plan,
) -> Result<(), Error> {
    if given.is_empty() {
        return Ok(());
    }
    let typed = match first {
        FirstAddress::Typed(spec) => spec.entries(),
        FirstAddress::Listener(_) => registry::find("ws-listen").into_iter().collect(),
    };
    let standard = if second.is_none() { registry::find("stdio") } else { None };
    let layers = plan.endpoints().into_iter().flat_map(|about| &about.layers);
    // The prompt, in place of standard input and output.
    let prompt = plan.endpoints().into_iter().filter_map(|about| registry::find(about.title.strip_suffix(':')?));
    let rows: Vec<_> = typed
        .into_iter()
        .chain(second.into_iter().flat_map(Spec::entries))
        .chain(standard)
        .chain(prompt)
        .chain(layers.filter_map(|layer| registry::find(layer.name)))
        .collect();
    match given.iter().find(|option| !applies(option, &rows, plan)) {
        None => Ok(()),
        Some(option) => Err(not_applicable(option, &rows, matches!(plan, Plan::Rooms(_)))),
    }
}

fn listens(rows: &[&Entry]) -> bool {
    rows.iter().any(|row| matches!(row.build, Build::Listen(..)))
}

fn owners(option: &str) -> impl Iterator<Item = &'static Entry> {
    registry::table().filter(move |row| row.has_option(option))
}

fn applies(option: &str, rows: &[&Entry], plan: &Plan) -> bool {
    let is_room_server = matches!(plan, Plan::Rooms(_));
    let is_listed = || rows.iter().any(|row| row.has_option(option));
    match option {
        _ if GENERAL.contains(&option) => true,
        _ if is_room_server && NOT_OF_ROOMS.iter().any(|group| group.contains(&option)) => false,
        _ if OF_SESSIONS.contains(&option) => !is_room_server,
        _ if OF_SERVERS.contains(&option) => plan.is_serving(),
        _ if OF_LISTENERS.contains(&option) => listens(rows) || is_listed(),
        _ if OF_ROOMS.contains(&option) && is_room_server => true,
        _ => owners(option).next().is_none() || is_listed(),
    }
}

fn not_applicable(option: &str, rows: &[&Entry], is_room_server: bool) -> Error {
    let listens = listens(rows);
    let belongs = match option {
        _ if OF_SESSIONS.contains(&option)
            || (is_room_server && NOT_OF_ROOMS.iter().any(|group| group.contains(&option))) =>
        {
            return Error::usage_hint(
                format!(
                    "--{option} cannot be used with --broadcast: it is an option of sessions between two addresses"
                ),
                "without --broadcast, each client of a listener has a session with the second address",
            );
        }
        _ if OF_SERVERS.contains(&option) || OF_LISTENERS.contains(&option) => "listeners".to_owned(),
        _ => {
            let names: Vec<_> = owners(option).map(|row| format!("{}:", row.name())).collect();
            names.join(", ")
        }
    };
    let advice = ADVICE.iter().find(|(options, ..)| options.contains(&option));
    let hint = advice.and_then(|(_, listener, client)| if listens { *listener } else { *client });
    Error::Usage {
        message: format!("--{option} does not apply to these addresses: it is an option of {belongs}"),
        hint: hint.map(str::to_owned),
    }
}
