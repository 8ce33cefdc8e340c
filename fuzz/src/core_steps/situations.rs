//! What an input may bring a leader into while it sends snapshots. The committed seeds reach every one of these, and a
//! test says so: a change of the grammar can't lose them unnoticed.

/// A situation on the leader's side of snapshots, as it shows outside of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Situation {
    /// It leads others.
    Leads,
    /// It commits something that it leads others to.
    Commits,
    /// A snapshot of its own is taken while it leads, and the log's beginning goes.
    Compacts,
    /// A follower asks below the beginning of the log, and gets the first piece of a snapshot.
    Offers,
    /// As many pieces are under way as may be.
    FillsWindow,
    /// A piece is answered, and another one goes out.
    Advances,
    /// A piece goes out again.
    Repeats,
    /// The follower had a part already: what comes next starts beyond all that was sent.
    SkipsAhead,
    /// The same, in a later term than the one in which that part was sent.
    ResumesInLaterTerm,
    /// The follower lost its part, and the first piece comes again.
    BeginsAnew,
    /// All pieces are there, and the follower is asked whether the snapshot is installed.
    AsksForInstallation,
    /// The snapshot is installed, and the log goes on after it.
    Finishes,
    /// An acknowledgement from below the snapshot's end, which the log still reaches, ends the transfer.
    FinishesEarly,
    /// Two followers get a snapshot at once.
    TwoAtOnce,
    /// A snapshot without content is sent.
    SendsEmpty,
    /// A newer snapshot is refused, since a follower is receiving the current one.
    NewerIsRefused,
    /// A newer snapshot takes the current one's place while that is sent.
    NewerIsTaken,
    /// What was to be sent is gone from the disk, and the transfer begins anew.
    FindsGone,
    /// A follower that was getting a snapshot gets a newer one.
    SendsNewer,
    /// What was to be sent is damaged, and the node stops.
    StopsOnDamage,
    /// A follower restarts while it gets a snapshot, and is asked where it is.
    FollowerRestarts,
    /// The node is deposed while it sends one.
    IsDeposed,
    /// The node crashes while it sends one.
    Crashes,
    /// A follower says that it has more of the snapshot than there is.
    HasMoreThanAll,
    /// An answer is about another snapshot.
    AnswersAboutAnother,
    /// A follower has less than it said before, and does not say why.
    GoesBack,
    /// A follower rejects an append while it gets a snapshot.
    RejectsMeanwhile,
    /// A follower acknowledges more than there is, while it gets a snapshot.
    AcknowledgesTooMuch,
    /// After all of that, a follower with nothing is brought up to date by a snapshot.
    BringsUp,
}

impl Situation {
    /// All of them.
    pub const ALL: [Situation; 29] = [
        Situation::Leads,
        Situation::Commits,
        Situation::Compacts,
        Situation::Offers,
        Situation::FillsWindow,
        Situation::Advances,
        Situation::Repeats,
        Situation::SkipsAhead,
        Situation::ResumesInLaterTerm,
        Situation::BeginsAnew,
        Situation::AsksForInstallation,
        Situation::Finishes,
        Situation::FinishesEarly,
        Situation::TwoAtOnce,
        Situation::SendsEmpty,
        Situation::NewerIsRefused,
        Situation::NewerIsTaken,
        Situation::FindsGone,
        Situation::SendsNewer,
        Situation::StopsOnDamage,
        Situation::FollowerRestarts,
        Situation::IsDeposed,
        Situation::Crashes,
        Situation::HasMoreThanAll,
        Situation::AnswersAboutAnother,
        Situation::GoesBack,
        Situation::RejectsMeanwhile,
        Situation::AcknowledgesTooMuch,
        Situation::BringsUp,
    ];
}
