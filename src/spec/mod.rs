//! The grammar of addresses: `(overlay:)* type:[argument]`. It is parsed into a tree with the position of each argument, so that
//! errors can point at it.

mod error;
mod suggest;

use crate::{
    endpoint::{Adds, Bare, Build, BuildDial, BuildListen, Entry, Listens, OverlayRow},
    error::Error,
    registry,
};
use error::SpecError;
use std::ops::Range;

/// A parsed address specifier.
#[derive(Debug)]
pub enum Spec {
    /// An address.
    Address(Address),
    /// An overlay around another specifier.
    Overlay(Overlay),
}

/// An address as it was typed.
#[derive(Debug)]
pub struct Address {
    /// Its entry in the table.
    pub entry: &'static Entry,
    /// How it is built.
    pub build: BuildAddress,
    /// The argument after the colon.
    pub arg: String,
    /// The word that was typed, and the position of the argument in it.
    place: (String, Range<usize>),
}

/// How an address is built.
#[derive(Clone, Copy, Debug)]
pub enum BuildAddress {
    /// It is dialled.
    Dial(BuildDial),
    /// It listens.
    Listen(BuildListen, Listens),
}

/// An overlay as it was typed.
#[derive(Debug)]
pub struct Overlay {
    /// Its entry in the table.
    pub entry: &'static Entry,
    /// How it is built.
    pub row: &'static OverlayRow,
    /// Its argument, as in `name=ARG:`.
    pub argument: Option<String>,
    /// The specifier after its colon.
    pub inner: Box<Spec>,
}

/// Maximum number of overlays; it limits the recursion of the parser.
const MAX_OVERLAYS: usize = 32;

/// A function that looks up entries by name.
type Find = fn(&str) -> Option<&'static Entry>;

