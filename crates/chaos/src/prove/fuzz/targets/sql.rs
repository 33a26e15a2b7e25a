//! The SQL of the fuzz targets: what tampers with a file as no program of ours would, and SQLite's own view of a time.

/// Nothing is lost here by a power cut.
pub(super) const FAST: &str = "PRAGMA synchronous = OFF";

/// Puts any text in place of the time at which the one task was created.
pub(super) const SET_CREATED_AT: &str = "UPDATE tasks SET created_at = ?1";

/// Milliseconds since the epoch, if SQLite writes the time of this text as this text, and its year is none before the
/// year 0: those are written with a sign and do not order as text, and the store writes no such time. The modifier has
/// it compute the time: without one it says back hour 24 as it was given.
pub(super) const READ_TIME: &str = "SELECT CASE WHEN strftime('%Y-%m-%d %H:%M:%f', ?1, '+0 seconds') = ?1 \
     AND ?1 NOT LIKE '-%' THEN CAST(round(unixepoch(?1, 'subsec') * 1000) AS INTEGER) END";
