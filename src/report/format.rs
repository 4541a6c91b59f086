//! What lines look like: with curl's marks, or as JSON.

use super::{LOG, writer::cut};
use crate::{
    access::without_secrets,
    visible::{visible, visible_json},
};
use serde_json::{Map, Value};
use std::{
    fmt::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};
use tracing::{
    Metadata,
    field::{Field, Visit},
};

/// The fields of an event or a span, in their order.
#[derive(Default)]
pub struct Fields(Vec<(&'static str, String)>);

impl Fields {
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &'static str, value: String) {
        match self.0.iter_mut().find(|(field, _)| *field == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
}

/// Fields that have places of their own in the text; others are written as `name=value`.
const PLACED: [&str; 4] = ["message", "mark", "end", "hint"];

/// A line for people. What was sent or received is marked, with the client of the connection in brackets behind it; remarks,
/// warnings and errors have the client in front. It is left out where the line names it anyway.
pub fn text(metadata: &Metadata<'_>, own: &Fields, around: &Fields) -> String {
    let (message, end) = (own.get("message").unwrap_or_default(), own.get("end"));
    let peer = around.get("peer").filter(|peer| end != Some(peer) && own.get("peer").is_none());
    let mut line = String::new();
    match own.get("mark").filter(|mark| *mark != "*") {
        Some(mark) => {
            let (in_front, behind) = if metadata.target() == LOG { (end, None) } else { (None, end) };
            // The handshake of a single session looks as curl shows it.
            let is_frame = *metadata.level() == tracing::Level::TRACE;
            let behind = behind.filter(|_| is_frame || around.get("peer").is_some());
            line.extend([mark, " "]);
            line.extend(in_front.into_iter().flat_map(|end| [end, " "]));
            line.push_str(message);
            let names: Vec<_> = [peer, behind].into_iter().flatten().collect();
            if !names.is_empty() {
                line.extend([" [", &names.join(" "), "]"]);
            }
        }
        None => {
            let is_remark = *metadata.level() > tracing::Level::WARN;
            line.push_str(if is_remark { "* " } else { "wsplice: " });
            line.extend(peer.into_iter().flat_map(|peer| [peer, ": "]));
            line.push_str(message);
        }
    }
    for (name, value) in own.0.iter().filter(|(name, _)| !PLACED.contains(name)) {
        line.extend([" ", name, "=", value]);
    }
    let mut line = shown(&line);
    match own.get("hint") {
        // A specifier with carets below it.
        Some(hint) if hint.starts_with('\n') => {
            line.extend(hint.split('\n').skip(1).flat_map(|part| ["\n".into(), shown(part)]));
        }
        Some(hint) => _ = write!(line, "\n  hint: {}", shown(hint)),
        None => {}
    }
    line.push('\n');
    line
}

/// Text as a line shows it, without secrets and not too long.
fn shown(text: &str) -> String {
    let mut text = visible(text);
    cut(&mut text);
    text
}

/// A line for machines: time, severity and text, then the fields of the connection and those of the line.
pub fn json(metadata: &Metadata<'_>, own: &Fields, around: &Fields) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut object = Map::new();
    object.insert("ts".into(), now.as_secs_f64().into());
    object.insert("level".into(), metadata.level().as_str().to_ascii_lowercase().into());
    for (name, value) in around.0.iter().chain(&own.0) {
        let (name, value) = match (*name, value.as_str()) {
            ("message", text) => ("msg", text),
            ("mark", "<") => ("direction", "received"),
            ("mark", ">") => ("direction", "sent"),
            ("mark", _) => continue,
            field => field,
        };
        let mut value = without_secrets(value);
        cut(&mut value);
        object.insert(name.into(), value.into());
    }
    format!("{}\n", visible_json(&Value::from(object).to_string()))
}
