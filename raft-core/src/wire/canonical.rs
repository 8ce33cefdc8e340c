//! Canonical postcard: each value has one encoding, and only that one is read.
//!
//! postcard alone reads more than it writes. What it lets through, and what stops it here:
//!
//! | second spelling | stopped by |
//! |---|---|
//! | bytes left over | [`parse`] |
//! | a varint longer than it need be (`80 00` for `00`) | [`Canonical`] |
//! | a set or map out of order, or with a key twice | [`ascending_list`], [`ascending_map`] |
//!
//! Memory grows with what was read, never with a claimed length: [`growing_vec`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use postcard::{de_flavors, ser_flavors};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serialize;

/// Reads the one value that takes up all of the bytes and whose encoding they are.
///
/// # Errors
/// For anything else.
pub(crate) fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, postcard::Error> {
    let mut deserializer = postcard::Deserializer::from_flavor(Canonical { rest: bytes, continued: false });
    let value = T::deserialize(&mut deserializer)?;
    let rest = deserializer.finalize()?;
    if rest.is_empty() { Ok(value) } else { Err(postcard::Error::DeserializeBadEncoding) }
}

/// Appends a value's encoding, while `bytes` has no more than `bytes_max` in all. Whether it fitted; what is there
/// of one that did not is the caller's to clear.
#[must_use]
pub(crate) fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>, bytes_max: usize) -> bool {
    postcard::serialize_with_flavor(value, Bounded { bytes, bytes_max }).is_ok()
}

/// What is left to read, and whether the last single byte said that its varint continues.
///
/// A varint is overlong exactly if its last byte is zero and not its only one: `continued`, then zero. Single bytes
/// are read for varints and booleans only, and no boolean continues. An `u8` in a message would be mistaken for part
/// of a varint: Architecture Invariant: no `u8`, `i8` or float in a type of the wire. The round trips of
/// tests/wire.rs fail if one is added.
struct Canonical<'de> {
    rest: &'de [u8],
    continued: bool,
}

impl<'de> de_flavors::Flavor<'de> for Canonical<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return Err(postcard::Error::DeserializeUnexpectedEnd);
        };
        if self.continued && byte == 0 {
            return Err(postcard::Error::DeserializeBadVarint);
        }
        self.continued = byte & 0x80 != 0;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }

    #[inline]
    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'de [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(postcard::Error::DeserializeUnexpectedEnd);
        };
        self.rest = rest;
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<&'de [u8]> {
        Ok(self.rest)
    }
}

/// Writes to the end of a vector, up to a bound.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    bytes_max: usize,
}

impl ser_flavors::Flavor for Bounded<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        if data.len() > self.bytes_max.saturating_sub(self.bytes.len()) {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.try_extend(&[data])
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Elements for which room is made before the first was read: enough for most appends, and little memory.
const GROWING_START: usize = 8;

/// A vector that grows with its elements. serde's own makes room for up to 1 MiB at a claim.
pub(crate) fn growing_vec<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Elements<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a sequence")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
            // Two to the 31 of nothing fit in five bytes.
            const { assert!(size_of::<T>() > 0, "an element without bytes makes any count free") };
            let mut list = Vec::with_capacity(elements.size_hint().unwrap_or(0).min(GROWING_START));
            while let Some(element) = elements.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Elements(PhantomData))
}

/// A set as it is written: strictly ascending.
pub(crate) fn ascending_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Ord,
{
    let list: Vec<T> = growing_vec(deserializer)?;
    if !list.is_sorted_by(|earlier, later| earlier < later) {
        return Err(de::Error::custom("a set is not strictly ascending"));
    }
    Ok(list)
}

/// A map as it is written: keys strictly ascending.
pub(crate) fn ascending_map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    struct Pairs<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<BTreeMap<K, V>, A::Error> {
            const { assert!(size_of::<K>() > 0, "a key without bytes makes any count free") };
            let mut map = BTreeMap::new();
            while let Some((key, value)) = pairs.next_entry()? {
                if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(de::Error::custom("a map's keys are not strictly ascending"));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Pairs(PhantomData))
}
