//! Keys, and their form as text: a word that says which kind, the bytes in hex, and a checksum against typing errors.

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2s256, Digest};
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::Dh;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const KEY_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// A member's X25519 static key. Overwritten when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey([u8; KEY_BYTES]);

/// What the others know a member by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

/// What all members of a cluster share: without it nobody gets as much as an answer. Overwritten when dropped,
/// never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClusterSecret([u8; KEY_BYTES]);

/// The cluster secrets of one member, two of them while they are rotated.
///
/// Rotation, each step done on every member before the next begins: accept the new secret as `other`; make it
/// `current` and the old one `other`; forget the old one. Sessions outlive all of it.
#[derive(Clone, Debug)]
pub struct ClusterSecrets {
    /// Handshakes are begun with it.
    pub current: ClusterSecret,
    /// Accepted from others as well.
    pub other: Option<ClusterSecret>,
}

impl From<ClusterSecret> for ClusterSecrets {
    fn from(current: ClusterSecret) -> ClusterSecrets {
        ClusterSecrets { current, other: None }
    }
}

impl PrivateKey {
    const WORD: &'static str = "private";

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn generate() -> Result<PrivateKey, getrandom::Error> {
        random_bytes().map(PrivateKey)
    }

    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> PrivateKey {
        PrivateKey(bytes)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(public_of(&self.0))
    }

    /// The key as text, to be written to a file that nobody else reads.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(to_text(PrivateKey::WORD, &self.0))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl PublicKey {
    const WORD: &'static str = "public";

    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> PublicKey {
        PublicKey(bytes)
    }

    /// The key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Whether the key is of low order: everybody can compute what it agrees on with any other.
    pub(crate) fn is_weak(&self) -> bool {
        // Clamping makes every scalar a multiple of the cofactor, which sends all low-order points to zero.
        let mut agreed = [0; KEY_BYTES];
        let dh = x25519(&[1; KEY_BYTES]);
        dh.dh(&self.0, &mut agreed).is_err() || agreed == [0; KEY_BYTES]
    }
}

impl ClusterSecret {
    const WORD: &'static str = "secret";

    /// A new secret from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn generate() -> Result<ClusterSecret, getrandom::Error> {
        random_bytes().map(ClusterSecret)
    }

    /// The secret with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> ClusterSecret {
        ClusterSecret(bytes)
    }

    /// The secret as text, to be written to a file that nobody else reads.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(to_text(ClusterSecret::WORD, &self.0))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

fn random_bytes() -> Result<[u8; KEY_BYTES], getrandom::Error> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn x25519(private: &[u8; KEY_BYTES]) -> Box<dyn Dh> {
    let mut dh =
        DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("the feature `use-curve25519` is on");
    dh.set(private);
    dh
}

fn public_of(private: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    let mut public = [0; KEY_BYTES];
    public.copy_from_slice(x25519(private).pubkey());
    public
}

fn checksum(word: &str, bytes: &[u8; KEY_BYTES]) -> [u8; CHECKSUM_BYTES] {
    let digest =
        Blake2s256::new().chain_update("raft-net key ").chain_update(word).chain_update(bytes).finalize();
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    checksum
}

fn to_text(word: &str, bytes: &[u8; KEY_BYTES]) -> String {
    let digits = 2 * (KEY_BYTES + CHECKSUM_BYTES);
    let mut text = String::with_capacity(word.len() + 1 + digits);
    text.push_str(word);
    text.push('-');
    for byte in bytes.iter().chain(&checksum(word, bytes)) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// What is wrong with a key's text. The text itself is not repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It does not begin with the word of the kind that belongs here.
    WrongKind {
        /// `public`, `private` or `secret`.
        expected: &'static str,
    },
    /// It has another length than a key's: cut, or with something added.
    WrongLength {
        /// Hex digits expected after the word.
        expected: usize,
        /// Digits found.
        found: usize,
    },
    /// A character that is no hex digit, at this place after the word.
    NotHex(usize),
    /// The checksum does not fit: a digit is wrong.
    BadChecksum,
    /// A public key that no private key makes. Anybody could speak in its name.
    Weak,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::WrongKind { expected } => {
                write!(f, "not a {expected} key: its text begins with `{expected}-`; look for the right file")
            }
            KeyError::WrongLength { expected, found } => {
                write!(f, "{found} hex digits where a key has {expected}; copy it whole")
            }
            KeyError::NotHex(place) => {
                write!(f, "character {place} of the key is no hex digit; copy it again")
            }
            KeyError::BadChecksum => write!(f, "the key's checksum does not fit; copy it again"),
            KeyError::Weak => write!(f, "a public key that belongs to nobody; make a new key pair"),
        }
    }
}

