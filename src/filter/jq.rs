//! Programs in the language of jq, run by jaq.
//!
//! A program may never end, and nothing stops jaq. So it is asked for its look-up table in each step, which is the place where a
//! budget of time and stack is checked; a program that is beyond it is unwound. `program.rs` stops a step that takes too much.

use super::{Malformed, Pattern};
use crate::json;
use base64::{Engine, engine::general_purpose::STANDARD};
use jaq_core::{
    Compiler, Ctx, DataT, Exn, Lut, Vars,
    data::HasLut,
    load::{self, Arena, File, Loader, parse::Def},
    native::{Filter as Native, Fun, bome, run, v},
};
use jaq_json::{Val, ValR, ValX, read};
use jaq_std::ValT as _;
use std::{
    any::Any,
    cell::Cell,
    cmp::Ordering,
    fmt::{self, Write as _},
    io, iter,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
    thread::{self, Builder},
    time::{Duration, Instant, SystemTime},
};

/// The most results that it may have for one.
const MAX_RESULTS: usize = 10_000;
/// The same in bytes.
const MAX_BYTES: usize = 64 << 20;
/// Stacks for the parser, the first that the system allows. Only what is used of them is in memory.
const STACKS: &[usize] =
    if cfg!(target_pointer_width = "64") { &[4 << 30, 1 << 30, 256 << 20, 64 << 20] } else { &[64 << 20] };
/// The longest error of a program, in bytes.
const MAX_REASON: usize = 4 << 10;
/// The longest text of a program. What is parsed recursively cannot be nested deeper than its length.
const MAX_TEXT: usize = 64 << 10;
/// The most brackets around a part of a program.
const MAX_BRACKETS: usize = 256;

/// Why a program was stopped.
pub const TOO_LATE: &str = "it was busy for more than a second";
const TOO_MUCH: &str = "it has more than 10000 results, or more than 64 MiB of them";
const TOO_RECURSIVE: &str = "it called itself too often (recursion is limited)";

/// Steps between two looks at the clock.
const STEPS: usize = 64;
/// Messages that are nested deeper are not JSON for a program: jaq reads them recursively.
const MAX_DEPTH: usize = 256;

/// A program. It runs on any thread.
pub struct Jq(jaq_core::Filter<Machine>);

/// Why a program has no results for a message.
#[derive(Debug, PartialEq, Eq)]
pub enum JqError {
    /// The message is not JSON.
    NotJson,
    /// The message is JSON that is nested deeper than 256 levels.
    TooDeep,
    /// The program failed, for example because it looked for a name in a number.
    Failed(String),
    /// It took too long or too much memory, or had too many results. Says which.
    Endless(String),
    /// The system does not start a process for it. Says why.
    NoProcess(String),
}

/// Runs `work` on a thread of its own, which has a large stack.
///
/// # Errors
/// The system has no memory for any of these stacks.
fn with_large_stack<T: Send>(work: impl Fn() -> T + Sync) -> Result<T, String> {
    let mut last = io::Error::from(io::ErrorKind::OutOfMemory);
    for &size in STACKS {
        let done = thread::scope(|scope| {
            let builder = Builder::new().name("jq".into()).stack_size(size);
            Ok(builder.spawn_scoped(scope, &work)?.join())
        });
        match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(panicked)) => resume_unwind(panicked),
            Err(error) => last = error,
        }
    }
    Err(format!("there is no memory for it: {last}"))
}

/// A text of which no more than `left` bytes are written.
struct Bounded {
    text: String,
    left: usize,
}

impl Bounded {
    fn new(left: usize) -> Self {
        Self { text: String::new(), left }
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.left = self.left.checked_sub(part.len()).ok_or(fmt::Error)?;
        self.text.push_str(part);
        Ok(())
    }
}

/// The text of an error, or its start: it may show a value.
fn reason_of(error: &jaq_json::Error) -> String {
    let mut bounded = Bounded::new(MAX_REASON);
    if write!(bounded, "{error}").is_err() {
        bounded.text.push('\u{2026}');
    }
    bounded.text
}

