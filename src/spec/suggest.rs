//! Did you mean …?

use crate::{endpoint::Build, registry};

/// The name in the table that is at most two typing slips away, if there is one.
pub fn nearest(name: &str) -> Option<&'static str> {
    registry::table()
        .filter(|entry| !matches!(entry.build, Build::Unsupported { .. }))
        .flat_map(|entry| entry.names)
        .copied()
        .map(|known| (strsim::osa_distance(known, name), known))
        // A short name is near everything; more than half of it must be right.
        .filter(|(slips, known)| *slips <= 2 && slips * 2 < known.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_forgiven_and_nonsense_is_not() {
        assert_eq!(nearest("mirro"), Some("mirror"));
        assert_eq!(nearest("tpc"), Some("tcp"));
        assert_eq!(nearest("qqqqqqq"), None);
    }
}