impl std::error::Error for KeyError {}

fn from_text(word: &'static str, text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    let digits = text
        .trim()
        .strip_prefix(word)
        .and_then(|rest| rest.strip_prefix('-'))
        .ok_or(KeyError::WrongKind { expected: word })?;
    let expected = 2 * (KEY_BYTES + CHECKSUM_BYTES);
    if digits.len() != expected {
        return Err(KeyError::WrongLength { expected, found: digits.len() });
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES + CHECKSUM_BYTES]);
    for (place, digit) in digits.chars().enumerate() {
        let value = digit.to_digit(16).ok_or(KeyError::NotHex(place))? as u8;
        bytes[place / 2] = bytes[place / 2] << 4 | value;
    }
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&bytes[..KEY_BYTES]);
    if bytes[KEY_BYTES..] != checksum(word, &key) {
        key.zeroize();
        return Err(KeyError::BadChecksum);
    }
    Ok(key)
}

impl FromStr for PrivateKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<PrivateKey, KeyError> {
        from_text(PrivateKey::WORD, text).map(PrivateKey)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        let key = from_text(PublicKey::WORD, text).map(PublicKey)?;
        if key.is_weak() { Err(KeyError::Weak) } else { Ok(key) }
    }
}

impl FromStr for ClusterSecret {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<ClusterSecret, KeyError> {
        from_text(ClusterSecret::WORD, text).map(ClusterSecret)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_text(PublicKey::WORD, &self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_their_text() {
        let key = PrivateKey::generate().unwrap();
        assert_eq!(key.to_text().parse::<PrivateKey>().unwrap().bytes(), key.bytes());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        let secret = ClusterSecret::generate().unwrap();
        assert_eq!(
            format!("{}\n", *secret.to_text()).parse::<ClusterSecret>().unwrap().bytes(),
            secret.bytes()
        );
    }

    #[test]
    fn public_halves_agree_on_a_secret_and_are_not_weak() {
        let (one, two) = (PrivateKey::from_bytes([1; 32]), PrivateKey::from_bytes([2; 32]));
        let agree = |own: &PrivateKey, other: &PrivateKey| {
            let mut agreed = [0; KEY_BYTES];
            x25519(&own.0).dh(&other.public().0, &mut agreed).unwrap();
            agreed
        };
        assert_eq!(agree(&one, &two), agree(&two, &one));
        assert_ne!(agree(&one, &two), agree(&one, &one));
        assert!(!one.public().is_weak());
    }

    #[test]
    fn a_wrong_text_says_what_is_wrong() {
        let text = PrivateKey::from_bytes([7; 32]).public().to_string();
        let kind = text.parse::<PrivateKey>().unwrap_err();
        assert_eq!(kind, KeyError::WrongKind { expected: "private" });
        let cut = text[..text.len() - 1].parse::<PublicKey>();
        assert_eq!(cut, Err(KeyError::WrongLength { expected: 72, found: 71 }));
        for place in "public-".len()..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[place] = if typo[place] == b'0' { b'1' } else { b'0' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(typo.parse::<PublicKey>(), Err(KeyError::BadChecksum), "{typo}");
        }
        assert_eq!(
            text.replace("public-", "public-g")[..text.len()].parse::<PublicKey>(),
            Err(KeyError::NotHex(0))
        );
        for weak in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(PublicKey(weak).to_string().parse::<PublicKey>(), Err(KeyError::Weak));
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = ClusterSecrets::from(ClusterSecret::from_bytes([0xAB; 32]));
        assert_eq!(format!("{secrets:?}"), "ClusterSecrets { current: ClusterSecret(..), other: None }");
        assert_eq!(format!("{:?}", PrivateKey::from_bytes([0xAB; 32])), "PrivateKey(..)");
    }
}