impl Spec {
    /// Parses one word of the command line.
    ///
    /// # Errors
    /// [`Error::Usage`] with a caret line that points at the wrong part.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(registry::find, text)
    }

    /// Its overlays, outermost first, and its address.
    pub fn entries(&self) -> Vec<&'static Entry> {
        match self {
            Self::Address(address) => vec![address.entry],
            Self::Overlay(overlay) => [vec![overlay.entry], overlay.inner.entries()].concat(),
        }
    }

    fn parse_with(find: Find, text: &str) -> Result<Self, Error> {
        Self::parse_at(find, text, 0, Bare::WebSocket).map_err(|error| error.into_error(text))
    }

    /// Parses the text from `at` on. A bare `HOST:PORT` there has the meaning `bare`.
    fn parse_at(find: Find, text: &str, at: usize, bare: Bare) -> Result<Self, SpecError> {
        let rest = &text[at..];
        // Each overlay is a recursive call, and the stack is limited.
        if text[..at].matches(':').count() > MAX_OVERLAYS {
            let message = format!("there are more than {MAX_OVERLAYS} overlays");
            let letter = rest.chars().next().map_or(0, char::len_utf8);
            return Err(SpecError { message, span: at..at + letter, advice: None });
        }
        let (word, arg) = match rest.split_once(':') {
            Some(parts) => parts,
            None if rest == "-" => (rest, ""),
            None => return Err(Self::without_colon(rest, at, bare)),
        };
        let after_colon = text.len() - arg.len();
        let (name, argument) = match word.split_once('=') {
            Some((name, argument)) if find(name).is_some() => (name, Some(argument)),
            _ => (word, None),
        };
        let Some(entry) = find(name) else {
            return Self::bare(find, text, at, bare).unwrap_or_else(|| Err(Self::unknown(name, at)));
        };
        let name_span = at..at + name.len();
        let build = match &entry.build {
            Build::Unsupported { why, .. } => {
                let message = format!("`{name}:` is not available");
                return Err(SpecError { message, span: name_span, advice: Some((*why).into()) });
            }
            Build::Overlay(row) => {
                check_argument(name, row.argument, argument, at..at + word.len())?;
                if arg.is_empty() {
                    return Err(SpecError {
                        message: format!("the overlay `{name}:` needs an address after it"),
                        span: after_colon - 1..after_colon,
                        advice: Some(format!("for example `{}`", entry.example)),
                    });
                }
                let bare = row.bare.unwrap_or(bare);
                let inner = Box::new(Self::parse_at(find, text, after_colon, bare)?);
                return Ok(Self::Overlay(Overlay { entry, row, argument: argument.map(str::to_owned), inner }));
            }
            Build::Dial(build) => BuildAddress::Dial(*build),
            Build::Listen(build, listens) => BuildAddress::Listen(*build, *listens),
        };
        check_argument(name, None, argument, at..at + word.len())?;
        match entry.arg {
            None if !arg.is_empty() => Err(SpecError {
                message: format!("`{name}:` takes no argument"),
                span: after_colon..text.len(),
                advice: None,
            }),
            Some(wanted) if arg.is_empty() && !wanted.starts_with('[') => Err(SpecError {
                message: format!("`{name}:` needs {wanted} after its colon"),
                span: after_colon - 1..after_colon,
                advice: Some(format!("for example `{}`", entry.example)),
            }),
            _ => {
                let place = (text.to_owned(), after_colon..text.len());
                Ok(Self::Address(Address { entry, build, arg: arg.into(), place }))
            }
        }
    }

    /// Parses the text from `at` on as a URL without a scheme or as `HOST:PORT`; `None` if it is neither.
    fn bare(find: Find, text: &str, at: usize, bare: Bare) -> Option<Result<Self, SpecError>> {
        let rest = &text[at..];
        let (name, arg) = rest.split_once(':')?;
        let v6 = rest.starts_with('[').then(|| rest.split_once("]:")).flatten();
        let is_bare = match v6 {
            Some((_, after)) => starts_with_port(after),
            None => starts_with_port(arg) && !name.is_empty(),
        };
        // `tpc:80` is more likely a typo than a host; a host of that name can be written as ws://tpc:80.
        if !is_bare || (v6.is_none() && !arg.contains(['/', '?']) && suggest::nearest(name).is_some()) {
            return None;
        }
        let (name, slashes) = match bare {
            Bare::WebSocket => ("ws", "//"),
            Bare::Tcp => ("tcp", ""),
        };
        let entry = find(name)?;
        let build = match entry.build {
            Build::Dial(build) => BuildAddress::Dial(build),
            _ => return None,
        };
        let place = (text.to_owned(), at..text.len());
        Some(Ok(Self::Address(Address { entry, build, arg: format!("{slashes}{rest}"), place })))
    }

    /// The entry of its outermost part.
    pub fn entry(&self) -> &'static Entry {
        match self {
            Self::Address(address) => address.entry,
            Self::Overlay(overlay) => overlay.entry,
        }
    }

    /// Where it listens and with which protocols, and the argument of the listener; `None` if it is dialled.
    pub fn listens(&self) -> Option<(Listens, &str)> {
        match self {
            Self::Address(Address { build: BuildAddress::Dial(_), .. }) => None,
            Self::Address(Address { build: BuildAddress::Listen(_, listens), arg, .. }) => Some((*listens, arg)),
            Self::Overlay(Overlay { row, inner, .. }) => {
                let (listens, arg) = inner.listens()?;
                let listens = match row.adds {
                    Some(Adds::Tls) => Listens { tls: true, ..listens },
                    Some(Adds::Http) => Listens { http: true, ..listens },
                    None => listens,
                };
                Some((listens, arg))
            }
        }
    }

    fn without_colon(rest: &str, at: usize, bare: Bare) -> SpecError {
        let span = at..at + rest.len();
        if rest.is_empty() {
            return SpecError { message: "an address is missing".into(), span, advice: None };
        }
        if registry::find(rest).is_some() {
            let advice = Some(format!("did you mean `{rest}:`?"));
            return SpecError { message: "the colon is missing".into(), span, advice };
        }
        let advice = match suggest::nearest(rest) {
            Some(near) => format!("did you mean `{near}:`?"),
            None if bare == Bare::Tcp => format!("did you mean `{rest}:443`?"),
            None if rest.contains(['.', '/']) => format!("did you mean `ws://{rest}`?"),
            None if rest.bytes().all(|b| b.is_ascii_digit()) => {
                format!("did you mean `-s {rest}`?")
            }
            None => "wsplice --help lists the addresses".into(),
        };
        SpecError { message: format!("`{rest}` is not an address"), span, advice: Some(advice) }
    }

    fn unknown(name: &str, at: usize) -> SpecError {
        let advice = match suggest::nearest(name) {
            Some(near) => format!("did you mean `{near}:`?"),
            None => "wsplice --help lists the addresses".into(),
        };
        SpecError { message: format!("unknown address type `{name}`"), span: at..at + name.len(), advice: Some(advice) }
    }
}

impl Address {
    /// Adds the position of the argument to [`Error::Argument`].
    pub fn point_at(&self, error: Error) -> Error {
        match error {
            Error::Argument { reason, example } => {
                let (text, span) = &self.place;
                let advice = Some(format!("for example `{example}`"));
                SpecError { message: reason, span: span.clone(), advice }.into_error(text)
            }
            other => other,
        }
    }
}

/// Checks the argument before the colon, as in `name=ARG:`.
fn check_argument(name: &str, wanted: Option<&str>, given: Option<&str>, span: Range<usize>) -> Result<(), SpecError> {
    let advice = wanted.map(|wanted| format!("write `{name}={wanted}:`"));
    let message = match (wanted, given) {
        (None, Some(_)) => format!("`{name}:` takes no argument before its colon"),
        (Some(wanted), None | Some("")) => format!("`{name}:` needs {wanted}"),
        _ => return Ok(()),
    };
    Err(SpecError { message, span, advice })
}

