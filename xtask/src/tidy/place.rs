//! Where a file stands: the few questions about paths that the rules ask for their exemptions.

/// A program for development, not a part of the product.
pub(crate) const XTASK: &str = "xtask/";
/// Measures and disturbs the product from outside.
pub(crate) const CHAOS: &str = "crates/chaos/";
/// The one door to clock, randomness, threads and sleep.
pub(crate) const ENV: &str = "crates/store/src/env/";
/// Locks and channels, to be replaced by those of a schedule explorer.
pub(crate) const SYNC: &str = "crates/store/src/sync.rs";
/// What takes its place while schedules are explored.
pub(crate) const EXPLORED_SYNC: &str = "crates/store/src/schedules/sync.rs";
/// The suite that backends are held to; draws random command sequences from a printed seed.
pub(crate) const CONFORMANCE: &str = "crates/store/src/conformance/";

/// Whether the path is one of `places`, or below one that ends in `/`.
pub(crate) fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

/// The last part of the path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What stands behind the last dot of the name; nothing when there is none.
pub(crate) fn extension(path: &str) -> &str {
    name(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Whether some folder of the path has this name.
pub(crate) fn has_folder(path: &str, folder: &str) -> bool {
    path.rsplit('/').skip(1).any(|part| part == folder)
}

/// Whether the file is test code as a whole: below a folder `tests`, or a module file `tests.rs`.
pub(crate) fn is_test(path: &str) -> bool {
    has_folder(path, "tests") || name(path) == "tests.rs"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_file_or_everything_below_a_folder() {
        assert!(is_in("crates/chaos/src/main.rs", &[XTASK, CHAOS]));
        assert!(is_in(SYNC, &[SYNC]));
        assert!(!is_in("crates/store/src/sync.rs.orig", &[SYNC]));
        assert!(!is_in("crates/chaos-kit/src/lib.rs", &[CHAOS]));
    }

    #[test]
    fn test_code_is_known_by_its_folder_or_its_file_name() {
        assert!(is_test("crates/store/tests/it/main.rs"));
        assert!(is_test("crates/store/src/sqlite/tests.rs"));
        assert!(!is_test("crates/store/src/latests.rs"));
        assert!(!is_test("crates/store/src/tests_of_time.rs"));
    }
}
