//! A moment of store time that is known only between two bounds: the store stamps the time itself, and a caller sees no
//! more than that it did so while the call lasted.

/// Every millisecond from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Span {
    pub(in super::super) low: i64,
    pub(in super::super) high: i64,
}

impl Span {
    /// From and to; none when there is nothing between.
    pub(in super::super) fn new(low: i64, high: i64) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// A moment that is known.
    pub(super) fn exactly(moment: i64) -> Self {
        Self { low: moment, high: moment }
    }

    /// So much later.
    pub(super) fn plus(self, millis: i64) -> Self {
        Self { low: self.low + millis, high: self.high + millis }
    }

    /// That part of it which is not before `moment`.
    pub(super) fn from(self, moment: i64) -> Option<Self> {
        Self::new(self.low.max(moment), self.high)
    }

    /// That part of it which is not after `moment`.
    pub(super) fn until(self, moment: i64) -> Option<Self> {
        Self::new(self.low, self.high.min(moment))
    }

    /// That moment, if it is one of these.
    pub(super) fn at(self, moment: i64) -> Option<Self> {
        self.has(moment).then_some(Self::exactly(moment))
    }

    /// Whether that moment is one of these.
    pub(super) fn has(self, moment: i64) -> bool {
        (self.low..=self.high).contains(&moment)
    }
}