/// Whether the text after the colon of a host name is a port, with or without path and query: `80`, `80/path`, `80?query`.
fn starts_with_port(text: &str) -> bool {
    let port = text.split(['/', '?']).next().unwrap_or_default();
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hint(text: &str) -> String {
        match Spec::parse(text) {
            Ok(spec) => panic!("{text} parsed as {spec:?}"),
            Err(error) => error.hint().unwrap_or_default(),
        }
    }

    #[test]
    fn the_caret_points_at_a_typo_in_the_middle() {
        let text = "lines:tpc:127.0.0.1:80";
        assert_eq!(hint(text), format!("\n  {text}\n        ^^^ did you mean `tcp:`?"));
    }

    #[test]
    fn the_caret_is_in_the_right_column_after_letters_of_several_bytes() {
        assert!(hint("é.example:x").contains("\n  ^^^^^^^^^ "), "{}", hint("é.example:x"));
    }

    #[test]
    fn a_bare_host_and_port_is_a_websocket_url() -> Result<(), Error> {
        for text in ["localhost:80", "example.com:8080/chat?x=1", "[::1]:80/", "127.0.0.1:1"] {
            let spec = Spec::parse(text)?;
            assert_eq!(printed(&spec), format!("ws://{text}"));
        }
        Ok(())
    }

    #[test]
    fn a_bare_host_and_port_after_tls_is_a_tcp_address() -> Result<(), Error> {
        for text in ["tls:example.com:443", "tls-c:tcp:example.com:443"] {
            assert_eq!(printed(&Spec::parse(text)?), "tls:tcp:example.com:443", "{text}");
        }
        Ok(())
    }

    #[test]
    fn the_error_for_an_overlay_alone_has_an_example() {
        assert!(hint("log:").contains("for example"));
        assert!(hint("tcp:").contains("for example"));
    }

    #[test]
    fn too_many_overlays_before_a_letter_of_several_bytes_are_an_error() {
        assert!(hint(&format!("{}é", "log:".repeat(40))).ends_with('^'));
        assert!(hint(&format!("{}é:80", "log:".repeat(MAX_OVERLAYS + 1))).contains('^'));
    }

    /// The specifier with canonical names.
    fn printed(spec: &Spec) -> String {
        match spec {
            Spec::Overlay(Overlay { entry, argument: Some(argument), inner, .. }) => {
                format!("{}={argument}:{}", entry.name(), printed(inner))
            }
            Spec::Overlay(Overlay { entry, inner, .. }) => format!("{}:{}", entry.name(), printed(inner)),
            Spec::Address(Address { entry, arg, .. }) => format!("{}:{arg}", entry.name()),
        }
    }

    static TEE: Entry = Entry {
        names: &["tee-to"],
        arg: None,
        summary: "Copy messages to a file",
        details: "",
        example: "- tee-to=/tmp/x:mirror:",
        flags: &[],
        build: Build::Overlay(OverlayRow {
            argument: Some("FILE"),
            ..OverlayRow::new(|_, _| Err(Error::usage("it is never built")))
        }),
    };

    #[test]
    fn an_overlay_can_have_an_argument_of_its_own() {
        let parse = |text: &str| {
            let find: Find = |name| if name == "tee-to" { Some(&TEE) } else { registry::find(name) };
            Spec::parse_with(find, text)
        };
        let message = |text: &str| parse(text).expect_err("it is wrong").to_string();
        let spec = parse("log:tee-to=/tmp/a=b:tcp:127.0.0.1:80").expect("an address");
        assert_eq!(printed(&spec), "log:tee-to=/tmp/a=b:tcp:127.0.0.1:80");
        assert!(message("tee-to:mirror:").contains("needs FILE"));
        assert!(message("tee-to=:mirror:").contains("needs FILE"));
        assert!(message("log=x:mirror:").contains("takes no argument"));
        assert!(message("tcp=x:127.0.0.1:80").contains("takes no argument"));
    }

    fn address() -> impl Strategy<Value = String> {
        let names: Vec<_> = registry::table().flat_map(|entry| entry.names).copied().collect();
        let word =
            prop_oneof![prop::sample::select(names), Just("x"), Just("1.2.3.4"), Just("[::1]"), Just("é"), Just("")];
        (prop::collection::vec(word, 0..5), "[a-z0-9/.:?-]{0,10}")
            .prop_map(|(words, arg)| words.into_iter().chain([arg.as_str()]).collect::<Vec<_>>().join(":"))
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error(text in ".{0,60}") {
            let _ = Spec::parse(&text);
        }

        #[test]
        fn a_printed_address_parses_as_the_same_address(text in address()) {
            if let Ok(spec) = Spec::parse(&text) {
                let shown = printed(&spec);
                let again = Spec::parse(&shown);
                prop_assert_eq!(again.ok().map(|spec| printed(&spec)), Some(shown));
            }
        }
    }
}
