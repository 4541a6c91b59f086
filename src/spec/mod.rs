//! The grammar of addresses: `(overlay:)* type:[argument]`, parsed into a tree that remembers where each part was
//! written, so that errors can point at it.

mod suggest;

use crate::{
    error::Error,
    registry::{self, Build, Entry},
};
use std::ops::Range;

/// A parsed address specifier.
#[derive(Debug)]
pub struct Spec {
    /// The row.
    pub entry: &'static Entry,
    /// What stands behind the colon; empty for overlays.
    pub arg: String,
    /// The address that an overlay wraps.
    pub inner: Option<Box<Spec>>,
    /// The word that was typed, and where the argument stands in it; `None` where nothing was typed.
    place: Option<(String, Range<usize>)>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names[0])
    }
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
            format!("wrong address `{text}`: {}", self.message),
            format!("\n  {text}\n  {}{}{advice}", " ".repeat(before), "^".repeat(width)),
        )
    }
}

/// More than anybody needs in front of an address.
const MOST_OVERLAYS: usize = 32;

impl Spec {
    /// Parses one command-line word.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_at(text, 0, "ws").map_err(|error| error.into_error(text))
    }

    /// Parses what stands from `at` on. A bare `host:port` there is a `bare:` address.
    fn parse_at(text: &str, at: usize, bare: &str) -> Result<Self, SpecError> {
        let rest = &text[at..];
        // Each overlay is a call of this, and a stack ends.
        if text[..at].matches(':').count() > MOST_OVERLAYS {
            let message = format!("there are more than {MOST_OVERLAYS} overlays");
            let letter = rest.chars().next().map_or(0, char::len_utf8);
            return Err(SpecError { message, span: at..at + letter, advice: None });
        }
        if rest == "-" {
            return Ok(Self::row("stdio", ""));
        }
        let Some((name, arg)) = rest.split_once(':') else {
            return Err(Self::without_colon(rest, at, bare));
        };
        let behind = at + name.len() + 1;
        let Some(entry) = registry::find(name) else {
            let v6 = rest.starts_with('[').then(|| rest.split_once("]:")).flatten();
            let is_bare = match v6 {
                Some((_, behind)) => is_host_and_port(behind),
                None => is_host_and_port(arg) && !name.is_empty(),
            };
            // `tpc:80` is a slip rather than a host; who means the host can write ws://tpc:80, or the path.
            if is_bare && (v6.is_some() || arg.contains(['/', '?']) || suggest::nearest(name).is_none()) {
                let slashes = if bare == "ws" { "//" } else { "" };
                let place = Some((text.to_owned(), at..text.len()));
                return Ok(Self { place, ..Self::row(bare, &format!("{slashes}{rest}")) });
            }
            return Err(Self::unknown(name, at, arg));
        };
        if matches!(name, "http" | "https") && arg.starts_with("//") {
            return Err(Self::unknown(name, at, arg));
        }
        if let Build::Absent { why, .. } = entry.build {
            return Err(SpecError {
                message: format!("`{name}:` is not available"),
                span: at..at + name.len(),
                advice: Some(why.into()),
            });
        }
        if entry.build.is_overlay() {
            if arg.is_empty() {
                return Err(SpecError {
                    message: format!("the overlay `{name}:` needs an address behind it"),
                    span: behind - 1..behind,
                    advice: Some(format!("for example `{}`", entry.example)),
                });
            }
            let bare = if entry.arg.is_some() { "tcp" } else { bare };
            let inner = Self::parse_at(text, behind, bare)?;
            return Ok(Self { entry, arg: String::new(), inner: Some(Box::new(inner)), place: None });
        }
        match entry.arg {
            None if !arg.is_empty() => Err(SpecError {
                message: format!("`{name}:` takes nothing behind its colon"),
                span: behind..text.len(),
                advice: None,
            }),
            Some(wanted) if arg.is_empty() && !wanted.starts_with('[') => Err(SpecError {
                message: format!("`{name}:` needs {wanted} behind its colon"),
                span: behind - 1..behind,
                advice: Some(format!("for example `{}`", entry.example)),
            }),
            _ => Ok(Self { entry, arg: arg.into(), inner: None, place: Some((text.into(), behind..text.len())) }),
        }
    }

    /// Points at the argument when that is what an error is about.
    pub fn point_at(&self, error: Error) -> Error {
        match (error, &self.place) {
            (Error::Argument { reason, example }, Some((text, span))) => {
                let advice = Some(format!("for example `{example}`"));
                SpecError { message: reason, span: span.clone(), advice }.into_error(text)
            }
            (other, _) => other,
        }
    }

    /// A row that is known to exist, with an argument.
    pub fn row(name: &str, arg: &str) -> Self {
        match registry::find(name) {
            Some(entry) => Self { entry, arg: arg.into(), inner: None, place: None },
            None => unreachable!("`{name}:` is in the table"),
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
        SpecError { message: format!("`{rest}` is no address"), span, advice: Some(advice) }
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
            assert_eq!((spec.entry.names[0], spec.arg), ("ws", format!("//{text}")));
        }
        Ok(())
    }

    #[test]
    fn a_bare_host_and_port_behind_tls_is_a_tcp_address() -> Result<(), Error> {
        for text in ["tls:example.com:443", "tls-c:tcp:example.com:443"] {
            let spec = Spec::parse(text)?;
            let inner = spec.inner.map(|inner| (inner.entry.names[0], inner.arg));
            assert_eq!(inner, Some(("tcp", "example.com:443".into())), "{text}");
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
        assert!(hint(&format!("{}é:80", "log:".repeat(MOST_OVERLAYS + 1))).contains('^'));
    }

    /// As it would be typed with each row's first name.
    fn printed(spec: &Spec) -> String {
        match &spec.inner {
            Some(inner) => format!("{}:{}", spec.entry.names[0], printed(inner)),
            None => format!("{}:{}", spec.entry.names[0], spec.arg),
        }
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