impl Jq {
    /// Compiles a program.
    ///
    /// # Errors
    /// It is not one.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed =
            |start: usize, reason: String| Malformed { text: text.to_owned(), span: start..start + 1, reason };
        if text.len() > MAX_TEXT {
            let reason = format!("the program is longer than {} KiB", MAX_TEXT >> 10);
            return Err(Malformed { text: String::new(), span: 0..0, reason });
        }
        if let Some(start) = too_nested(text) {
            return Err(malformed(start, format!("there are more than {MAX_BRACKETS} brackets around this")));
        }
        // As in jq.
        let text = if text.trim_ascii().is_empty() { "." } else { text };
        with_large_stack(|| Self::compile(text)).unwrap_or_else(|reason| Err(malformed(0, reason)))
    }

    fn compile(text: &str) -> Result<Self, Malformed> {
        let malformed = |(found, reason): (&str, String)| {
            let span = place(text, found);
            Malformed { text: text.to_owned(), span, reason }
        };
        let defs = jaq_core::defs().chain(jaq_std::defs().filter(is_available)).chain(jaq_json::defs());
        let arena = Arena::default();
        let modules = Loader::new(defs)
            .load(&arena, File { code: text, path: () })
            .and_then(|modules| {
                // It would fail for each message.
                load::import(&modules, |_| Err("files cannot be imported".into()))?;
                Ok(modules)
            })
            .map_err(|errors| malformed(errors.into_iter().find_map(|(_, error)| first(error)).unwrap_or(BAD)))?;
        let filter = Compiler::default().with_funs(functions()).compile(modules).map_err(|errors| {
            let undefined = errors.into_iter().flat_map(|(_, errors)| errors).next();
            malformed(undefined.map_or(BAD, |(name, what)| (name, format!("there is no {} {name}", what.as_str()))))
        })?;
        Ok(Self(filter))
    }

    /// The results for a message, each a JSON text.
    ///
    /// # Errors
    /// See [`JqError`].
    pub fn results(&self, message: &[u8], budget: Budget) -> Result<Vec<String>, JqError> {
        let mut results = Vec::new();
        let mut left = MAX_BYTES;
        self.run(message, budget, |value| {
            let mut bounded = Bounded::new(left);
            if write!(bounded, "{value}").is_err() || results.len() == MAX_RESULTS {
                return Err(JqError::Endless(TOO_MUCH.into()));
            }
            left = bounded.left;
            results.push(bounded.text);
            Ok(true)
        })?;
        Ok(results)
    }

    /// Whether a result for a message is neither `false` nor `null`.
    ///
    /// # Errors
    /// See [`JqError`].
    pub fn is_match(&self, message: &[u8], budget: Budget) -> Result<bool, JqError> {
        let mut is_match = false;
        self.run(message, budget, |value| {
            is_match = !matches!(value, Val::Null | Val::Bool(false));
            Ok(!is_match)
        })?;
        Ok(is_match)
    }

    /// Gives each result to `take`, until that wants no more.
    fn run(
        &self,
        message: &[u8],
        budget: Budget,
        mut take: impl FnMut(Val) -> Result<bool, JqError>,
    ) -> Result<(), JqError> {
        if !json::is_value(message, MAX_DEPTH) {
            return Err(if json::is_value(message, usize::MAX) { JqError::TooDeep } else { JqError::NotJson });
        }
        let input = read::parse_single(message).map_err(|_| JqError::NotJson)?;
        let meter = Meter::new(budget);
        let machine = Run { lut: &self.0.lut, meter: &meter };
        let run = || {
            let context = Ctx::<Machine>::new(machine, Vars::new([]));
            for result in self.0.id.run((context, input)) {
                let goes_on = match result.map_err(Exn::get_err) {
                    Ok(value) => take(value)?,
                    Err(Ok(error)) => return Err(JqError::Failed(reason_of(&error))),
                    // The program asks to end.
                    Err(Err(_)) => false,
                };
                if !goes_on {
                    break;
                }
            }
            Ok(())
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result,
            Err(panicked) => Err(match panicked.downcast_ref::<Stopped>() {
                Some(Stopped(cause)) => JqError::Endless((*cause).to_owned()),
                None => JqError::Failed(reason(&*panicked)),
            }),
        }
    }
}

fn reason(panicked: &(dyn Any + Send)) -> String {
    panicked.downcast_ref::<String>().cloned().unwrap_or_else(|| "it cannot be calculated".into())
}

/// What a program works with.
struct Machine;

impl DataT for Machine {
    type V<'a> = Val;
    type Data<'a> = Run<'a>;
}

/// A run of a program.
#[derive(Clone, Copy)]
struct Run<'a> {
    lut: &'a Lut<Machine>,
    meter: &'a Meter,
}

impl<'a> HasLut<'a, Machine> for Run<'a> {
    fn lut(&self) -> &'a Lut<Machine> {
        self.meter.step();
        self.lut
    }
}

