//! Paths of URLs as paths of files.

use percent_encoding::percent_decode_str;

/// The decoded segments of the path of a URL, without empty ones. `None` if one of them is no name of a visible file: it contains a
/// slash or a zero byte, is not UTF-8, or starts with a dot, as `..` does. On Windows also if it means more than a name there.
pub fn path_segments(path: &str) -> Option<Vec<String>> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| {
            let name = percent_decode_str(segment).decode_utf8().ok()?;
            let is_name =
                !name.starts_with('.') && !name.contains(['/', '\0']) && (cfg!(not(windows)) || is_windows_name(&name));
            is_name.then(|| name.into_owned())
        })
        .collect()
}

/// Whether Windows takes this for the name of a file: not for a path, a drive, a stream, a pattern, a device such as `NUL`, or the name
/// without the dots and spaces at its end.
fn is_windows_name(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let is_port = |kind| stem.strip_prefix(kind).is_some_and(|number: &str| number.chars().count() == 1);
    let is_device = DEVICES.contains(&stem.as_str()) || is_port("com") || is_port("lpt");
    let is_special = |letter: char| letter < ' ' || r#"\:*?"<>|"#.contains(letter);
    !is_device && !name.contains(is_special) && !name.ends_with(['.', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_reads_otherwise_are_none() {
        for name in ["a", "a.txt", "com", "com10", "console", "nul1", "ä b"] {
            assert!(is_windows_name(name), "{name}");
        }
        for name in
            ["..\\a", "c:", "a:b", "a*", "nul", "NUL.txt", "con .x", "com1", "Lpt9.a", "com²", "a.", "a ", "a\n", "\"a"]
        {
            assert!(!is_windows_name(name), "{name}");
        }
    }

    #[test]
    fn only_names_of_visible_files_are_segments() {
        assert_eq!(path_segments("/a%20b//c/"), Some(vec!["a b".to_owned(), "c".to_owned()]));
        assert_eq!(path_segments("/"), Some(Vec::new()));
        for wrong in ["/..", "/a/../b", "/%2e%2e/b", "/a%2f..%2fb", "/.git", "/a%00", "/%ff", "/..%2f"] {
            assert_eq!(path_segments(wrong), None, "{wrong}");
        }
    }
}
