//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).

use std::fmt;

/// One member of the header: a name, and parameters with or without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// A token.
    pub name: String,
    /// In order; names and values are tokens.
    pub parameters: Vec<(String, Option<String>)>,
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.parameters.iter().try_for_each(|(name, value)| match value {
            Some(value) => write!(f, "; {name}={value}"),
            None => write!(f, "; {name}"),
        })
    }
}

/// Parses header lines as one list. `None` if they break the grammar.
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<Extension>> {
    let mut members = Vec::new();
    for header in headers {
        let mut rest = Rest(header);
        loop {
            // Empty members are allowed in every HTTP list (RFC 9110 section 5.6.1).
            while rest.takes(b',') {}
            if rest.is_empty() {
                break;
            }
            let mut extension = Extension { name: rest.token()?, parameters: Vec::new() };
            while rest.takes(b';') {
                let name = rest.token()?;
                let value = if rest.takes(b'=') { Some(rest.value()?) } else { None };
                extension.parameters.push((name, value));
            }
            members.push(extension);
            if !rest.takes(b',') && !rest.is_empty() {
                return None;
            }
        }
    }
    Some(members)
}

/// The rest of a header line.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn is_empty(&mut self) -> bool {
        self.skip_spaces();
        self.0.is_empty()
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Option<String> {
        self.skip_spaces();
        let length = self.0.iter().position(|byte| !is_token(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        (length > 0).then(|| String::from_utf8_lossy(token).into_owned())
    }

    /// A token, or a quoted one, in which backslashes are allowed.
    fn value(&mut self) -> Option<String> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = String::new();
        loop {
            let (mut byte, mut rest) = self.0.split_first()?;
            if *byte == b'"' {
                self.0 = rest;
                return Some(value).filter(|value| !value.is_empty());
            }
            if *byte == b'\\' {
                (byte, rest) = rest.split_first()?;
            }
            if !is_token(*byte) {
                return None;
            }
            value.push(char::from(*byte));
            self.0 = rest;
        }
    }
}

/// Whether a token may contain this byte (RFC 9110 section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}"
    }

    fn extension() -> impl Strategy<Value = Extension> {
        let parameters = prop::collection::vec((token(), prop::option::of(token())), 0..4);
        (token(), parameters).prop_map(|(name, parameters)| Extension { name, parameters })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(list in prop::collection::vec(extension(), 0..5), lines in 1..4usize) {
            let printed: Vec<String> = list.iter().map(Extension::to_string).collect();
            let headers: Vec<String> = printed.chunks(lines).map(|line| line.join(" ,")).collect();
            prop_assert_eq!(parse(headers.iter().map(String::as_bytes)), Some(list));
        }

        #[test]
        fn any_bytes_are_read_or_refused(header in prop::collection::vec(any::<u8>(), 0..100)) {
            parse([&header[..]]);
        }

        #[test]
        fn any_list_of_its_letters_is_read_or_refused(header in "[a,;=\"\\\\ ]{0,20}") {
            parse([header.as_bytes()]);
        }
    }

    #[test]
    fn quoted_values_empty_members_and_several_lines_are_read() {
        let headers: [&[u8]; 2] = [b" a ; b = \"1\\5\";c,, d", b",e;f"];
        let list = parse(headers).expect("a list");
        let shown: Vec<String> = list.iter().map(Extension::to_string).collect();
        assert_eq!(shown, ["a; b=15; c", "d", "e; f"]);
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for wrong in ["a b", "a;", "a;=1", "a;b=", "a;b=\"\"", "a;b=\"1", "a;b=\"1 2\"", "a;b=\"\\", ";a", "a\u{e9}"] {
            assert_eq!(parse([wrong.as_bytes()]), None, "{wrong}");
        }
    }
}