/// The payload with which a program is unwound: the limit that it is beyond.
struct Stopped(&'static str);

/// What a program may take for a message.
#[derive(Clone, Copy)]
pub struct Budget {
    /// The longest time.
    pub time: Duration,
    /// The bytes of the thread's stack between its steps.
    pub stack: usize,
}

/// What it has taken.
struct Meter {
    end: Instant,
    steps: Cell<usize>,
    /// Where the stack was at the start.
    start: usize,
    /// The most that may be taken of it, in bytes.
    stack: usize,
}

impl Meter {
    fn new(Budget { time, stack }: Budget) -> Self {
        Self { end: Instant::now() + time, steps: Cell::new(0), start: stack_pointer(), stack }
    }

    /// Unwinds the program if it is beyond the budget.
    fn step(&self) {
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        let cause = if self.start.abs_diff(stack_pointer()) > self.stack {
            TOO_RECURSIVE
        } else if steps.is_multiple_of(STEPS) && Instant::now() >= self.end {
            TOO_LATE
        } else {
            return;
        };
        resume_unwind(Box::new(Stopped(cause)));
    }
}

/// About where the stack is.
#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    ptr::from_ref(&here).addr()
}

/// Definitions of jaq's library that need functions which are left out: of mathematics, dates and most formats. Of those for regular
/// expressions only `test` is here, with our own engine.
const LEFT_OUT: &[(&str, usize)] = &[
    ("stderr", 0),
    ("debug", 0),
    ("debug", 1),
    ("halt_error", 0),
    ("halt_error", 1),
    ("logb", 0),
    ("significand", 0),
    ("pow10", 0),
    ("drem", 2),
    ("nexttoward", 2),
    ("scalb", 2),
    ("gamma", 0),
    ("test", 1),
    ("test", 2),
    ("scan_", 2),
    ("scan", 1),
    ("scan", 2),
    ("match", 1),
    ("match", 2),
    ("capture", 1),
    ("capture", 2),
    ("split", 2),
    ("splits", 1),
    ("splits", 2),
    ("sub", 2),
    ("sub", 3),
    ("gsub", 2),
    ("gsub", 3),
    ("todate", 0),
    ("fromdate", 0),
    ("@html", 0),
    ("@htmld", 0),
    ("@uri", 0),
    ("@urid", 0),
];

fn is_available(def: &Def) -> bool {
    !LEFT_OUT.contains(&(def.name, def.args.len()))
}

fn functions() -> impl Iterator<Item = Fun<Machine>> {
    // jaq's own runs through an endless range in one step.
    let core = jaq_core::funs().filter(|(name, ..)| *name != "range");
    // It would read any depth.
    let json = jaq_json::funs().filter(|(name, ..)| *name != "fromjson");
    let own: [Native<jaq_core::RunPtr<Machine>>; 7] = [
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("range", v(3), |mut cv| {
            let run = *cv.0.data();
            let (by, to, from) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
            Box::new(range(run, from, to, by))
        }),
        ("test", v(1), |mut cv| {
            let pattern = cv.0.pop_var();
            bome(test(&cv.1, &pattern, &Val::from(String::new())))
        }),
        ("test", v(2), |mut cv| {
            let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var());
            bome(test(&cv.1, &pattern, &flags))
        }),
        ("now", v(0), |_| {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            bome(Ok(Val::from(now.as_secs_f64())))
        }),
        ("encode_base64", v(0), |cv| bome(Ok(Val::from(STANDARD.encode(cv.1.as_bytes().unwrap_or_default()))))),
        ("decode_base64", v(0), |cv| {
            let decoded = STANDARD.decode(cv.1.as_bytes().unwrap_or_default());
            bome(decoded.map(Val::from_utf8_bytes).map_err(jaq_json::Error::str))
        }),
    ];
    core.chain(jaq_std::base_funs()).chain(json).chain(own.map(run::<Machine>))
}

fn range<'a>(run: Run<'a>, from: Val, to: Val, by: Val) -> impl Iterator<Item = ValX<'a>> + 'a {
    let order = by.partial_cmp(&Val::from(0_isize)).unwrap_or(Ordering::Equal);
    let mut next = Some(Ok(from));
    iter::from_fn(move || {
        run.meter.step();
        let value: Val = match next.take()? {
            Ok(value) => value,
            Err(error) => return Some(Err(error)),
        };
        let goes_on = match order {
            Ordering::Greater => value < to,
            Ordering::Less => value > to,
            Ordering::Equal => value != to,
        };
        if !goes_on {
            return None;
        }
        next = Some((value.clone() + by.clone()).map_err(Exn::from));
        Some(Ok(value))
    })
}

