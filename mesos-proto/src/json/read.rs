//! From JSON to protobuf bytes.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Error, ErrorKind, Fault, MAX_DEPTH, Step};
use crate::base64;
use crate::cursor::{FIXED64, LEN, VARINT, put_tag, put_varint};
use crate::descriptor::{Field, Kind, Label, Message};

pub(super) fn message(message: &'static Message, json: &[u8], strict: bool) -> Result<Vec<u8>, Error> {
    let text = core::str::from_utf8(json).map_err(|error| Error {
        path: String::new(),
        offset: error.valid_up_to(),
        kind: ErrorKind::Utf8,
    })?;
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut reader = Reader { text, at: 0, strict };
    let result = reader.object(message, &mut out, MAX_DEPTH).and_then(|()| reader.end());
    result.map(|()| out).map_err(Fault::into_error)
}

/// A value as that of a field, with its tag, read as strictly as can be. `None` if it is unset.
pub(crate) fn field(field: &'static Field, json: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut out = Vec::new();
    let mut reader = Reader { text: json, at: 0, strict: true };
    reader.space();
    let set = reader.field(field, &mut out, MAX_DEPTH).and_then(|set| reader.end().map(|()| set));
    set.map(|set| set.then_some(out)).map_err(Fault::into_error)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    strict: bool,
}

impl<'a> Reader<'a> {
    fn fault(&self, kind: ErrorKind) -> Fault {
        Fault::new(self.at, kind)
    }

    fn syntax(&self, expected: &'static str) -> Fault {
        self.fault(ErrorKind::Syntax(expected))
    }

    /// Nothing but white space is left.
    fn end(&mut self) -> Result<(), Fault> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.syntax("the end")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The next byte that isn't white space, still to be read.
    fn next(&mut self) -> Option<u8> {
        self.space();
        self.peek()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.next() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if found {
            self.at += word.len();
        }
        found
    }

