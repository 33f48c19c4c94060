//! AMF0, the value format of RTMP commands (Adobe, "Action Message Format AMF 0", 2007).

use thiserror::Error;

/// Objects nested deeper than this are refused: no server needs it, and decoding recurses.
const MAX_DEPTH: usize = 8;

/// One AMF0 value, as far as RTMP commands use them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Boolean(bool),
    String(String),
    Object(Vec<(String, Value)>),
    /// An object with a size hint, which encoders use for `onMetaData`.
    EcmaArray(Vec<(String, Value)>),
    StrictArray(Vec<Value>),
    Null,
}

/// Why bytes are not AMF0.
#[derive(Debug, Error, PartialEq)]
pub(crate) enum Amf0Error {
    #[error("AMF0 value ends early")]
    Truncated,
    #[error("AMF0 marker {0:#04x} is not used by RTMP commands")]
    UnknownMarker(u8),
    #[error("AMF0 values are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl Value {
    /// A string value.
    pub(crate) fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// The property `key`, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let (Self::Object(properties) | Self::EcmaArray(properties)) = self else {
            return None;
        };
        let found = properties.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    /// The text of the property `key`, if this is an object that has it.
    pub(crate) fn property(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Appends the encoded value to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(marker::NUMBER);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Boolean(flag) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*flag)]),
            Self::String(text) => encode_string(text, out),
            Self::Object(properties) => {
                out.push(marker::OBJECT);
                encode_properties(properties, out);
            }
            Self::EcmaArray(properties) => {
                out.push(marker::ECMA_ARRAY);
                out.extend_from_slice(&(properties.len() as u32).to_be_bytes());
                encode_properties(properties, out);
            }
            Self::StrictArray(values) => {
                out.push(marker::STRICT_ARRAY);
                out.extend_from_slice(&(values.len() as u32).to_be_bytes());
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Null => out.push(marker::NULL),
        }
    }
}

/// Encodes values one after the other, as a command message holds them.
pub(crate) fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    values.iter().for_each(|value| value.encode(&mut out));
    out
}

/// Decodes the values of a command message. Behind its name and its transaction nothing that can't be read makes it a
/// wrong one: some servers add what only they know.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    const NAME_AND_TRANSACTION: usize = 2;
    let mut values = Vec::new();
    while !bytes.is_empty() {
        match decode_value(&mut bytes, 0) {
            Ok(value) => values.push(value),
            Err(Amf0Error::UnknownMarker(_)) if values.len() >= NAME_AND_TRANSACTION => break,
            Err(error) => return Err(error),
        }
    }
    Ok(values)
}

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const XML_DOCUMENT: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
}

fn encode_string(text: &str, out: &mut Vec<u8>) {
    if let Ok(length) = u16::try_from(text.len()) {
        out.push(marker::STRING);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(marker::LONG_STRING);
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

fn encode_properties(properties: &[(String, Value)], out: &mut Vec<u8>) {
    for (name, value) in properties {
        out.extend_from_slice(&(name.len() as u16).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        value.encode(out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Amf0Error> {
    let (head, tail) = bytes.split_at_checked(count).ok_or(Amf0Error::Truncated)?;
    *bytes = tail;
    Ok(head)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Amf0Error> {
    let (head, tail) = bytes.split_first_chunk().ok_or(Amf0Error::Truncated)?;
    *bytes = tail;
    Ok(*head)
}

fn take_text(bytes: &mut &[u8], length: usize) -> Result<String, Amf0Error> {
    Ok(String::from_utf8_lossy(take(bytes, length)?).into_owned())
}

fn take_name(bytes: &mut &[u8]) -> Result<String, Amf0Error> {
    let length = u16::from_be_bytes(take_array(bytes)?);
    take_text(bytes, length.into())
}

fn decode_value(bytes: &mut &[u8], depth: usize) -> Result<Value, Amf0Error> {
    if depth > MAX_DEPTH {
        return Err(Amf0Error::TooDeep);
    }
    let [kind] = take_array(bytes)?;
    Ok(match kind {
        marker::NUMBER => Value::Number(f64::from_be_bytes(take_array(bytes)?)),
        marker::BOOLEAN => Value::Boolean(take_array::<1>(bytes)? != [0]),
        marker::STRING => Value::String(take_name(bytes)?),
        marker::LONG_STRING | marker::XML_DOCUMENT => {
            let length = u32::from_be_bytes(take_array(bytes)?);
            Value::String(take_text(bytes, length as usize)?)
        }
        marker::NULL | marker::UNDEFINED | marker::UNSUPPORTED => Value::Null,
        marker::REFERENCE => {
            take(bytes, 2)?;
            Value::Null
        }
        marker::TYPED_OBJECT => {
            take_name(bytes)?;
            Value::Object(decode_properties(bytes, depth)?)
        }
        marker::OBJECT => Value::Object(decode_properties(bytes, depth)?),
        marker::ECMA_ARRAY => {
            take(bytes, 4)?;
            Value::EcmaArray(decode_properties(bytes, depth)?)
        }
        marker::STRICT_ARRAY => {
            let count = u32::from_be_bytes(take_array(bytes)?);
            // Not reserved up front: the count is the sender's word only.
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(decode_value(bytes, depth + 1)?);
            }
            Value::StrictArray(values)
        }
        marker::DATE => {
            let milliseconds = f64::from_be_bytes(take_array(bytes)?);
            take(bytes, 2)?;
            Value::Number(milliseconds)
        }
        other => return Err(Amf0Error::UnknownMarker(other)),
    })
}

fn decode_properties(bytes: &mut &[u8], depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
    let mut properties = Vec::new();
    loop {
        let name = take_name(bytes)?;
        if name.is_empty() && bytes.first() == Some(&marker::OBJECT_END) {
            take(bytes, 1)?;
            return Ok(properties);
        }
        properties.push((name, decode_value(bytes, depth + 1)?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<f64>()
                .prop_filter("NaN is not equal to itself", |n| !n.is_nan())
                .prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,40}".prop_map(Value::String),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let property = ("[a-z]{1,8}", inner.clone());
            prop_oneof![
                prop::collection::vec(property.clone(), 0..4).prop_map(Value::Object),
                prop::collection::vec(property, 0..4).prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..4).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(list in prop::collection::vec(values(), 0..4)) {
            prop_assert_eq!(decode(&encode(&list)), Ok(list));
        }

        #[test]
        fn any_bytes_decode_or_fail_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn an_endlessly_nested_object_is_refused() {
        let bytes: Vec<u8> = [3, 0, 1, b'a'].repeat(100_000);
        assert_eq!(decode(&bytes), Err(Amf0Error::TooDeep));
    }

    #[test]
    fn a_text_longer_than_64_kib_survives() {
        let long = Value::String("x".repeat(70_000));
        assert_eq!(decode(&encode(std::slice::from_ref(&long))), Ok(vec![long]));
    }

    #[test]
    fn a_huge_claimed_array_does_not_reserve_memory() {
        assert_eq!(
            decode(&[0x0a, 0xff, 0xff, 0xff, 0xff]),
            Err(Amf0Error::Truncated)
        );
    }
}
