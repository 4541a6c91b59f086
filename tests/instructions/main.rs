//! What work costs, in instructions and system calls of the release binary as valgrind counts them. Unlike times they hardly
//! depend on how busy the machine is: most repeat within a percent. `tests/instructions.sh` runs this; the figures
//! are in `figures.txt`.

#[allow(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/mod.rs"]
mod common;
mod work;

use common::{http, raw, support};
use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt::Write,
    fs,
    process::{Command, Stdio},
};
use support::{Folder, wsplice};
use work::WORK;

/// How far system calls may lie above their figure, in percent. It is large, since the kernel decides how much one read
/// gives.
const TOLERANCE_OF_CALLS: f64 = 25.0;
/// How much further both may lie above it where the figures were made with another compiler or valgrind, in percent. A
/// mistake usually costs more.
const TOLERANCE_OF_TOOLS: f64 = 15.0;
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/instructions/figures.txt");

#[test]
#[ignore = "needs valgrind and the release binary: tests/instructions.sh"]
fn no_work_costs_more_than_its_figure() {
    assert!(std::env::var_os("WSPLICE").is_some(), "the figures are the release binary's: tests/instructions.sh");
    let committed = fs::read_to_string(FIGURES).unwrap_or_default();
    let (made_with, figures) = parse(&committed);
    let tools = tools();
    let blesses = std::env::var_os("WSPLICE_BLESS").is_some();
    let extra = if made_with == tools { 0.0 } else { TOLERANCE_OF_TOOLS };
    if extra > 0.0 {
        println!("The figures were made with {made_with}; this is {tools}, so {extra} % more are allowed.");
    }
    let mut counted = format!("# {tools}\n# instructions and system calls for each, and what it is\n");
    let mut dearer = Vec::new();
    let all = WORK.iter().flat_map(|(tolerance, works)| works.iter().map(|work| (*tolerance, work)));
    for (tolerance, work) in all {
        let tolerance = Tolerance { instructions: tolerance + extra, calls: TOLERANCE_OF_CALLS + extra };
        let figure = figures.get(work.what).filter(|_| !blesses);
        let cost = least(work, figure, tolerance);
        writeln!(counted, "{:>10.0} {:>9.3} {}", cost.instructions, cost.calls, work.what).expect("a string grows");
        let change = figures.get(work.what).map(|figure| cost.above(figure));
        let told =
            change.map_or("new".to_owned(), |[instructions, calls]| format!("{instructions:+.1} % {calls:+.1} %"));
        println!("{:>10.0} {:>9.3} {told:>16} {}", cost.instructions, cost.calls, work.what);
        if !figure.is_some_and(|figure| cost.is_within(figure, tolerance)) {
            dearer.push(work.what);
        }
    }
    if blesses {
        fs::write(FIGURES, counted).expect("write the figures");
    } else {
        assert!(dearer.is_empty(), "dearer than its figure, or without one: {dearer:#?}");
    }
}

/// What one unit of work costs.
struct Cost {
    /// In user space.
    instructions: f64,
    calls: f64,
}

impl Cost {
    /// How much more than the figure it is, in percent: instructions, system calls.
    fn above(&self, figure: &Self) -> [f64; 2] {
        [(self.instructions, figure.instructions), (self.calls, figure.calls)]
            .map(|(count, figure)| (count / figure - 1.0) * 100.0)
    }

    fn is_within(&self, figure: &Self, tolerance: Tolerance) -> bool {
        let [instructions, calls] = self.above(figure);
        instructions <= tolerance.instructions && calls <= tolerance.calls
    }
}

/// How far a cost may lie above its figure, in percent.
#[derive(Clone, Copy)]
struct Tolerance {
    instructions: f64,
    calls: f64,
}

/// What the figures were made with, and the figures by what they are for.
fn parse(figures: &str) -> (&str, HashMap<&str, Cost>) {
    let (made_with, rows) = figures.split_once('\n').unwrap_or_default();
    let rows = rows.lines().filter_map(|row| {
        let (instructions, rest) = row.trim_start().split_once(' ')?;
        let (calls, what) = rest.trim_start().split_once(' ')?;
        Some((what, Cost { instructions: instructions.parse().ok()?, calls: calls.parse().ok()? }))
    });
    (made_with.trim_start_matches("# "), rows.collect())
}

/// The versions of the compiler and of valgrind. Other versions give other counts.
fn tools() -> String {
    let version = |tool: &str| {
        let output = Command::new(tool).arg("--version").output().unwrap_or_else(|_| panic!("{tool} is not there"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    format!("{}, {}", version("rustc"), version("valgrind"))
}

/// The lowest of three counts, since a busy machine only adds. One that is within the figure is enough.
fn least(work: &work::Work, figure: Option<&Cost>, tolerance: Tolerance) -> Cost {
    let mut least = count(work);
    for _ in 1..3 {
        if figure.is_some_and(|figure| least.is_within(figure, tolerance)) {
            break;
        }
        let next = count(work);
        least.instructions = least.instructions.min(next.instructions);
        least.calls = least.calls.min(next.calls);
    }
    least
}

fn count(work: &work::Work) -> Cost {
    let counter = Counter { folder: Folder::new("instructions") };
    (work.run)(&counter, work.units);
    let out = fs::read_to_string(counter.out()).expect("valgrind has written its counts");
    let sums = out.lines().find_map(|line| line.strip_prefix("summary: ")).expect("sums of counts");
    let mut sums = sums.split(' ').map(|sum| sum.parse::<f64>().expect("a count") / work.units as f64);
    let mut next = || sums.next().expect("a sum of instructions and one of calls");
    Cost { instructions: next(), calls: next() }
}

/// Runs the binary under valgrind.
pub struct Counter {
    folder: Folder,
}

impl Counter {
    fn out(&self) -> String {
        self.folder.path("counts")
    }

    /// `wsplice ARGS`, counted.
    pub fn wsplice<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let plain = wsplice(args);
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--tool=callgrind", "--collect-systime=yes"]);
        command.arg(format!("--callgrind-out-file={}", self.out()));
        command.arg(plain.get_program()).args(plain.get_args());
        command
    }

    /// Runs `wsplice ARGS < FILE > /dev/null` to its end.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) {
        let path = self.folder.path("input");
        fs::write(&path, input).expect("write the input");
        let input = fs::File::open(path).expect("open the input");
        let status = self.wsplice(args).stdin(input).stdout(Stdio::null()).status().expect("valgrind starts");
        assert!(status.success(), "{status}");
    }
}
