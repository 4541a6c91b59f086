//! The grammar of addresses: `(overlay:)* type:[argument]`, parsed into a tree that remembers where each part was
//! written, so that errors can point at it.

mod suggest;

use crate::{
    endpoint::{Adds, Bare, Build, BuildDial, BuildListen, Entry, Listens, OverlayRow},
    error::Error,
    registry,
};
use std::ops::Range;

/// A parsed address specifier.
#[derive(Debug)]
pub enum Spec {
    /// An end of its own.
    Address(Address),
    /// An overlay around another.
    Overlay(Overlay),
}

/// An address as it was typed.
#[derive(Debug)]
pub struct Address {
    /// Its row.
    pub entry: &'static Entry,
    /// How its row builds it.
    pub build: BuildAddress,
    /// What stands behind the colon.
    pub arg: String,
    /// The word that was typed, and where the argument stands in it.
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
    /// Its row.
    pub entry: &'static Entry,
    /// How its row builds it.
    pub row: &'static OverlayRow,
    /// Its own argument, as in `name=ARG:`.
    pub argument: Option<String>,
    /// What it wraps.
    pub inner: Box<Spec>,
}

/// Why a specifier does not parse.
struct SpecError {
    message: String,
    span: Range<usize>,
    advice: Option<String>,
}

impl SpecError {
    /// One line that says what is wrong, and a hint with the specifier, a caret line and advice.
    fn into_error(self, text: &str) -> Error {
        // Columns are counted in characters, so that the caret is right behind non-ASCII text too.
        let before = text[..self.span.start].chars().count();
        let width = text[self.span.clone()].chars().count().max(1);
        let advice = self.advice.map(|advice| format!(" {advice}")).unwrap_or_default();
        Error::usage_hint(
            format!("invalid address `{text}`: {}", self.message),
            format!("\n  {text}\n  {}{}{advice}", " ".repeat(before), "^".repeat(width)),
        )
    }
}

/// More than anybody needs in front of an address.
const MAX_OVERLAYS: usize = 32;

/// Where rows are looked up by name.
type Find = fn(&str) -> Option<&'static Entry>;

impl Spec {
    /// Parses one command-line word.
    ///
    /// # Errors
    /// A usage error that points at what is wrong.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(registry::find, text)
    }

    fn parse_with(find: Find, text: &str) -> Result<Self, Error> {
        Self::parse_at(find, text, 0, "ws").map_err(|error| error.into_error(text))
    }

    /// Parses what stands from `at` on. A bare `host:port` there is a `bare:` address.
    fn parse_at(find: Find, text: &str, at: usize, bare: &str) -> Result<Self, SpecError> {
        let rest = &text[at..];
        // Each overlay is a call of this, and a stack ends.
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
        let behind = text.len() - arg.len();
        let (name, argument) = match word.split_once('=') {
            Some((name, argument)) if find(name).is_some() => (name, Some(argument)),
            _ => (word, None),
        };
        let Some(entry) = find(name) else {
            return Self::bare(find, text, at, bare).unwrap_or_else(|| Err(Self::unknown(name, at, arg)));
        };
        if matches!(name, "http" | "https") && arg.starts_with("//") {
            return Err(Self::unknown(name, at, arg));
        }
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
                        span: behind - 1..behind,
                        advice: Some(format!("for example `{}`", entry.example)),
                    });
                }
                let bare = if row.bare == Bare::Tcp { "tcp" } else { bare };
                let inner = Box::new(Self::parse_at(find, text, behind, bare)?);
                return Ok(Self::Overlay(Overlay { entry, row, argument: argument.map(str::to_owned), inner }));
            }
            Build::Dial(build) => BuildAddress::Dial(*build),
            Build::Listen(build, listens) => BuildAddress::Listen(*build, *listens),
        };
        check_argument(name, None, argument, at..at + word.len())?;
        match entry.arg {
            None if !arg.is_empty() => Err(SpecError {
                message: format!("`{name}:` takes no argument"),
                span: behind..text.len(),
                advice: None,
            }),
            Some(wanted) if arg.is_empty() && !wanted.starts_with('[') => Err(SpecError {
                message: format!("`{name}:` needs {wanted} after its colon"),
                span: behind - 1..behind,
                advice: Some(format!("for example `{}`", entry.example)),
            }),
            _ => {
                let place = (text.to_owned(), behind..text.len());
                Ok(Self::Address(Address { entry, build, arg: arg.into(), place }))
            }
        }
    }

    /// What stands from `at` on as a URL without its scheme or as `HOST:PORT`, if it is one.
    fn bare(find: Find, text: &str, at: usize, bare: &str) -> Option<Result<Self, SpecError>> {
        let rest = &text[at..];
        let (name, arg) = rest.split_once(':')?;
        let v6 = rest.starts_with('[').then(|| rest.split_once("]:")).flatten();
        let is_bare = match v6 {
            Some((_, behind)) => is_host_and_port(behind),
            None => is_host_and_port(arg) && !name.is_empty(),
        };
        // `tpc:80` is a slip rather than a host; who means the host can write ws://tpc:80, or the path.
        if !is_bare || (v6.is_none() && !arg.contains(['/', '?']) && suggest::nearest(name).is_some()) {
            return None;
        }
        let entry = find(bare)?;
        let build = match entry.build {
            Build::Dial(build) => BuildAddress::Dial(build),
            _ => return None,
        };
        let slashes = if bare == "ws" { "//" } else { "" };
        let place = (text.to_owned(), at..text.len());
        Some(Ok(Self::Address(Address { entry, build, arg: format!("{slashes}{rest}"), place })))
    }

    /// The row of its outermost part.
    pub fn entry(&self) -> &'static Entry {
        match self {
            Self::Address(address) => address.entry,
            Self::Overlay(overlay) => overlay.entry,
        }
    }

    /// Where it listens with what its clients speak; `None` where it is dialled.
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

    fn without_colon(rest: &str, at: usize, bare: &str) -> SpecError {
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
            None if bare == "tcp" => format!("did you mean `{rest}:443`?"),
            None if rest.contains(['.', '/']) => format!("did you mean `ws://{rest}`?"),
            None if rest.bytes().all(|b| b.is_ascii_digit()) => {
                format!("did you mean `-s {rest}`?")
            }
            None => "wsplice --help lists the addresses".into(),
        };
        SpecError { message: format!("`{rest}` is not an address"), span, advice: Some(advice) }
    }

    fn unknown(name: &str, at: usize, arg: &str) -> SpecError {
        let advice = match name {
            "http" => format!("did you mean `ws:{arg}`?"),
            "https" => format!("did you mean `wss:{arg}`?"),
            _ => match suggest::nearest(name) {
                Some(near) => format!("did you mean `{near}:`?"),
                None => "wsplice --help lists the addresses".into(),
            },
        };
        SpecError { message: format!("unknown address type `{name}`"), span: at..at + name.len(), advice: Some(advice) }
    }
}

