//! The encoding of a body: UTF-8, UTF-16 or UTF-32, told by its mark or, without one, by where its first zeros stand
//! (RFC 4627 §3: the first two characters of JSON are ASCII).

use std::borrow::Cow;

/// A byte that UTF-8 never has: stands for a code unit that is no character.
const BROKEN: u8 = 0xff;

/// `body` in UTF-8 without a mark. What is not text in it stays, or becomes, bytes that are not UTF-8.
pub(super) fn utf8(body: &[u8]) -> Cow<'_, [u8]> {
    match *body {
        [0xef, 0xbb, 0xbf, ..] => Cow::Borrowed(&body[3..]),
        [0, 0, 0xfe, 0xff, ..] => utf32(&body[4..], u32::from_be_bytes),
        [0xff, 0xfe, 0, 0, ..] => utf32(&body[4..], u32::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(&body[2..], u16::from_be_bytes),
        [0xff, 0xfe, ..] => utf16(&body[2..], u16::from_le_bytes),
        [0, 0, 0, _, ..] => utf32(body, u32::from_be_bytes),
        [_, 0, 0, 0, ..] => utf32(body, u32::from_le_bytes),
        [0, _, 0, _, ..] => utf16(body, u16::from_be_bytes),
        [_, 0, _, 0, ..] => utf16(body, u16::from_le_bytes),
        _ => Cow::Borrowed(body),
    }
}

fn utf16(body: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Cow<'_, [u8]> {
    let (units, rest) = body.as_chunks::<2>();
    let characters = char::decode_utf16(units.iter().map(|bytes| unit(*bytes)));
    collected(characters.map(Result::ok), rest.len(), units.len())
}

fn utf32(body: &[u8], unit: impl Fn([u8; 4]) -> u32) -> Cow<'_, [u8]> {
    let (units, rest) = body.as_chunks::<4>();
    collected(units.iter().map(|bytes| char::from_u32(unit(*bytes))), rest.len(), units.len())
}

fn collected<'a>(characters: impl Iterator<Item = Option<char>>, rest: usize, room: usize) -> Cow<'a, [u8]> {
    let mut text = Vec::with_capacity(room);
    for character in characters {
        match character {
            Some(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => text.push(BROKEN),
        }
    }
    if rest > 0 {
        text.push(BROKEN);
    }
    Cow::Owned(text)
}