    /// The fields of an object, each key handed to `each` with its value still to be read.
    fn entries(&mut self, mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), Fault>) -> Result<(), Fault> {
        if !self.take(b'{') {
            return Err(self.fault(ErrorKind::Type("an object")));
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.next() != Some(b'"') {
                return Err(self.syntax("a key"));
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.syntax("a colon"));
            }
            self.space();
            each(self, key)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.syntax("a comma or the object's end"));
            }
        }
    }

    fn object(&mut self, message: &'static Message, out: &mut Vec<u8>, depth: u32) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.fault(ErrorKind::Depth))?;
        let mut seen = 0_u64;
        self.entries(|reader, key| {
            let Some(field) = message.field_named(&key) else {
                return match reader.strict {
                    true => Err(reader.fault(ErrorKind::UnknownField(key.into_owned()))),
                    false => reader.skip(depth),
                };
            };
            let known = reader.field(field, out, depth).map_err(|fault| fault.within(Step::Field(field.name)))?;
            if known {
                seen |= message.place(field.number).map_or(0, |place| 1 << place);
            }
            Ok(())
        })?;
        let missing = message.required & !seen;
        match message.fields.get(missing.trailing_zeros() as usize) {
            Some(field) if missing != 0 => Err(self.fault(ErrorKind::Missing).within(Step::Field(field.name))),
            _ => Ok(()),
        }
    }

    /// A field's value. `false` if it turns out to be unset.
    fn field(&mut self, field: &'static Field, out: &mut Vec<u8>, depth: u32) -> Result<bool, Fault> {
        if self.word("null") {
            return Ok(false);
        }
        match field.kind {
            Kind::Message(entry) if entry.map_entry => return self.map(field, entry, out, depth).map(|()| true),
            _ => {}
        }
        if field.label != Label::Repeated {
            return self.value(field, out, depth);
        }
        if !self.take(b'[') {
            // Mesos takes a single value for a list of one.
            return self.value(field, out, depth);
        }
        if self.take(b']') {
            return Ok(true);
        }
        for index in 0.. {
            self.space();
            self.value(field, out, depth).map_err(|fault| fault.within(Step::Index(index)))?;
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.syntax("a comma or the list's end"));
            }
        }
        Ok(true)
    }

    fn map(&mut self, field: &Field, entry: &'static Message, out: &mut Vec<u8>, depth: u32) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.fault(ErrorKind::Depth))?;
        self.entries(|reader, key| {
            // All maps of the schema have texts for keys.
            let [_, value] = entry.fields else { return reader.skip(depth) };
            nested(field.number, out, |out| {
                put_tag(out, 1, LEN);
                put_varint(out, key.len() as u64);
                out.extend_from_slice(key.as_bytes());
                reader.value(value, out, depth).map(drop)
            })
        })
    }

    /// One value, with its tag. `false` if it is an enum's unknown name.
    fn value(&mut self, field: &'static Field, out: &mut Vec<u8>, depth: u32) -> Result<bool, Fault> {
        let number = field.number;
        match field.kind {
            Kind::Message(message) => {
                nested(number, out, |out| self.object(message, out, depth))?;
            }
            Kind::String => {
                let text = self.text_value("a text")?;
                put_tag(out, number, LEN);
                put_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Kind::Bytes => {
                let start = self.at;
                let text = self.text_value("base64")?;
                let bytes = base64::decode(&text).ok_or_else(|| Fault::new(start, ErrorKind::Base64))?;
                put_tag(out, number, LEN);
                put_varint(out, bytes.len() as u64);
                out.extend_from_slice(&bytes);
            }
            Kind::Bool => {
                let value = self.truth()?;
                put_tag(out, number, VARINT);
                out.push(u8::from(value));
            }
            Kind::Double => {
                let value = self.double()?;
                put_tag(out, number, FIXED64);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Kind::Enum(item) => {
                let start = self.at;
                let (value, name) = if self.peek() == Some(b'"') {
                    let name = self.string()?;
                    (item.number(&name), name.into_owned())
                } else {
                    let token = self.number_token("a name")?;
                    (token.parse().ok().filter(|&number| item.contains(number)), token.to_string())
                };
                let Some(value) = value else {
                    return match field.label {
                        Label::Optional | Label::Repeated if !self.strict => Ok(false),
                        _ => Err(Fault::new(start, ErrorKind::UnknownEnum(name))),
                    };
                };
                put_tag(out, number, VARINT);
                put_varint(out, i64::from(value) as u64);
            }
            Kind::Int32 => {
                let value: i32 = self.integer()?;
                put_tag(out, number, VARINT);
                put_varint(out, i64::from(value) as u64);
            }
            Kind::Int64 => {
                let value: i64 = self.integer()?;
                put_tag(out, number, VARINT);
                put_varint(out, value as u64);
            }
            Kind::Uint32 => {
                let value: u32 = self.integer()?;
                put_tag(out, number, VARINT);
                put_varint(out, value.into());
            }
            Kind::Uint64 => {
                let value: u64 = self.integer()?;
                put_tag(out, number, VARINT);
                put_varint(out, value);
            }
        }
        Ok(true)
    }

    fn text_value(&mut self, expected: &'static str) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ => Err(self.fault(ErrorKind::Type(expected))),
        }
    }

    fn truth(&mut self) -> Result<bool, Fault> {
        for (word, value) in [("true", true), ("\"true\"", true), ("false", false), ("\"false\"", false)] {
            if self.word(word) {
                return Ok(value);
            }
        }
        Err(self.fault(ErrorKind::Type("true or false")))
    }

    /// A number as it stands there, perhaps in a string.
    fn number_text(&mut self) -> Result<Cow<'a, str>, Fault> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ => self.number_token("a number").map(Cow::Borrowed),
        }
    }

    fn number_token(&mut self, expected: &'static str) -> Result<&'a str, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let negative = usize::from(rest.starts_with('-'));
        let len = match rest.get(negative..) {
            Some(word) if word.starts_with("Infinity") => negative + "Infinity".len(),
            _ => {
                let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                rest.bytes().take_while(|byte| part(byte)).count()
            }
        };
        let token = rest.get(..len).unwrap_or_default();
        if !is_number(token) {
            return Err(self.fault(ErrorKind::Type(expected)));
        }
        self.at += len;
        Ok(token)
    }

    fn double(&mut self) -> Result<f64, Fault> {
        let start = self.at;
        let text = self.number_text()?;
        match text.parse() {
            Ok(value) if is_number(&text) => Ok(value),
            _ => Err(Fault::new(start, ErrorKind::Type("a number"))),
        }
    }

    /// A whole number. Never by way of a double, unless it is written like one.
    fn integer<T: core::str::FromStr + TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let start = self.at;
        let text = self.number_text()?;
        if let Ok(value) = text.parse() {
            return Ok(value);
        }
        if !is_number(&text) {
            return Err(Fault::new(start, ErrorKind::Type("a whole number")));
        }
        // 5.0 and 1e3 are whole, too; above 2^53 a double no longer tells.
        let value: f64 = text.parse().unwrap_or(f64::NAN);
        let whole = if value.abs() <= 9_007_199_254_740_992.0 { value as i64 } else { 0 };
        if text.contains(['.', 'e', 'E']) && whole as f64 == value {
            if let Ok(value) = T::try_from(whole) {
                return Ok(value);
            }
        }
        Err(Fault::new(start, ErrorKind::Range(text.chars().take(64).collect())))
    }

    /// A string, with the opening quote still to be read.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let start = self.at;
        let mut owned: Option<String> = None;
        let mut from = start;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            self.at += plain.unwrap_or(rest.len());
            let part = self.text.get(from..self.at).unwrap_or_default();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(part),
                        Some(owned) => Cow::Owned(owned + part),
                    });
                }
                Some(b'\\') => {
                    let owned = owned.get_or_insert_default();
                    owned.push_str(part);
                    self.at += 1;
                    owned.push(self.escaped()?);
                    from = self.at;
                }
                _ => return Err(self.syntax("the string's end")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Fault> {
        let escape = self.peek();
        self.at += 1;
        Ok(match escape {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.four_digits()?;
                if !(0xd800..0xdc00).contains(&high) {
                    return char::from_u32(high).ok_or_else(|| self.syntax("a character"));
                }
                if !self.word("\\u") {
                    return Err(self.syntax("the pair's second half"));
                }
                let low = self.four_digits()?;
                let pair = low.checked_sub(0xdc00).filter(|low| *low < 0x400);
                let code = pair.map(|low| 0x10000 + ((high - 0xd800) << 10) + low);
                code.and_then(char::from_u32).ok_or_else(|| self.syntax("the pair's second half"))?
            }
            _ => return Err(self.syntax("an escape")),
        })
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let value = value.ok_or_else(|| self.syntax("four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }

    /// A value of any kind, of no interest.
    fn skip(&mut self, depth: u32) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.fault(ErrorKind::Depth))?;
        match self.next() {
            Some(b'{') => self.entries(|reader, _| reader.skip(depth)),
            Some(b'[') => {
                self.at += 1;
                if self.take(b']') {
                    return Ok(());
                }
                loop {
                    self.skip(depth)?;
                    if self.take(b']') {
                        return Ok(());
                    }
                    if !self.take(b',') {
                        return Err(self.syntax("a comma or the list's end"));
                    }
                }
            }
            Some(b'"') => self.string().map(drop),
            _ if self.word("null") || self.word("true") || self.word("false") => Ok(()),
            _ => self.number_token("a value").map(drop),
        }
    }
}

/// JSON's grammar for numbers, and infinity.
fn is_number(token: &str) -> bool {
    let rest = token.strip_prefix('-').unwrap_or(token);
    if rest == "Infinity" {
        return true;
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

/// A length-delimited field whose length is known only when its content is written.
fn nested<T>(
    number: u32,
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    put_tag(out, number, LEN);
    // One byte suffices for most; longer lengths move the content once.
    let place = out.len();
    out.push(0);
    let result = content(out)?;
    let len = out.len() - place - 1;
    if len < 0x80 {
        if let Some(byte) = out.get_mut(place) {
            *byte = len as u8;
        }
    } else {
        let mut prefix = Vec::with_capacity(10);
        put_varint(&mut prefix, len as u64);
        out.splice(place..=place, prefix);
    }
    Ok(result)
}
