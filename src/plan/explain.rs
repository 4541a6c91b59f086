//! `--explain`: prints the plan.

use super::{Pair, Plan, Splice};
use crate::{config::Directions, endpoint::About, registry};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Splice(splice) => splice.fmt(f),
            Self::Rooms(server) => {
                end(f, "for each client of", &server.about)?;
                write!(f, "join the room of its path and query, and send each message to all its members")
            }
        }
    }
}

impl fmt::Display for Splice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONCE: [&str; 2] = ["connect", "with"];
        const EACH: [&str; 2] = ["for each client of", "open"];
        let ([first, second], left, right, flow) = match &self.pair {
            Pair::Bytes(left, right) => (ONCE, &left.about, &right.about, "bytes"),
            Pair::Messages(left, right) => (ONCE, &left.about, &right.about, "messages"),
            Pair::ServeBytes(left, right) => (EACH, &left.about, &right.about, "bytes"),
            Pair::ServeMessages(left, right) => (EACH, &left.about, &right.about, "messages"),
        };
        end(f, first, left)?;
        end(f, second, right)?;
        let directions = match self.directions {
            Directions::Forward => "from the first to the second only",
            Directions::Back => "from the second to the first only",
            Directions::Both => "both ways",
            Directions::Neither => return f.write_str("and close both"),
        };
        write!(f, "and copy {flow} {directions}")
    }
}

fn end(f: &mut fmt::Formatter<'_>, verb: &str, about: &About) -> fmt::Result {
    writeln!(f, "{verb} {}", about.title)?;
    for layer in &about.layers {
        let summary = registry::find(layer.name).map(|entry| entry.summary).unwrap_or_default();
        write!(f, "  {:<14} {summary}", format!("{}:", layer.name))?;
        match &layer.because {
            Some(because) => writeln!(f, " [inserted: {because}]")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}
