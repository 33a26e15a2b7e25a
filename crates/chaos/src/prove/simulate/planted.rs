//! Bugs that are built in on purpose, to see the checks of the oracle catch them.

/// One wrong store, or one wrong way to work with a right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests plant bugs"))]
pub(super) enum Plant {
    /// The store looks at no guard.
    NoFenceCheck,
    /// The store's time follows the wall clock of its machine.
    WallClockSweep,
    /// The store answers a stale renewal as if the lease were alive.
    HeartbeatRevives,
    /// The store acknowledges the ends of operations, and keeps only some.
    LostAcknowledgement,
    /// An unknown commit is tried again under a new identity.
    NewIdentity,
    /// A worker writes into the ledger after the call.
    LedgerAfterCall,
    /// A worker makes a call again that is in doubt.
    RerunDoubt,
    /// A worker never learns that its deadline has passed, and says that it holds its item.
    IgnoreDeadline,
    /// A worker leaves the model out of the cache key.
    ModelLeftOut,
    /// Nobody sweeps.
    NoSweep,
}
