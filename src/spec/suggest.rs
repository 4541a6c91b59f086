//! Suggestions for misspelt names.

use crate::{endpoint::Build, registry};

/// The most similar name in the table, if it differs by at most two typos.
pub fn nearest(name: &str) -> Option<&'static str> {
    registry::table()
        .filter(|entry| !matches!(entry.build, Build::Unsupported { .. }))
        .flat_map(|entry| entry.names)
        .copied()
        .map(|known| (strsim::osa_distance(known, name), known))
        // More than half of the name must be correct, since every short name is similar to others.
        .filter(|(typos, known)| *typos <= 2 && typos * 2 < known.len())
        .min_by_key(|(typos, _)| *typos)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_corrected_and_other_words_are_not() {
        assert_eq!(nearest("mirro"), Some("mirror"));
        assert_eq!(nearest("tpc"), Some("tcp"));
        assert_eq!(nearest("qqqqqqq"), None);
    }
}
