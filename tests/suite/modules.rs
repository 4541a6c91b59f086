//! The modules stand in one order, and each imports only from those before it (docs/architecture.md).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every module of the library, the lowest first.
const ORDER: &[&str] = &[
    "message",
    "error",
    "reload",
    "memory",
    "metrics",
    "readiness",
    "access",
    "net",
    "flow",
    "allocator",
    "visible",
    "report",
    "service_manager",
    "json",
    "filter",
    "recording",
    "framing",
    "payload",
    "tls",
    "ws",
    "cluster",
    "config",
    "term",
    "endpoint",
    "http",
    "overlay",
    "address",
    "registry",
    "spec",
    "plan",
    "session",
    "rooms",
    "cli",
    "health",
    "bench",
    "fuzzing",
];

/// The files of `rooms`, in the same way.
const ROOMS: &[&str] = &[
    "sync",
    "metrics",
    "drop_log",
    "frame_queue",
    "resume",
    "history",
    "outbox",
    "delivery",
    "member",
    "members",
    "room",
    "node",
    "broker",
    "hub",
    "driver",
    "member_task",
    "trim",
    "bench",
    "fuzzing",
    "models",
];

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The source without comments, which may name any module.
fn without_comments(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules that a source names behind `parent`, in a `use` with or without braces or in a path.
fn imports(source: &str, parent: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in source.split(parent).skip(1) {
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let (mut depth, mut starts) = (0, true);
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                _ if starts && letter.is_alphabetic() => {
                    found.insert(word(&list[at..]));
                    starts = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn each_module_imports_only_from_those_before_it() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&sources, &mut files);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for file in files {
        let path = file.strip_prefix(&sources).expect("a file below src");
        let first = path.iter().next().expect("a name").to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        // The library itself names all of them, and the program is behind it.
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        seen.insert(module.clone());
        let place = |name: &str| ORDER.iter().position(|known| *known == name);
        let own = place(&module).unwrap_or_else(|| panic!("{module} has no place in the order"));
        let is_top = path.components().count() == 1 || path.ends_with("mod.rs") && path.components().count() == 2;
        let source = without_comments(&fs::read_to_string(&file).expect("a source file"));
        // `super` is the library there.
        if is_top && source.lines().any(|line| line.starts_with("use super::")) {
            wrong.push(format!("{} imports by way of super", path.display()));
        }
        for name in imports(&source, "crate::") {
            if name != module && place(&name).is_none_or(|other| other > own) {
                wrong.push(format!("{} imports {name}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let missing: Vec<_> = ORDER.iter().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "not in src any more: {missing:?}");
}

#[test]
fn each_file_of_the_rooms_imports_only_from_those_before_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rooms");
    let mut files = Vec::new();
    source_files(&folder, &mut files);
    let names = files.iter().map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned());
    let expected: BTreeSet<_> = ROOMS.iter().map(|name| (*name).to_owned()).chain(["mod".to_owned()]).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
    let mut wrong = Vec::new();
    for (at, name) in ROOMS.iter().enumerate() {
        let source = without_comments(&fs::read_to_string(folder.join(format!("{name}.rs"))).expect("a source file"));
        // Tests of a file stand above it.
        let source = source.split("mod tests {").next().unwrap_or_default();
        for other in imports(source, "super::").into_iter().chain(imports(source, "crate::rooms::")) {
            if !ROOMS[..at].contains(&other.as_str()) {
                wrong.push(format!("{name} imports {other}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn imports_are_found_in_any_form() {
    let source = "use crate::a::B; pub use crate::{c::{D, E}, f, g::H as I,\n}; let x = crate::j::k();";
    assert_eq!(imports(source, "crate::"), ["a", "c", "f", "g", "j"].map(str::to_owned).into());
}
