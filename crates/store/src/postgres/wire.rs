//! How values travel: times to the millisecond, 16-byte ids as `uuid`, bytes without a copy.

use std::error::Error;

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::time::{StoreTime, WallTime};

/// A parameter and its type. The type goes along, so that a statement can be sent without being prepared.
pub(super) type Param = (Box<dyn ToSql + Sync + Send>, Type);

/// A value of this type, to be sent.
pub(super) fn param(of: Type, value: impl ToSql + Sync + Send + 'static) -> Param {
    (Box::new(value), of)
}

/// One `text`.
pub(super) fn text(value: impl AsRef<str>) -> Param {
    param(Type::TEXT, value.as_ref().to_owned())
}

/// One `text`, or none.
pub(super) fn optional_text(value: Option<&'static str>) -> Param {
    param(Type::TEXT, value)
}

/// Many `text`.
pub(super) fn texts<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Param {
    param(Type::TEXT_ARRAY, values.into_iter().map(|value| value.as_ref().to_owned()).collect::<Vec<_>>())
}

/// One `bigint`. Numbers beyond it, of pages that nobody can have filled, count as the largest.
pub(super) fn number(value: impl TryInto<i64>) -> Param {
    param(Type::INT8, value.try_into().unwrap_or(i64::MAX))
}

/// One `uuid`.
pub(super) fn id(value: &[u8; 16]) -> Param {
    param(Type::UUID, Id(*value))
}

/// Many `uuid`.
pub(super) fn ids<'a>(values: impl IntoIterator<Item = &'a [u8; 16]>) -> Param {
    param(Type::UUID_ARRAY, values.into_iter().map(|value| Id(*value)).collect::<Vec<_>>())
}

type Failed = Box<dyn Error + Sync + Send>;

/// Milliseconds since 1970, as `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) i64);

/// Where PostgreSQL counts its microseconds from: 2000-01-01.
const COUNTED_FROM_MS: i64 = 946_684_800_000;

impl From<StoreTime> for Time {
    fn from(time: StoreTime) -> Self {
        Self(time.as_millis())
    }
}

impl From<WallTime> for Time {
    fn from(time: WallTime) -> Self {
        Self(time.as_millis())
    }
}

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        let micros = self.0.checked_sub(COUNTED_FROM_MS).and_then(|millis| millis.checked_mul(1_000));
        out.put_i64(micros.ok_or("a time beyond what PostgreSQL can hold")?);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Time {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(micros.div_euclid(1_000).saturating_add(COUNTED_FROM_MS)))
    }

    accepts!(TIMESTAMPTZ);
}

/// A 16-byte id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(pub(super) [u8; 16]);

impl ToSql for Id {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(Self(raw.try_into()?))
    }

    accepts!(UUID);
}

/// Bytes to be sent.
#[derive(Debug, Clone)]
pub(super) struct Blob(pub(super) Bytes);

impl Blob {
    /// A few bytes, such as a digest.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl ToSql for Blob {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    accepts!(BYTEA);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was_sent() {
        for millis in [0, 1, -1, 946_684_800_000, 1_795_500_000_123, -62_135_596_800_000] {
            let mut sent = BytesMut::new();
            Time(millis).to_sql(&Type::TIMESTAMPTZ, &mut sent).unwrap();
            assert_eq!(Time::from_sql(&Type::TIMESTAMPTZ, &sent).unwrap(), Time(millis));
        }
    }

    #[test]
    fn a_time_that_no_server_can_hold_is_refused() {
        assert!(Time(i64::MAX).to_sql(&Type::TIMESTAMPTZ, &mut BytesMut::new()).is_err());
    }
}
