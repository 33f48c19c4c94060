//! Maps in which no key stands twice. What serde derives tells the place of the whole map, this that of the second key.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a map; `form` is how one is written.
pub(super) fn keys<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    form: &'static str,
) -> Result<T, D::Error> {
    struct Keys<T>(&'static str, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(Once::new(map))
        }
    }

    deserializer.deserialize_map(Keys(form, PhantomData))
}

/// The entries of a map, up to a key that stands there a second time.
pub(super) struct Once<A> {
    map: A,
    seen: BTreeSet<String>,
}

impl<'de, A: MapAccess<'de>> Once<A> {
    pub(super) fn new(map: A) -> MapAccessDeserializer<Self> {
        let seen = BTreeSet::new();
        MapAccessDeserializer::new(Self { map, seen })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Once<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let seen = &mut self.seen;
        self.map.next_key_seed(Key { seed, seen })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

struct Key<'a, K> {
    seed: K,
    seen: &'a mut BTreeSet<String>,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for Key<'_, K> {
    type Value = K::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<K::Value, E> {
        if !self.seen.insert(key.to_owned()) {
            let why = format!("`{key}` stands here a second time: write it once");
            return Err(E::custom(why));
        }
        let key: StringDeserializer<E> = key.to_owned().into_deserializer();
        self.seed.deserialize(key)
    }
}
