//! Lists that come from outside. What they say of their length is not believed, and how long they may be is bounded: an
//! element may take many times the bytes in memory that it takes in a message.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Takes at most so many elements; one more is an error. For `#[serde(deserialize_with = "…")]`.
pub fn at_most<'de, D, C, const MOST: usize>(from: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    C: Default + IntoIterator + Extend<C::Item>,
    C::Item: Deserialize<'de>,
{
    weighing(from, MOST, |_| 1)
}

/// Takes elements until they weigh more than `most` together, which is an error.
pub fn weighing<'de, D, C>(
    from: D,
    most: usize,
    weight: fn(&C::Item) -> usize,
) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    C: Default + IntoIterator + Extend<C::Item>,
    C::Item: Deserialize<'de>,
{
    from.deserialize_seq(Elements { most, weight, into: PhantomData })
}

struct Elements<C: IntoIterator> {
    most: usize,
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
        write!(f, "at most {} elements", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<C, A::Error> {
        let (mut taken, mut weight) = (C::default(), 0_usize);
        while let Some(element) = elements.next_element()? {
            weight = weight.saturating_add((self.weight)(&element));
            if weight > self.most {
                return Err(A::Error::custom("too many elements"));
            }
            taken.extend([element]);
        }
        Ok(taken)
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
    fn as_many_as_are_allowed_and_no_more() {
        let three = |bytes: &[u8]| postcard::from_bytes::<Three>(bytes).map(|three| three.0);
        assert_eq!(three(&[3, 1, 2, 3]).unwrap(), [1, 2, 3]);
        assert!(three(&[4, 1, 2, 3, 4]).is_err());
        // A length without elements.
        assert!(three(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).is_err());
        // What is there already counts as well.
        assert!(postcard::from_bytes::<Set>(&[4, 1, 1, 1, 1]).is_err());
        assert_eq!(postcard::from_bytes::<Set>(&[3, 1, 1, 2]).unwrap().0.len(), 2);
    }

    #[test]
    fn elements_may_weigh_more_than_one() {
        let heavy = |words: &[&str]| {
            let bytes = postcard::to_stdvec(words).unwrap();
            postcard::from_bytes::<Heavy>(&bytes).map(|heavy| heavy.0.len()).ok()
        };
        assert_eq!(heavy(&["ab", "cd"]), Some(2));
        assert_eq!(heavy(&["ab", "cde"]), None);
    }
}
