//! What a cluster secret is used for, worked out once.

use blake2::{Blake2s256, Digest};
use zeroize::Zeroizing;

use super::config::SecureConfig;
use super::datagram::{self, MacKey};
use super::keys::{ClusterSecret, PublicKey};

/// One cluster secret, ready for use.
pub(crate) struct Prepared {
    secret: ClusterSecret,
    psk: Zeroizing<[u8; 32]>,
    /// Checks handshakes that are meant for this member.
    own_mac: MacKey,
    mark: u64,
}

impl Prepared {
    fn new(secret: &ClusterSecret, config: &SecureConfig) -> Prepared {
        let digest =
            Blake2s256::new().chain_update(b"raft-net 1 mark ").chain_update(secret.bytes()).finalize();
        let mut mark = [0; 8];
        mark.copy_from_slice(&digest[..8]);
        Prepared {
            secret: secret.clone(),
            psk: datagram::noise_psk(secret),
            own_mac: MacKey::new(secret, config.cluster, config.epoch, &config.key.public()),
            mark: u64::from_le_bytes(mark),
        }
    }

    pub(crate) fn psk(&self) -> &[u8; 32] {
        &self.psk
    }

    /// Tells this secret from others. It never leaves this process.
    pub(crate) fn mark(&self) -> u64 {
        self.mark
    }

    /// Closes handshakes that are meant for the member of this key.
    pub(crate) fn mac_key_of(&self, config: &SecureConfig, receiver: &PublicKey) -> MacKey {
        MacKey::new(&self.secret, config.cluster, config.epoch, receiver)
    }
}

/// One secret, or two while they are rotated.
pub(crate) struct Secrets {
    current: Prepared,
    other: Option<Prepared>,
}

impl Secrets {
    pub(crate) fn new(config: &SecureConfig) -> Secrets {
        Secrets {
            current: Prepared::new(&config.secrets.current, config),
            other: config.secrets.other.as_ref().map(|other| Prepared::new(other, config)),
        }
    }

    pub(crate) fn current(&self) -> &Prepared {
        &self.current
    }

    /// The secret that a handshake for this member was closed with.
    pub(crate) fn of_handshake(&self, bytes: &[u8]) -> Option<&Prepared> {
        [Some(&self.current), self.other.as_ref()]
            .into_iter()
            .flatten()
            .find(|secret| secret.own_mac.verifies(bytes))
    }
}
