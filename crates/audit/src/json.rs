//! Writing records as JSON: straight into the bytes of a frame, in one pass.
//!
//! Owns the compact form that leaves have; it is byte for byte what `serde_json` writes, which reads them back. Never
//! writes a float or bytes: no record holds any. Called at every append.

use std::fmt::{self, Display, Write as _};

use serde::{
    Serialize, Serializer,
    ser::{
        Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

#[cfg(test)]
mod tests;

/// A value that has no form in a record.
#[derive(Debug, thiserror::Error)]
#[error("a record cannot be written: {0}")]
pub(crate) struct NotWritten(String);

impl Error for NotWritten {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Appends `value` to `out`.
pub(crate) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), NotWritten> {
    value.serialize(Writer(out))
}

struct Writer<'out>(&'out mut Vec<u8>);

/// What is inside an array or an object, and the bytes that end it.
struct Inside<'out> {
    out: &'out mut Vec<u8>,
    first: bool,
    end: &'static [u8],
}

impl<'out> Inside<'out> {
    fn begin(out: &'out mut Vec<u8>, start: u8, end: &'static [u8]) -> Self {
        out.push(start);
        Self { out, first: true, end }
    }

    fn part(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotWritten> {
        self.part();
        value.serialize(Writer(self.out))
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), NotWritten> {
        self.part();
        // Names of members are words of this program: nothing in them is escaped.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Writer(self.out))
    }

    fn close(self) -> Result<(), NotWritten> {
        self.out.extend_from_slice(self.end);
        Ok(())
    }
}

/// Appends `text` as a JSON string.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    inner(out, text);
    out.push(b'"');
}

/// Appends the inside of a JSON string.
fn inner(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_escaped(rest) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        escape(out, *byte);
        rest = after;
    }
    out.extend_from_slice(rest);
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0A => b'n',
        0x0C => b'f',
        0x0D => b'r',
        _ => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xF)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Where the first byte stands that cannot stand in a string as it is. Eight bytes at a time: the subtraction borrows
/// out of a byte only above the lowest hit, so the lowest hit is exact.
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, bound: u64| word.wrapping_sub(bound) & !word;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quotes = below(word ^ (ONES * u64::from(b'"')), ONES);
        let backslashes = below(word ^ (ONES * u64::from(b'\\')), ONES);
        let hits = (quotes | backslashes | below(word, ONES * 0x20)) & (ONES << 7);
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).map(|place| at + place)
}

/// Appends a whole number.
fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        length += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// What is written piece by piece through formatting.
struct Pieces<'out>(&'out mut Vec<u8>);

impl fmt::Write for Pieces<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        inner(self.0, piece);
        Ok(())
    }
}

fn no_form<T>(what: &str) -> Result<T, NotWritten> {
    Err(NotWritten(format!("it holds {what}")))
}

impl<'out> Serializer for Writer<'out> {
    type Ok = ();
    type Error = NotWritten;
    type SerializeSeq = Inside<'out>;
    type SerializeTuple = Inside<'out>;
    type SerializeTupleStruct = Inside<'out>;
    type SerializeTupleVariant = Inside<'out>;
    type SerializeMap = Inside<'out>;
    type SerializeStruct = Inside<'out>;
    type SerializeStructVariant = Inside<'out>;

    fn serialize_bool(self, value: bool) -> Result<(), NotWritten> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), NotWritten> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), NotWritten> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), NotWritten> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), NotWritten> {
        if value < 0 {
            self.0.push(b'-');
        }
        number(self.0, value.unsigned_abs());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), NotWritten> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), NotWritten> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), NotWritten> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), NotWritten> {
        number(self.0, value);
        Ok(())
    }

    fn serialize_f32(self, _: f32) -> Result<(), NotWritten> {
        no_form("a float")
    }

    fn serialize_f64(self, _: f64) -> Result<(), NotWritten> {
        no_form("a float")
    }

    fn serialize_char(self, value: char) -> Result<(), NotWritten> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), NotWritten> {
        text(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), NotWritten> {
        no_form("bytes")
    }

    fn serialize_none(self) -> Result<(), NotWritten> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotWritten> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NotWritten> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NotWritten> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), NotWritten> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), NotWritten> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotWritten> {
        let mut object = Inside::begin(self.0, b'{', b"}");
        object.member(variant, value)?;
        object.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'out>, NotWritten> {
        Ok(Inside::begin(self.0, b'[', b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'out>, NotWritten> {
        Ok(Inside::begin(self.0, b'[', b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'out>, NotWritten> {
        Ok(Inside::begin(self.0, b'[', b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'out>, NotWritten> {
        variant_head(self.0, variant);
        Ok(Inside::begin(self.0, b'[', b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'out>, NotWritten> {
        Ok(Inside::begin(self.0, b'{', b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'out>, NotWritten> {
        Ok(Inside::begin(self.0, b'{', b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'out>, NotWritten> {
        variant_head(self.0, variant);
        Ok(Inside::begin(self.0, b'{', b"}}"))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), NotWritten> {
        self.0.push(b'"');
        write!(Pieces(self.0), "{value}").map_err(NotWritten::custom)?;
        self.0.push(b'"');
        Ok(())
    }
}

fn variant_head(out: &mut Vec<u8>, variant: &'static str) {
    out.push(b'{');
    text(out, variant);
    out.push(b':');
}

/// What serde calls on the inside of arrays of any kind, and on that of objects with names that are known beforehand.
macro_rules! inside {
    ($($kind:ident: $method:ident($($name:ident: $type:ty)?) by $by:ident;)*) => {$(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = NotWritten;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), NotWritten> {
                self.$by($($name,)? value)
            }

            fn end(self) -> Result<(), NotWritten> {
                self.close()
            }
        }
    )*};
}

inside! {
    SerializeSeq: serialize_element() by element;
    SerializeTuple: serialize_element() by element;
    SerializeTupleStruct: serialize_field() by element;
    SerializeTupleVariant: serialize_field() by element;
    SerializeStruct: serialize_field(name: &'static str) by member;
    SerializeStructVariant: serialize_field(name: &'static str) by member;
}

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = NotWritten;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), NotWritten> {
        self.part();
        let start = self.out.len();
        name.serialize(Writer(self.out))?;
        if self.out.get(start) == Some(&b'"') { Ok(()) } else { no_form("a name that is no text") }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotWritten> {
        self.out.push(b':');
        value.serialize(Writer(self.out))
    }

    fn end(self) -> Result<(), NotWritten> {
        self.close()
    }
}
