//! Why a datagram was dropped, and how often.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a datagram was dropped. Nobody is told but the counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Dropped {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Dropped {
            /// Every reason, in the order of the checks.
            pub const ALL: &'static [Dropped] = &[$(Dropped::$variant,)+];

            /// The reason's name in metrics: stable, lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Dropped::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// Shorter than the shortest datagram of its kind.
    TooShort = "too_short",
    /// Not of this protocol, or of another version of it.
    NotOurs = "not_ours",
    /// Of this protocol, but of a length or with reserved bytes that nobody sends.
    Malformed = "malformed",
    /// A handshake without proof of a cluster secret: a stranger, another cluster or epoch, a secret rotated away,
    /// a handshake meant for another member, or damage.
    BadMac = "bad_mac",
    /// More handshakes than this member is willing to compute.
    RateLimited = "rate_limited",
    /// Its sender knows a cluster secret, but Noise refuses its content.
    BadHandshake = "bad_handshake",
    /// A handshake by a key that is no peer's: never was, or was removed.
    UnknownKey = "unknown_key",
    /// A peer's key with another member's name, or meant for another incarnation of this one.
    WrongIdentity = "wrong_identity",
    /// A handshake from before the peer's last restart, or of a peer restored from an old backup.
    OldBoot = "old_boot",
    /// A handshake not newer than one seen before.
    HandshakeReplayed = "handshake_replayed",
    /// For a session or a handshake that does not exist here (any more).
    WrongSession = "wrong_session",
    /// A counter seen before.
    Replayed = "replayed",
    /// A counter below the replay window, or one that no live session reaches.
    TooOld = "too_old",
    /// Its tag does not fit: forged, or damaged on its way.
    BadTag = "bad_tag",
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Dropped {}

/// Counters by reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct DropCounters([u64; Dropped::ALL.len()]);

impl DropCounters {
    pub(crate) fn count(&mut self, reason: Dropped) {
        self.0[reason as usize] += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Dropped::ALL.iter().map(|reason| (reason.name(), self.0[*reason as usize]))
    }
}
