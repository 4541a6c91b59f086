//! Where JSON values (RFC 8259) begin and end in a stream of bytes, and where they are wrong.

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line, from 1.
    pub line: u64,
    /// The character in the line, from 1.
    pub column: u64,
    /// What was expected there.
    pub reason: String,
}

/// What a piece of the stream holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes before the value. They are 0 within a value.
    pub skipped: usize,
    /// Bytes behind those that belong to the value.
    pub length: usize,
    /// Whether the value ends with them.
    pub is_complete: bool,
}

/// Reads a stream of values, which may follow each other with or without space between them, byte by byte. It keeps nothing but
/// its place, so a value may arrive in any number of pieces.
pub struct Scanner {
    state: State,
    /// The arrays and objects around the place, outermost first.
    nesting: Vec<Container>,
    /// The most of them.
    max_depth: usize,
    line: u64,
    column: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value comes next. Between two values of the stream, it may also end.
    Value,
    /// Behind `[`.
    FirstValue,
    /// Behind `{`.
    FirstName,
    /// Behind a comma in an object.
    Name,
    /// Behind a name.
    Colon,
    /// Behind a value in a container.
    Comma,
    String(Role),
    Escape(Role),
    /// So many hexadecimal digits are missing.
    Hex(Role, u8),
    /// These letters are missing.
    Literal(&'static [u8]),
    Number(Digits),
}

/// What a string is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Name,
    Value,
}

/// How far a number has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Digits {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

/// What a byte is.
enum Step {
    /// Space between values.
    Between,
    /// A part of a value.
    Inside,
    /// The last byte of a value.
    Last,
    /// The value, a number, has ended before it.
    Behind,
}

impl Scanner {
    /// A scanner at the start of a stream, whose values may be nested so deep.
    pub fn new(max_depth: usize) -> Self {
        Self { state: State::Value, nesting: Vec::new(), max_depth, line: 1, column: 1 }
    }

    /// Reads up to the end of a value, or all of `bytes`.
    ///
    /// # Errors
    /// What is not JSON.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scan, Wrong> {
        let mut skipped = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let State::String(_) = self.state {
                let rest = bytes.get(at..).unwrap_or_default();
                let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20)).unwrap_or(rest.len());
                if plain > 0 {
                    self.count(rest.get(..plain).unwrap_or_default());
                    at += plain;
                    continue;
                }
            }
            let step = self.step(byte).map_err(|reason| self.wrong(reason))?;
            if let Step::Behind = step {
                return Ok(Scan { skipped, length: at - skipped, is_complete: true });
            }
            self.count(&[byte]);
            at += 1;
            match step {
                Step::Between => skipped = at,
                Step::Last => return Ok(Scan { skipped, length: at - skipped, is_complete: true }),
                Step::Inside | Step::Behind => {}
            }
        }
        Ok(Scan { skipped, length: at - skipped, is_complete: false })
    }

    /// The end of the stream; returns whether a value, a number, ends with it.
    ///
    /// # Errors
    /// It is within a value.
    pub fn end(&mut self) -> Result<bool, Wrong> {
        match self.state {
            State::Value if self.nesting.is_empty() => Ok(false),
            State::Number(digits) if self.nesting.is_empty() && digits.may_end() => {
                self.state = State::Value;
                Ok(true)
            }
            _ => Err(self.wrong("it ends within a value".into())),
        }
    }

    fn wrong(&self, reason: String) -> Wrong {
        Wrong { line: self.line, column: self.column, reason }
    }

    fn count(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => (self.line, self.column) = (self.line + 1, 1),
                // Those after the first byte of a character.
                0x80..0xc0 => {}
                _ => self.column += 1,
            }
        }
    }

    fn step(&mut self, byte: u8) -> Result<Step, String> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match self.state {
            // RFC 7464 puts a record separator before each value.
            State::Value if self.nesting.is_empty() && (is_space || byte == 0x1e) => return Ok(Step::Between),
            State::Value | State::FirstValue | State::FirstName | State::Name | State::Colon | State::Comma
                if is_space => {}
            State::FirstValue if byte == b']' => return Ok(self.close()),
            State::Value | State::FirstValue => return self.begin(byte),
            State::FirstName if byte == b'}' => return Ok(self.close()),
            State::FirstName | State::Name if byte == b'"' => self.state = State::String(Role::Name),
            State::FirstName | State::Name => return Err("expected a name in quotes".into()),
            State::Colon if byte == b':' => self.state = State::Value,
            State::Colon => return Err("expected a colon".into()),
            State::Comma => match (byte, self.nesting.last()) {
                (b',', Some(Container::Array)) => self.state = State::Value,
                (b',', Some(Container::Object)) => self.state = State::Name,
                (b']', Some(Container::Array)) | (b'}', Some(Container::Object)) => return Ok(self.close()),
                (_, Some(Container::Array)) => return Err("expected a comma or ]".into()),
                _ => return Err("expected a comma or }".into()),
            },
            State::String(Role::Name) if byte == b'"' => self.state = State::Colon,
            State::String(Role::Value) if byte == b'"' => return Ok(self.value_ended()),
            State::String(role) if byte == b'\\' => self.state = State::Escape(role),
            State::String(_) if byte < 0x20 => return Err("a string cannot contain a control character".into()),
            State::String(_) => {}
            State::Escape(role) => match byte {
                b'u' => self.state = State::Hex(role, 4),
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.state = State::String(role),
                _ => return Err("no such escape".into()),
            },
            State::Hex(role, left) if byte.is_ascii_hexdigit() => {
                self.state = if left > 1 { State::Hex(role, left - 1) } else { State::String(role) };
            }
            State::Hex(..) => return Err("expected four hexadecimal digits".into()),
            State::Literal([next, rest @ ..]) if *next == byte => match rest {
                [] => return Ok(self.value_ended()),
                _ => self.state = State::Literal(rest),
            },
            State::Literal(_) => return Err("expected true, false or null".into()),
            State::Number(digits) => match digits.next(byte) {
                Some(digits) => self.state = State::Number(digits),
                None if !digits.may_end() => return Err("expected a digit".into()),
                None if self.nesting.is_empty() => {
                    self.state = State::Value;
                    return Ok(Step::Behind);
                }
                None => {
                    self.state = State::Comma;
                    return self.step(byte);
                }
            },
        }
        Ok(Step::Inside)
    }

    fn begin(&mut self, byte: u8) -> Result<Step, String> {
        self.state = match byte {
            b'{' => self.open(Container::Object)?,
            b'[' => self.open(Container::Array)?,
            b'"' => State::String(Role::Value),
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            b'-' => State::Number(Digits::Minus),
            b'0' => State::Number(Digits::Zero),
            b'1'..=b'9' => State::Number(Digits::Integer),
            _ => return Err("expected a value".into()),
        };
        Ok(Step::Inside)
    }

    fn open(&mut self, container: Container) -> Result<State, String> {
        if self.nesting.len() == self.max_depth {
            return Err(format!("it is nested deeper than {} levels", self.max_depth));
        }
        self.nesting.push(container);
        Ok(match container {
            Container::Array => State::FirstValue,
            Container::Object => State::FirstName,
        })
    }

    fn close(&mut self) -> Step {
        self.nesting.pop();
        self.value_ended()
    }

    fn value_ended(&mut self) -> Step {
        if self.nesting.is_empty() {
            self.state = State::Value;
            Step::Last
        } else {
            self.state = State::Comma;
            Step::Inside
        }
    }
}

