//! Bounded decoding of lists from untrusted input. The declared length is not trusted, and the number of elements is
//! limited: an element can take many times more bytes in memory than in the message.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Decodes at most `MAX` elements; more are an error. For `#[serde(deserialize_with = "…")]`.
pub fn at_most<'de, D, C, const MAX: usize>(from: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    C: Default + IntoIterator + Extend<C::Item>,
    C::Item: Deserialize<'de>,
{
    weighing(from, MAX, |_| 1)
}

/// Decodes elements with a total weight of at most `max`; more are an error.
pub fn weighing<'de, D, C>(
    from: D,
    max: usize,
    weight: fn(&C::Item) -> usize,
) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    C: Default + IntoIterator + Extend<C::Item>,
    C::Item: Deserialize<'de>,
{
    from.deserialize_seq(Elements { max, weight, into: PhantomData })
}

struct Elements<C: IntoIterator> {
    max: usize,
    weight: fn(&C::Item) -> usize,
    into: PhantomData<C>,
}

impl<'de, C> Visitor<'de> for Elements<C>
where
    C: Default + IntoIterator + Extend<C::Item>,
    C::Item: Deserialize<'de>,
{
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} elements", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<C, A::Error> {
        let (mut decoded, mut weight) = (C::default(), 0_usize);
        while let Some(element) = elements.next_element()? {
            weight = weight.saturating_add((self.weight)(&element));
            if weight > self.max {
                return Err(A::Error::custom("too many elements"));
            }
            decoded.extend([element]);
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Three(#[serde(deserialize_with = "at_most::<_, _, 3>")] Vec<u8>);

    #[derive(Serialize, Deserialize)]
    struct Set(#[serde(deserialize_with = "at_most::<_, _, 3>")] BTreeSet<u8>);

    #[derive(Serialize, Deserialize)]
    struct Heavy(#[serde(deserialize_with = "heavy")] Vec<String>);

    fn heavy<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        weighing(from, 4, String::len)
    }

    #[test]
    fn one_element_above_the_limit_is_an_error() {
        let three = |bytes: &[u8]| postcard::from_bytes::<Three>(bytes).map(|three| three.0);
        assert_eq!(three(&[3, 1, 2, 3]).unwrap(), [1, 2, 3]);
        assert!(three(&[4, 1, 2, 3, 4]).is_err());
        // A declared length without elements.
        assert!(three(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).is_err());
        // Duplicates count too.
        assert!(postcard::from_bytes::<Set>(&[4, 1, 1, 1, 1]).is_err());
        assert_eq!(postcard::from_bytes::<Set>(&[3, 1, 1, 2]).unwrap().0.len(), 2);
    }

    #[test]
    fn the_total_weight_is_limited() {
        let heavy = |words: &[&str]| {
            let bytes = postcard::to_stdvec(words).unwrap();
            postcard::from_bytes::<Heavy>(&bytes).map(|heavy| heavy.0.len()).ok()
        };
        assert_eq!(heavy(&["ab", "cd"]), Some(2));
        assert_eq!(heavy(&["ab", "cde"]), None);
    }
}