/// `fromjson`.
fn from_json(text: &Val) -> ValR {
    let Some(text) = text.as_utf8_bytes().filter(|text| json::is_value(text, MAX_DEPTH)) else {
        return Err(jaq_json::Error::str(format_args!(
            "fromjson needs JSON that is nested no deeper than {MAX_DEPTH} levels"
        )));
    };
    read::parse_single(text).map_err(jaq_json::Error::str)
}

/// `test(PATTERN; FLAGS)`.
fn test(text: &Val, pattern: &Val, flags: &Val) -> ValR {
    let string = |value: &Val| value.as_utf8_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (Some(text), Some(pattern), Some(flags)) = (string(text), string(pattern), string(flags)) else {
        return Err(jaq_json::Error::str("test needs a string and a regular expression"));
    };
    // Whether it is found does not depend on `g` and `n`.
    let flags: String = flags.chars().filter(|flag| !"gn".contains(*flag)).collect();
    let pattern = if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") };
    match Pattern::parse(&pattern) {
        Ok(pattern) => Ok(Val::from(pattern.is_match(text.as_bytes()))),
        Err(malformed) => Err(jaq_json::Error::str(malformed.reason)),
    }
}

/// The first bracket that is nested too deep. Those in strings count, since a string can have parts that are programs.
fn too_nested(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.bytes().position(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_BRACKETS
    })
}

const BAD: (&str, String) = ("", String::new());

/// The first error of a module, and where it is.
fn first(error: load::Error<&str>) -> Option<(&str, String)> {
    match error {
        load::Error::Io(errors) => errors.into_iter().next(),
        load::Error::Lex(errors) => {
            errors.into_iter().next().map(|(expected, found)| (found, format!("expected {}", expected.as_str())))
        }
        load::Error::Parse(errors) => {
            errors.into_iter().next().map(|(expected, found)| (found, format!("expected {}", expected.as_str())))
        }
    }
}

