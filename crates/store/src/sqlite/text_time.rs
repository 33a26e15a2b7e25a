//! Times as the text that SQL tools expect, `YYYY-MM-DD HH:MM:SS.mmm` in UTC: they compare with `CURRENT_TIMESTAMP`
//! and with one another as text. SQLite's own formatting of a generated column cost a sixth of a checkpoint's write.

use crate::time::{StoreTime, WallTime};

/// The length of such a text.
const LENGTH: usize = 23;
/// 0000-01-01 00:00:00.000, the earliest time that orders as text.
const FIRST_MS: i64 = -62_167_219_200_000;
/// 9999-12-31 23:59:59.999, the latest.
const LAST_MS: i64 = 253_402_300_799_999;

const DAY_MS: i64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// Days in the 400 years after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// A time as text, on the stack. Times outside of the years 0 to 9999 become the nearest inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TextTime([u8; LENGTH]);

impl TextTime {
    /// From milliseconds since the Unix epoch.
    ///
    /// The calendar arithmetic is `civil_from_days` of H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    pub(super) fn from_millis(millis: i64) -> Self {
        let millis = millis.clamp(FIRST_MS, LAST_MS);
        let days = millis.div_euclid(DAY_MS) + EPOCH_DAYS;
        let of_day = millis.rem_euclid(DAY_MS);
        let era = days.div_euclid(ERA_DAYS);
        let of_era = days.rem_euclid(ERA_DAYS);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let mut text = *b"0000-00-00 00:00:00.000";
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], of_day / 3_600_000);
        put(&mut text[14..16], of_day / 60_000 % 60);
        put(&mut text[17..19], of_day / 1_000 % 60);
        put(&mut text[20..23], of_day % 1_000);
        Self(text)
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        // Nothing but digits and separators was ever put there.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<StoreTime> for TextTime {
    fn from(time: StoreTime) -> Self {
        Self::from_millis(time.as_millis())
    }
}

impl From<WallTime> for TextTime {
    fn from(time: WallTime) -> Self {
        Self::from_millis(time.as_millis())
    }
}

impl rusqlite::ToSql for TextTime {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

fn put(digits: &mut [u8], mut value: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// Milliseconds since the Unix epoch, if `text` is one of ours (`days_from_civil` of the same source).
pub(super) fn parse(text: &str) -> Option<i64> {
    let bytes: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
    let number = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, milli) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = era * ERA_DAYS + of_era - EPOCH_DAYS;
    let millis = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + milli;
    // Only what would be written so: no 31st of February, no other separators.
    (TextTime::from_millis(millis).as_str() == text).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_sqlite_and_read_back() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let mut statement =
            connection.prepare("SELECT strftime('%Y-%m-%d %H:%M:%f', ?1 / 1000.0, 'unixepoch')").unwrap();
        let mut state = 7_u64;
        let mut last = 0;
        for round in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Half of them near to now, half anywhere in the years 1900 to 2200.
            let millis = if round % 2 == 0 {
                last + i64::try_from(state >> 50).unwrap()
            } else {
                i64::try_from(state >> 20).unwrap() % 9_467_000_000_000 - 2_208_000_000_000
            };
            last = millis;
            let theirs: String = statement.query_row([millis], |row| row.get(0)).unwrap();
            let ours = TextTime::from_millis(millis);
            assert_eq!(ours.as_str(), theirs, "{millis}");
            assert_eq!(parse(ours.as_str()), Some(millis));
        }
    }

    #[test]
    fn what_lies_outside_the_calendar_becomes_its_edge() {
        assert_eq!(TextTime::from_millis(i64::MAX).as_str(), "9999-12-31 23:59:59.999");
        assert_eq!(TextTime::from_millis(i64::MIN).as_str(), "0000-01-01 00:00:00.000");
    }

    #[test]
    fn another_text_is_none_of_ours() {
        for text in [
            "",
            "2026-11-24",
            "2026-02-31 00:00:00.000",
            "2026-11-24T00:00:00.000",
            "2026-11-24 24:00:00.000",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
