//! `--explain`: the plan in words.

use super::{Plan, Splice, Stack};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Splice(splice) => splice.fmt(f),
            Self::Rooms(listener) => {
                writeln!(f, "for each client of {}", listener.title())?;
                layers(f, listener)?;
                write!(f, "join the room of its path and query, and send each message to all its members")
            }
        }
    }
}

impl fmt::Display for Splice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.left.is_listener() { "for each client of" } else { "connect" };
        writeln!(f, "{verb} {}", self.left.title())?;
        layers(f, &self.left)?;
        let verb = if self.left.is_listener() { "open" } else { "with" };
        writeln!(f, "{verb} {}", self.right.title())?;
        layers(f, &self.right)?;
        let directions = match self.directions {
            [true, false] => "from the first to the second only",
            [false, true] => "from the second to the first only",
            _ => "both ways",
        };
        write!(f, "and copy {} {directions}", self.left.flow())
    }
}

fn layers(f: &mut fmt::Formatter<'_>, stack: &Stack) -> fmt::Result {
    for layer in stack.layers() {
        let summary = crate::registry::find(layer.name).map(|entry| entry.summary).unwrap_or_default();
        write!(f, "  {:<14} {summary}", format!("{}:", layer.name))?;
        match &layer.because {
            Some(because) => writeln!(f, " [inserted: {because}]")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}
