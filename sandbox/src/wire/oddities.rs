//! Answers as the world's servers write them: true in content, odd in form.
//!
//! Owns the forms that a reader must get past. Promises that an answer in any of them says what the plain one says, so
//! that a test may expect the plain outcome.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Reply;

/// A way to write a true answer that a strict reader does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// A byte order mark before the JSON.
    ByteOrderMark,
    /// UTF-16 with its mark.
    Utf16,
    /// `NaN` in a further member.
    Nan,
    /// A comma after the last member, and a comment behind it.
    TrailingComma,
    /// Half an emoji in a further member.
    HalfAnEmoji,
    /// A warning of the server's own before the JSON.
    Warning,
    /// `)]}',` before it, as a guard against script inclusion.
    Guard,
    /// The JSON as the argument of a function.
    Jsonp,
    /// The JSON as a JSON string.
    Twice,
    /// The JSON in `{"data": …}`.
    Wrapped,
    /// Lists as objects with the items' numbers for names, as PHP writes those that it has filtered.
    Numbered,
    /// A member of 300,000 bytes before the others.
    Oversized,
    /// The last bytes of the body, behind the JSON's end, never come.
    CutBehind,
    /// `Content-Encoding: gzip`.
    Gzip,
    /// `Content-Encoding: deflate`.
    Deflate,
    /// `Content-Encoding: br`.
    Brotli,
    /// `Content-Encoding: zstd`.
    Zstd,
    /// `Content-Encoding: gzip` over a body that is not coded.
    FalseGzip,
    /// A header line that is none.
    BadHeader,
}

impl Oddity {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::ByteOrderMark,
        Self::Utf16,
        Self::Nan,
        Self::TrailingComma,
        Self::HalfAnEmoji,
        Self::Warning,
        Self::Guard,
        Self::Jsonp,
        Self::Twice,
        Self::Wrapped,
        Self::Numbered,
        Self::Oversized,
        Self::CutBehind,
        Self::Gzip,
        Self::Deflate,
        Self::Brotli,
        Self::Zstd,
        Self::FalseGzip,
        Self::BadHeader,
    ];

    /// The answer in this form. An answer without a body has no form.
    pub(super) fn write(self, reply: Reply) -> Reply {
        if reply.body.is_empty() {
            return reply;
        }
        let (text, value) = (String::from_utf8_lossy(&reply.body).into_owned(), json_of(&reply));
        let (mut headers, mut body) = (reply.headers, reply.body);
        let mut coded = |name: &str| headers.push(("content-encoding".to_owned(), name.to_owned()));
        match self {
            Self::ByteOrderMark => body = format!("\u{feff}{text}").into_bytes(),
            Self::Utf16 => body = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Nan => body = with_member(&text, r#""score": NaN"#),
            Self::HalfAnEmoji => body = with_member(&text, r#""note": "\ud83d""#),
            Self::Oversized => body = with_member(&text, &format!(r#""echo": "{}""#, "x".repeat(300_000))),
            Self::TrailingComma => {
                body = format!("{},{} // made\n", &text[..text.len() - 1], &text[text.len() - 1..]).into();
            }
            Self::Warning => body = format!("<br />\n<b>Warning</b>: it's late in <b>/a.php</b><br />\n{text}").into(),
            Self::Guard => body = format!(")]}}',\n{text}").into(),
            Self::Jsonp => body = format!("/**/ callback({text});").into(),
            Self::Twice => body = Value::String(text).to_string().into(),
            Self::Wrapped => body = json!({ "data": value }).to_string().into(),
            Self::Numbered => body = numbered(value).to_string().into(),
            Self::CutBehind => {}
            Self::Gzip => {
                coded("gzip");
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                drop(encoder.write_all(&body));
                body = encoder.finish().unwrap_or_default();
            }
            Self::Deflate => {
                coded("deflate");
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                drop(encoder.write_all(&body));
                body = encoder.finish().unwrap_or_default();
            }
            Self::Brotli => {
                coded("br");
                body = brotli(&body);
            }
            Self::Zstd => {
                coded("zstd");
                body = compress_to_vec(body.as_slice(), CompressionLevel::Uncompressed);
            }
            Self::FalseGzip => coded("gzip"),
            Self::BadHeader => headers.push(("Bad Header".to_owned(), "x".to_owned())),
        }
        Reply { headers, body, ..reply }
    }
}

/// Lists that have something in them, at the top or in a member, as objects.
fn numbered(value: Value) -> Value {
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.into_iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect::<Value>()
        }
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, numbered(value))).collect(),
        other => other,
    }
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// An object's text with a member more, before the others; anything else as it is.
fn with_member(text: &str, member: &str) -> Vec<u8> {
    match text.strip_prefix('{').map(str::trim_start) {
        Some(rest) if rest.starts_with('}') => format!("{{{member}{rest}"),
        Some(rest) => format!("{{{member}, {rest}"),
        None => text.to_owned(),
    }
    .into_bytes()
}

/// RFC 7932 in its simplest form: blocks of bytes as they are, then the empty last one.
fn brotli(body: &[u8]) -> Vec<u8> {
    let (mut coded, mut is_first) = (Vec::new(), true);
    for block in body.chunks(1 << 16) {
        // ISLAST 0, MNIBBLES 0 (four), MLEN - 1, ISUNCOMPRESSED 1; before the first block WBITS 0, a window of 64 KiB.
        let length = u32::try_from(block.len() - 1).unwrap_or_default();
        let header = length << 3 | 1 << 19;
        let header = if is_first { header << 1 } else { header };
        let bytes = header.to_le_bytes();
        coded.extend(&bytes[..3]);
        coded.extend(block);
        is_first = false;
    }
    coded.push(3);
    coded
}
