//! Paths of URLs as paths of files.

use percent_encoding::percent_decode_str;

/// The decoded segments of the path of a URL, without empty ones. `None` if one of them is no name of a visible file: it contains a
/// slash or a zero byte, is not UTF-8, or starts with a dot, as `..` does.
pub fn path_segments(path: &str) -> Option<Vec<String>> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments
        .map(|segment| {
            let name = percent_decode_str(segment).decode_utf8().ok()?;
            (!name.starts_with('.') && !name.contains(['/', '\0'])).then(|| name.into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_visible_files_are_segments() {
        assert_eq!(path_segments("/a%20b//c/"), Some(vec!["a b".to_owned(), "c".to_owned()]));
        assert_eq!(path_segments("/"), Some(Vec::new()));
        for wrong in ["/..", "/a/../b", "/%2e%2e/b", "/a%2f..%2fb", "/.git", "/a%00", "/%ff", "/..%2f"] {
            assert_eq!(path_segments(wrong), None, "{wrong}");
        }
    }
}