impl Digits {
    /// The state behind this byte, if it belongs to the number.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Power)
    }
}

/// Whether this is one JSON value that is not nested deeper than `max_depth`.
#[cfg(any(feature = "jq", test))]
pub fn is_value(bytes: &[u8], max_depth: usize) -> bool {
    let mut scanner = Scanner::new(max_depth);
    let Ok(first) = scanner.scan(bytes) else { return false };
    let rest = bytes.get(first.skipped + first.length..).unwrap_or_default();
    match first.is_complete {
        true => rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')),
        false => scanner.end() == Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// The values of a stream that arrives in pieces of `size` bytes.
    fn values(text: &str, size: usize) -> Result<Vec<String>, Wrong> {
        let mut scanner = Scanner::new(100);
        let (mut all, mut value) = (Vec::new(), Vec::new());
        for mut piece in text.as_bytes().chunks(size) {
            while !piece.is_empty() {
                let scan = scanner.scan(piece)?;
                assert!(scan.skipped == 0 || value.is_empty(), "space is skipped before values only");
                value.extend_from_slice(&piece[scan.skipped..scan.skipped + scan.length]);
                piece = &piece[scan.skipped + scan.length..];
                if scan.is_complete {
                    all.push(String::from_utf8(std::mem::take(&mut value)).expect("UTF-8"));
                }
            }
        }
        if scanner.end()? {
            all.push(String::from_utf8(value).expect("UTF-8"));
        }
        Ok(all)
    }

    #[test]
    fn values_end_where_they_end_however_they_arrive() {
        let text = " {\"a\": [1,\n 2.5e-3 , {}]}\n[]\"x\\\"\\u00e9 }\"-0 12true\u{1e}null\n{\"b\":\"\"} 7";
        let expected = [
            "{\"a\": [1,\n 2.5e-3 , {}]}",
            "[]",
            "\"x\\\"\\u00e9 }\"",
            "-0",
            "12",
            "true",
            "null",
            "{\"b\":\"\"}",
            "7",
        ];
        for size in 1..=text.len() {
            assert_eq!(values(text, size).expect("JSON"), expected, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, line, column, reason) in [
            ("{\"a\":1}\n{\"b\" 2}", 2, 6, "a colon"),
            ("[1 2]", 1, 4, "a comma or ]"),
            ("{\"a\":1,}", 1, 8, "a name"),
            ("{\"é\":x}", 1, 6, "a value"),
            ("[1,]", 1, 4, "a value"),
            ("\"a\nb\"", 1, 3, "control character"),
            ("\"\\x\"", 1, 3, "escape"),
            ("-x", 1, 2, "a digit"),
            ("01x", 1, 3, "a value"),
            ("nul", 1, 4, "ends within"),
            ("[", 1, 2, "ends within"),
            ("hello", 1, 1, "a value"),
            (&"[".repeat(101), 1, 101, "nested deeper than 100"),
        ] {
            let wrong = values(text, 3).expect_err(text);
            assert_eq!((wrong.line, wrong.column), (line, column), "{text}: {}", wrong.reason);
            assert!(wrong.reason.contains(reason), "{text}: {}", wrong.reason);
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_parser(text in "[\\[\\]{}\",:0-9tn.eE+ \\\\-]{0,12}|\\{\"a\":[0-9.e\\[\\]\"-]{0,6}\\}") {
            prop_assert_eq!(is_value(text.as_bytes(), 100), serde_json::from_str::<Value>(&text).is_ok() || is_beyond(&text), "{}", text);
        }
    }

    /// Numbers that no f64 holds, which are JSON all the same.
    fn is_beyond(text: &str) -> bool {
        serde_json::from_str::<Value>(text).is_err_and(|error| error.to_string().contains("number out of range"))
            && is_value(text.as_bytes(), 100)
    }
}
