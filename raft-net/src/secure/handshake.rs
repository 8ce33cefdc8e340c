//! The two messages of Noise IKpsk2, and the session that they leave behind.

use snow::{Builder, HandshakeState, StatelessTransportState};

use super::config::SecureError;
use super::datagram::{
    HELLO_BYTES, Hello, INITIATION_NOISE_BYTES, RESPONSE_NOISE_BYTES, WELCOME_BYTES, Welcome,
};
use super::dropped::Dropped;
use super::keys::{PrivateKey, PublicKey};
use super::randomness::{Primitives, Randomness};

/// AES-256-GCM seals a datagram three times faster than ChaCha20-Poly1305 where the processor helps, and `ring`'s is
/// constant-time where it does not.
pub(crate) const SUITE: &str = "Noise_IKpsk2_25519_AESGCM_BLAKE2s";
/// In IKpsk2 the secret is mixed in at the end of the second message.
const PSK_POSITION: u8 = 2;

/// What every handshake of this member is made with.
pub(crate) struct Local<'a> {
    pub(crate) key: &'a PrivateKey,
    pub(crate) prologue: &'a [u8],
    pub(crate) psk: &'a [u8; 32],
}

fn builder<'a>(local: &'a Local<'a>, randomness: &mut Randomness) -> Result<Builder<'a>, snow::Error> {
    Builder::with_resolver(SUITE.parse()?, Primitives::new(randomness))
        .local_private_key(local.key.bytes())?
        .prologue(local.prologue)?
        .psk(PSK_POSITION, local.psk)
}

/// A handshake that this member began.
pub(crate) struct Initiating(HandshakeState);

impl Initiating {
    /// Begins a handshake with the member of this key.
    pub(crate) fn begin(
        local: &Local<'_>,
        peer: &PublicKey,
        hello: Hello,
        randomness: &mut Randomness,
    ) -> Result<(Initiating, [u8; INITIATION_NOISE_BYTES]), SecureError> {
        let mut noise = [0; INITIATION_NOISE_BYTES];
        let begun = builder(local, randomness)
            .and_then(|builder| builder.remote_public_key(peer.as_bytes())?.build_initiator())
            .and_then(|mut state| {
                let written = state.write_message(&hello.to_bytes(), &mut noise)?;
                assert_eq!(written, noise.len(), "the first message of IKpsk2 has a fixed length");
                Ok(state)
            });
        match begun {
            Ok(state) => Ok((Initiating(state), noise)),
            Err(error) => Err(SecureError::Noise(error.to_string())),
        }
    }

    /// Reads the answer. Refused, it leaves the handshake as it was: another answer may come.
    pub(crate) fn read(&mut self, noise: &[u8]) -> Result<Welcome, Dropped> {
        let mut payload = [0; WELCOME_BYTES];
        match self.0.read_message(noise, &mut payload) {
            Ok(WELCOME_BYTES) => Ok(Welcome::from_bytes(&payload)),
            Ok(_) | Err(_) => Err(Dropped::BadHandshake),
        }
    }

    /// The session, once the answer was read.
    pub(crate) fn finish(self) -> Result<StatelessTransportState, Dropped> {
        self.0.into_stateless_transport_mode().map_err(|_| Dropped::BadHandshake)
    }
}

/// A handshake that another began, its first message read.
pub(crate) struct Responding {
    state: HandshakeState,
    pub(crate) key: PublicKey,
    pub(crate) hello: Hello,
}

impl Responding {
    /// Reads a first message. Noise has then proven that its sender holds the private half of `key`.
    pub(crate) fn read(
        local: &Local<'_>,
        noise: &[u8],
        randomness: &mut Randomness,
    ) -> Result<Responding, Dropped> {
        let mut payload = [0; HELLO_BYTES];
        let read = builder(local, randomness).and_then(Builder::build_responder).and_then(|mut state| {
            let bytes = state.read_message(noise, &mut payload)?;
            Ok((state, bytes))
        });
        let Ok((state, HELLO_BYTES)) = read else { return Err(Dropped::BadHandshake) };
        let key = state.get_remote_static().and_then(|key| <[u8; 32]>::try_from(key).ok());
        let key = PublicKey::from_bytes(key.ok_or(Dropped::BadHandshake)?);
        Ok(Responding { state, key, hello: Hello::from_bytes(&payload) })
    }

    /// Writes the second message, which makes the session.
    pub(crate) fn answer(
        mut self,
        welcome: Welcome,
    ) -> Result<(StatelessTransportState, [u8; RESPONSE_NOISE_BYTES]), Dropped> {
        let mut noise = [0; RESPONSE_NOISE_BYTES];
        // Only randomness can fail here.
        let written = self.state.write_message(&welcome.to_bytes(), &mut noise);
        let written = written.map_err(|_| Dropped::BadHandshake)?;
        assert_eq!(written, noise.len(), "the second message of IKpsk2 has a fixed length");
        let transport = self.state.into_stateless_transport_mode().map_err(|_| Dropped::BadHandshake)?;
        Ok((transport, noise))
    }
}
