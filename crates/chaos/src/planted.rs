//! Faults that are built into the workers on purpose, to see that the checks catch them: a check that cannot fail is
//! a defect.

/// One planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Planted {
    /// The worker tells its parent of a checkpoint before it commits it.
    AckBeforeCommit,
    /// The worker has the effect done before it states the intent.
    EffectBeforeIntent,
    /// The worker commits the checkpoint first and the result of its operation afterwards.
    RecordApart,
    /// The worker runs a call again that is in doubt.
    RerunDoubt,
    /// The worker goes on from the newest checkpoint without verifying it.
    ResumeUnverified,
    /// The worker does not guard its commits with its lease.
    NoGuard,
    /// The worker does not listen for the loss of its lease.
    IgnoreLoss,
    /// The worker takes its item and does nothing, for ever.
    Hang,
    /// A writer of the crew tells of a checkpoint that it never made.
    ForgetAppend,
    /// One member of the crew pauses after each checkpoint.
    Dawdle,
    /// The holder of many leases does not renew them.
    NoHeartbeat,
    /// The sweeper does not sweep.
    SkipSweep,
    /// The sweeper's clock is far ahead of everybody else's. In memory there is one clock for all.
    ClockAhead,
    /// The model is asked beside the cache.
    NoCache,
    /// A command is run beside the ledger.
    RerunTool,
    /// An item is done twice by its holder.
    WorkTwice,
    /// The worker forgets one answer of the model on its way.
    WrongAnswer,
    /// The worker submits its item once more, under another id.
    SubmitTwice,
}

impl Planted {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::EffectBeforeIntent => "effect-before-intent",
            Self::RecordApart => "record-apart",
            Self::RerunDoubt => "rerun-doubt",
            Self::ResumeUnverified => "resume-unverified",
            Self::NoGuard => "no-guard",
            Self::IgnoreLoss => "ignore-loss",
            Self::Hang => "hang",
            Self::ForgetAppend => "forget-append",
            Self::Dawdle => "dawdle",
            Self::NoHeartbeat => "no-heartbeat",
            Self::SkipSweep => "skip-sweep",
            Self::ClockAhead => "clock-ahead",
            Self::NoCache => "no-cache",
            Self::RerunTool => "rerun-tool",
            Self::WorkTwice => "work-twice",
            Self::WrongAnswer => "wrong-answer",
            Self::SubmitTwice => "submit-twice",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_command_line_takes_every_name() {
        for planted in Planted::value_variants() {
            assert_eq!(Planted::from_str(planted.name(), false), Ok(*planted));
        }
    }
}