/// Where the first word of `part` stands in `text`, or the end of `text` if `part` is not a slice of it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    if start >= text.len() {
        return text.len()..text.len();
    }
    let is_word = |letter: &char| letter.is_alphanumeric() || matches!(letter, '_' | '$' | '@');
    let word: usize = part.chars().take_while(is_word).map(char::len_utf8).sum();
    let width = if word > 0 { word } else { part.chars().next().map_or(0, char::len_utf8) };
    start..start + width
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A thread of these tests has more stack.
    const BUDGET: Budget = Budget { time: Duration::from_secs(1), stack: 1 << 20 };

    fn results(program: &str, message: &str) -> Result<Vec<String>, JqError> {
        Jq::parse(program).expect("a program").results(message.as_bytes(), BUDGET)
    }

    #[test]
    fn programs_have_the_results_that_jq_has() {
        for (program, message, expected) in [
            (".", "{\"b\":1.0,\"a\":[1e2,\"\\u00e9\"]}", &["{\"b\":1.0,\"a\":[1e2,\"é\"]}"][..]),
            (".a", "{\"a\":\"x\"}", &["\"x\""]),
            (".[] | select(. > 1)", "[1,2,3]", &["2", "3"]),
            ("select(.type == \"welcome\") | .id", "{\"type\":\"other\"}", &[]),
            ("map(.+1) | add", "[1,2]", &["5"]),
            ("[range(0;10;3)], [range(3)]", "null", &["[0,3,6,9]", "[0,1,2]"]),
            (".name | test(\"^a.*z$\"), test(\"^AB\"; \"i\")", "{\"name\":\"abz\"}", &["true", "true"]),
            ("to_entries | map(.key) | join(\",\")", "{\"a\":1,\"b\":2}", &["\"a,b\""]),
            ("has(\"a\"), length, (.a // \"none\")", "{\"b\":1}", &["false", "1", "\"none\""]),
            ("@base64, (@base64 | @base64d)", "\"h\u{e9}\"", &["\"aMOp\"", "\"h\u{e9}\""]),
            ("now > 1700000000", "1", &["true"]),
            ("halt", "1", &[]),
            (" \n", "[1]", &["[1]"]),
        ] {
            assert_eq!(results(program, message).expect(program), expected, "{program}");
        }
    }

    #[test]
    fn a_program_that_never_ends_is_stopped() {
        for program in [
            "repeat(.)",
            "range(infinite)",
            "[range(infinite)]",
            "[repeat(.)]",
            "last(range(infinite))",
            "def f: f; f",
            "def f: 1 + f; f",
            "def f: [f]; f",
            "reduce range(infinite) as $i (0; . + $i)",
            "until(false; .)",
            "range(infinite) | empty",
        ] {
            let started = Instant::now();
            assert!(matches!(results(program, "1"), Err(JqError::Endless(_))), "{program}");
            assert!(started.elapsed() < 10 * BUDGET.time, "{program}");
        }
        assert_eq!(
            Jq::parse("repeat(.)").expect("a program").is_match(b"1", BUDGET),
            Ok(true),
            "the first result is enough"
        );
    }

    #[test]
    fn what_is_not_json_or_does_not_fit_is_told() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for message in ["", "hello", "{", "[1] [2]", "NaN"] {
            assert_eq!(results(".", message), Err(JqError::NotJson), "{message:.20}");
        }
        assert_eq!(results(".", &deep), Err(JqError::TooDeep));
        for program in [".a", "error(\"x\")", "test(\"(\")", "\"x\" | test(\"(\")", "\"!\" | @base64d"] {
            assert!(matches!(results(program, "1"), Err(JqError::Failed(_))), "{program}");
        }
    }

    #[test]
    fn a_text_that_is_nested_deep_does_not_overflow_the_stack() {
        assert_eq!(results("def f: 1 + f; f", "1"), Err(JqError::Endless(TOO_RECURSIVE.into())));
        for text in ["[".repeat(4_000) + &"]".repeat(4_000), "(".repeat(20_000)] {
            let malformed = Jq::parse(&text).err().expect("an error");
            assert_eq!((malformed.span.start, malformed.span.end), (MAX_BRACKETS, MAX_BRACKETS + 1));
        }
        for part in ["-", ".|", "1+", "if ", "try ", "def f: ", "1 as $x|"] {
            _ = Jq::parse(&(part.repeat(5_000) + "1"));
        }
    }

    #[test]
    fn the_place_of_an_error_is_found() {
        for (text, at, reason) in [
            (".a | foo(1)", 5, "no filter foo"),
            ("$x", 0, "no variable $x"),
            (".a | (", 6, "closing parenthesis"),
            (".a |", 4, "expected term"),
            ("if . then 1", 11, "else or end"),
            (".a & .b", 3, "token"),
            ("todate", 0, "no filter todate"),
            ("include \"x\"; .", 9, "not supported"),
            ("import \"x\" as $x; $x", 8, "cannot be imported"),
        ] {
            let malformed = Jq::parse(text).err().unwrap_or_else(|| panic!("{text} is a program"));
            assert_eq!(malformed.span.start, at, "{malformed:?}");
            assert!(malformed.reason.contains(reason), "{malformed:?}");
        }
    }

    /// The manual lists them (JQ PROGRAMS).
    #[test]
    fn functions_that_the_manual_calls_missing_are_missing() {
        for call in [
            "match(\"\")",
            "capture(\"\")",
            "scan(\"\")",
            "split(\"\"; \"\")",
            "splits(\"\")",
            "sub(\"\"; \"\")",
            "gsub(\"\"; \"\")",
            "todate",
            "fromdate",
            "strftime(\"\")",
            "strptime(\"\")",
            "mktime",
            "gmtime",
            "localtime",
            "sqrt",
            "pow(1; 2)",
            "log",
            "exp",
            "sin",
            "@csv",
            "@tsv",
            "@html",
            "@uri",
            "@base32",
            "tostream",
            "fromstream(1)",
            "input",
            "inputs",
            "debug",
            "stderr",
            "halt_error",
            "env",
            "$ENV",
            "$__loc__",
            "IN(1)",
            "INDEX(1)",
            "ascii",
            "leaf_paths",
            "builtins",
            "input_line_number",
        ] {
            assert!(Jq::parse(call).is_err(), "{call}");
        }
        for call in
            ["test(\"\")", "now", "floor", "ceil", "round", "abs", "@base64", "@base64d", "@sh", "@json", "@text"]
        {
            assert!(Jq::parse(call).is_ok(), "{call}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_program_or_an_error(text in "[.a-c\\[\\](){}|,:;$@\"\\\\0-9 =+é-]{0,14}") {
            if let Err(malformed) = Jq::parse(&text) {
                prop_assert!(text.get(malformed.span.clone()).is_some(), "{:?}", malformed);
            }
        }
    }
}