impl Address {
    /// Points at the argument when that is what an error is about.
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

/// Whether an overlay has the argument that it wants, as in `name=ARG:`.
fn check_argument(name: &str, wanted: Option<&str>, given: Option<&str>, span: Range<usize>) -> Result<(), SpecError> {
    let advice = wanted.map(|wanted| format!("write `{name}={wanted}:`"));
    let message = match (wanted, given) {
        (None, Some(_)) => format!("`{name}:` takes no argument before its colon"),
        (Some(wanted), None | Some("")) => format!("`{name}:` needs {wanted}"),
        _ => return Ok(()),
    };
    Err(SpecError { message, span, advice })
}

/// Whether what stands behind a host name's colon makes it a URL without its scheme: `80`, `80/path`, `80?query`.
fn is_host_and_port(behind: &str) -> bool {
    let port = behind.split(['/', '?']).next().unwrap_or_default();
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
    fn a_typo_in_the_middle_is_pointed_at() {
        let text = "lines:tpc:127.0.0.1:80";
        assert_eq!(hint(text), format!("\n  {text}\n        ^^^ did you mean `tcp:`?"));
    }

    #[test]
    fn the_caret_is_right_behind_letters_of_more_than_one_byte() {
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
    fn a_bare_host_and_port_behind_tls_is_a_tcp_address() -> Result<(), Error> {
        for text in ["tls:example.com:443", "tls-c:tcp:example.com:443"] {
            assert_eq!(printed(&Spec::parse(text)?), "tls:tcp:example.com:443", "{text}");
        }
        Ok(())
    }

    #[test]
    fn http_urls_are_told_their_websocket_scheme() {
        assert!(hint("https://example.com/x").ends_with("did you mean `wss://example.com/x`?"));
    }

    #[test]
    fn an_overlay_alone_is_told_what_it_needs() {
        assert!(hint("log:").contains("for example"));
        assert!(hint("tcp:").contains("for example"));
    }

    #[test]
    fn the_overlay_too_many_may_be_a_letter_of_more_than_one_byte() {
        assert!(hint(&format!("{}é", "log:".repeat(40))).ends_with('^'));
        assert!(hint(&format!("{}é:80", "log:".repeat(MAX_OVERLAYS + 1))).contains('^'));
    }

    /// As it would be typed with each row's first name.
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
        summary: "Copy what passes to a file",
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
        fn what_is_printed_of_an_address_is_the_same_address(text in address()) {
            if let Ok(spec) = Spec::parse(&text) {
                let shown = printed(&spec);
                let again = Spec::parse(&shown);
                prop_assert_eq!(again.ok().map(|spec| printed(&spec)), Some(shown));
            }
        }
    }
}
