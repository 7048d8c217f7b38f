//! Protocol Buffers as far as OTLP needs them: writing messages, and reading the one number of an answer that counts.
//!
//! Owns the wire form (<https://protobuf.dev/programming-guides/encoding/>). Knows no message: `encode` does. Default
//! values are left out, as proto3 does, unless a field has presence.

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.bytes.push(u8::try_from(value).unwrap_or(0));
    }

    fn tag(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    /// `uint32`, `uint64`, `int64`, `bool`, enumerations.
    pub(super) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present(field, value);
        }
    }

    /// As [`Self::number`] for a field with presence: zero is written too.
    pub(super) fn present(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        self.varint(value);
    }

    /// `fixed64`; written although zero, since OTLP has these in `oneof` or as times.
    pub(super) fn fixed(&mut self, field: u32, value: u64) {
        self.tag(field, 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `double`, with presence.
    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.fixed(field, value.to_bits());
    }

    /// `fixed32`.
    pub(super) fn fixed_short(&mut self, field: u32, value: u32) {
        self.tag(field, 5);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `bytes`, with presence.
    pub(super) fn blob(&mut self, field: u32, value: &[u8]) {
        self.tag(field, 2);
        self.varint(u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.bytes.extend_from_slice(value);
    }

    /// `string`.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.blob(field, value.as_bytes());
        }
    }

    /// A message inside.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.blob(field, &inner.bytes);
    }

    /// `repeated fixed64` or `repeated double`, packed, from the bits.
    pub(super) fn packed(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        let bytes: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
        self.blob(field, &bytes);
    }
}

/// The first varint field 1 inside the first message field 1: what an OTLP answer says it rejected. `None` where it says
/// nothing, or is not of that form.
pub(super) fn rejected(answer: &[u8]) -> Option<u64> {
    let partial = find(answer, 1, 2)?;
    let Value::Blob(partial) = partial else { return None };
    match find(partial, 1, 0)? {
        Value::Number(number) => Some(number),
        Value::Blob(_) => None,
    }
}

enum Value<'a> {
    Number(u64),
    Blob(&'a [u8]),
}

fn find(mut bytes: &[u8], field: u64, wire: u64) -> Option<Value<'_>> {
    while !bytes.is_empty() {
        let tag = read_varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => Value::Number(read_varint(&mut bytes)?),
            1 => Value::Blob(bytes.split_off(..8)?),
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                Value::Blob(bytes.split_off(..length)?)
            }
            5 => Value::Blob(bytes.split_off(..4)?),
            _ => return None,
        };
        if tag == field << 3 | wire {
            return Some(value);
        }
    }
    None
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_rejects_is_read_and_nonsense_is_not() {
        assert_eq!(rejected(&[0x0a, 3, 0x08, 0xac, 0x02]), Some(300));
        assert_eq!(rejected(&[]), None);
        for nonsense in [&[0x0a, 9, 1][..], &[0xff; 20], &[0x0a, 2, 0x08, 0x80], &[0x0b], &[0x09, 1, 2]] {
            assert_eq!(rejected(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn defaults_are_left_out_unless_they_are_present() {
        let mut message = Message::default();
        message.number(1, 0);
        message.text(2, "");
        assert!(message.bytes.is_empty());
        message.present(3, 0);
        message.number(4, 300);
        assert_eq!(message.into_bytes(), [0x18, 0, 0x20, 0xac, 0x02]);
    }
}
