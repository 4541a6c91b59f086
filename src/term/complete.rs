//! What Tab makes of a line.

use super::command::COMMANDS;
use std::fs;

/// Entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;
/// Names that are listed.
const MAX_LISTED: usize = 50;

/// Completes a command, or the name of a file in one. `Err`: what the line may become, if that is more than one thing.
pub fn complete(line: &str) -> Result<String, Vec<String>> {
    match line.split_once(' ') {
        Some((command @ ("/text" | "/send" | "/bin"), argument)) => match argument.trim_start().strip_prefix('@') {
            Some(path) => file(path).map(|path| format!("{command} @{path}")),
            None if argument.trim_start().is_empty() && command != "/bin" => Ok(format!("{command} @")),
            None => Err(Vec::new()),
        },
        Some(("/record", path)) => file(path.trim_start()).map(|path| format!("/record {path}")),
        Some(_) => Err(Vec::new()),
        None if line.starts_with('/') => command(line),
        None => Err(Vec::new()),
    }
}

fn command(line: &str) -> Result<String, Vec<String>> {
    let fitting: Vec<_> = COMMANDS.iter().map(|(usage, _)| *usage).filter(|usage| usage.starts_with(line)).collect();
    let names = fitting.iter().map(|usage| match usage.split_once(' ') {
        Some((name, _)) => format!("{name} "),
        None => (*usage).to_owned(),
    });
    narrowed(line, names.collect()).map_err(|_| fitting.into_iter().map(str::to_owned).collect())
}

fn file(path: &str) -> Result<String, Vec<String>> {
    let (folder, start) = path.split_at(path.rfind('/').map_or(0, |at| at + 1));
    let Ok(entries) = fs::read_dir(if folder.is_empty() { "." } else { folder }) else { return Err(Vec::new()) };
    let mut names: Vec<_> = entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_wanted = name.starts_with(start) && (start.starts_with('.') || !name.starts_with('.'));
            let end = || if entry.path().is_dir() { "/" } else { "" };
            is_wanted.then(|| format!("{name}{}", end()))
        })
        .collect();
    names.sort();
    let completed = narrowed(start, names).map(|name| format!("{folder}{name}"));
    completed.map_err(|mut names| {
        let more = names.len().saturating_sub(MAX_LISTED);
        names.truncate(MAX_LISTED);
        names.extend((more > 0).then(|| format!("and {more} more")));
        names
    })
}

/// What was typed, as far as all names go on in the same way; or the names, if they do not.
fn narrowed(typed: &str, names: Vec<String>) -> Result<String, Vec<String>> {
    let Some(first) = names.first() else { return Err(names) };
    let is_common = |end: &usize| {
        let start = first.get(..*end);
        start.is_some_and(|start| names.iter().all(|name| name.starts_with(start)))
    };
    let end = (0..=first.len()).rev().find(is_common).unwrap_or_default();
    match first.get(..end) {
        Some(common) if common.len() > typed.len() => Ok(common.to_owned()),
        _ if names.len() == 1 => Ok(first.clone()),
        _ => Err(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed() {
        assert_eq!(complete("/cl"), Ok("/close ".into()));
        assert_eq!(complete("/q"), Ok("/quit".into()));
        assert_eq!(complete("/h"), Ok("/he".into()));
        assert_eq!(complete("/s"), Err(vec!["/send @FILE".into(), "/stats".into()]));
        assert_eq!(complete("/text "), Ok("/text @".into()));
        for line in ["", "x", "/x", "/find x", "/bin 00"] {
            assert_eq!(complete(line), Err(Vec::new()), "{line}");
        }
    }

    #[test]
    fn names_of_files_are_completed_as_far_as_they_are_the_same() {
        let folder = std::env::temp_dir().join(format!("wsplice-complete-{}", std::process::id()));
        fs::create_dir_all(folder.join("folder")).expect("create");
        for name in ["one.json", "one.txt", "zwölf", ".hidden"] {
            fs::write(folder.join(name), "").expect("write");
        }
        let at = |rest: &str| format!("/send @{}/{rest}", folder.display());
        let completed = ["o", "z", "f", ".", "x"].map(|start| complete(&at(start)));
        let listed = complete(&at("one."));
        fs::remove_dir_all(&folder).expect("remove");
        let expected = ["one.", "zwölf", "folder/", ".hidden"].map(|name| Ok(at(name)));
        assert_eq!(completed[..4], expected);
        assert_eq!(completed[4], Err(Vec::new()));
        assert_eq!(listed, Err(vec!["one.json".into(), "one.txt".into()]));
    }
}
