//! The kinds of faults.

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    /// A connection ends; a part of what was on its way arrives.
    Reset,
    /// A direction delivers nothing for a while, and then everything.
    Stall,
    /// One host does not reach another for a while.
    CutOneWay,
    /// Two hosts do not reach each other for a while.
    CutBothWays,
    /// A host reaches nobody for a while.
    Isolate,
    /// A host does nothing for a while.
    Pause,
    /// A host is killed, and comes back with its arena.
    CrashWarm,
    /// A host is killed, and comes back without.
    CrashCold,
    /// A host is killed, and comes back with its arena as it was some time before.
    CrashOldArena,
    /// A host is killed, and comes back with a copy of its arena.
    CrashCopiedArena,
    /// A host is killed, and comes back with a copy of another one's arena, which goes on with it.
    CrashTwinArena,
    /// A host is killed between a write and its first byte on the way, and comes back with its arena.
    CrashUnsent,
    /// A host is killed, and comes back without its arena, or with one that has missed much; in the middle of its next sync it
    /// is cut off, or killed again.
    CrashTwice,
    /// A host leaves in order, and comes back.
    Leave,
    /// A host's clock is suddenly later.
    ClockJump,
    /// Bits are flipped on the way.
    Corrupt,
    /// Membership says that a host is down which is not.
    FalseDown,
    /// Membership says of a host what is not so, or was, in any order.
    Rumours,
    /// Many inserts at once on one host.
    Storm,
}

impl Fault {
    pub(crate) const ALL: [Self; 19] = [
        Self::Reset,
        Self::Stall,
        Self::CutOneWay,
        Self::CutBothWays,
        Self::Isolate,
        Self::Pause,
        Self::CrashWarm,
        Self::CrashCold,
        Self::CrashOldArena,
        Self::CrashCopiedArena,
        Self::CrashTwinArena,
        Self::CrashUnsent,
        Self::CrashTwice,
        Self::Leave,
        Self::ClockJump,
        Self::Corrupt,
        Self::FalseDown,
        Self::Rumours,
        Self::Storm,
    ];

    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "fault: reset",
            Self::Stall => "fault: stall",
            Self::CutOneWay => "fault: cut one way",
            Self::CutBothWays => "fault: cut both ways",
            Self::Isolate => "fault: isolate",
            Self::Pause => "fault: pause",
            Self::CrashWarm => "fault: crash, warm",
            Self::CrashCold => "fault: crash, cold",
            Self::CrashOldArena => "fault: crash, old arena",
            Self::CrashCopiedArena => "fault: crash, copied arena",
            Self::CrashTwinArena => "fault: crash, arena of another",
            Self::CrashUnsent => "fault: crash, unsent",
            Self::CrashTwice => "fault: crash, twice",
            Self::Leave => "fault: leave",
            Self::ClockJump => "fault: clock jump",
            Self::Corrupt => "fault: corrupt",
            Self::FalseDown => "fault: false down",
            Self::Rumours => "fault: rumours",
            Self::Storm => "fault: storm",
        }
    }
}
