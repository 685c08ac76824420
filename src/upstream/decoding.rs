//! Content codings of an answer (RFC 9110 §8.4.1): gzip, deflate, br and zstd, decoded wherever they come.
//!
//! We send no `Accept-Encoding`, so an upstream may use any coding (RFC 9110 §12.5.3), and proxies do. The HTTP
//! client's own decoder is not used: it would send an `Accept-Encoding`, which invites every upstream to compress; it
//! knows a coding only alone and in small letters; and it loses the body of an answer whose label is wrong. Promises
//! that no more than the cap is decoded, however small the answer was on the wire, that what was decoded before a fault
//! stays, and that a body which is not what its label says is left as it came.

use std::io::{ErrorKind, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use ruzstd::decoding::StreamingDecoder;

use super::answer::Ending;

/// Codings on top of each other that are taken off; nobody needs more than two.
const MOST_LAYERS: usize = 4;
/// What gzip and zstd begin with. No JSON does, so that a body is known for what it is where a proxy lost the label.
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The body without its codings; at most `cap` bytes of it.
pub(super) fn decode(headers: &HeaderMap, body: Vec<u8>, ending: Ending, cap: usize) -> (Vec<u8>, Ending) {
    let (mut body, mut ending) = (body, ending);
    for coding in labelled(headers) {
        (body, ending) = take_off(coding, body, ending, cap);
    }
    match sniffed(&body) {
        Some(coding) => take_off(coding, body, ending, cap),
        None => (body, ending),
    }
}

/// The codings of the label, the outermost first. An unknown one (`identity`, `utf-8`) is passed over.
fn labelled(headers: &HeaderMap) -> Vec<Coding> {
    let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    // A parameter (`br;q=1.0`) is one of Accept-Encoding's, copied.
    let bare =
        |name: &str| name.split(';').next().unwrap_or_default().trim_matches([' ', '\t', '"']).to_ascii_lowercase();
    let names = values.flat_map(|value| value.split(',')).map(bare);
    let mut codings: Vec<_> = names.filter_map(|name| of_name(&name)).collect();
    codings.reverse();
    codings.truncate(MOST_LAYERS);
    codings
}

fn of_name(name: &str) -> Option<Coding> {
    match name {
        "gzip" | "x-gzip" => Some(Coding::Gzip),
        "deflate" => Some(Coding::Deflate),
        "br" => Some(Coding::Brotli),
        "zstd" => Some(Coding::Zstd),
        _ => None,
    }
}

fn sniffed(body: &[u8]) -> Option<Coding> {
    [(GZIP, Coding::Gzip), (ZSTD, Coding::Zstd)]
        .into_iter()
        .find_map(|(magic, coding)| body.starts_with(magic).then_some(coding))
}

fn take_off(coding: Coding, body: Vec<u8>, ending: Ending, cap: usize) -> (Vec<u8>, Ending) {
    let (decoded, fault) = match coding {
        Coding::Gzip => pour(MultiGzDecoder::new(body.as_slice()), cap),
        Coding::Brotli => pour(brotli_decompressor::Decompressor::new(body.as_slice(), 4096), cap),
        Coding::Zstd => unzstd(&body, cap),
        Coding::Deflate => inflate(&body, cap),
    };
    match fault {
        // Nothing at all came out: the label is wrong, or there was no body.
        Some(Ending::Cut { .. }) if decoded.is_empty() => (body, ending),
        Some(fault) => (decoded, fault),
        // What came over the wire was not all, so what is decoded may not be either.
        None => (decoded, ending),
    }
}

/// By the letter it is zlib's format (§8.4.1.2); some servers send it bare. The bare format has no mark, and almost any
/// bytes begin like it: text that breaks it is taken for what it says, not for half a stream.
fn inflate(body: &[u8], cap: usize) -> (Vec<u8>, Option<Ending>) {
    let zlib = pour(ZlibDecoder::new(body), cap);
    if !zlib.0.is_empty() || zlib.1.is_none() {
        return zlib;
    }
    match pour(DeflateDecoder::new(body), cap) {
        (_, fault @ Some(Ending::Cut { .. })) if std::str::from_utf8(body).is_ok() => (Vec::new(), fault),
        bare => bare,
    }
}

fn unzstd(body: &[u8], cap: usize) -> (Vec<u8>, Option<Ending>) {
    let (mut decoded, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let frame = match StreamingDecoder::new(&mut rest) {
            Ok(frame) => frame,
            Err(error) => return (decoded, Some(Ending::Cut { detail: error.to_string() })),
        };
        let (more, fault) = pour(frame, cap - decoded.len());
        decoded.extend(more);
        if fault.is_some() {
            return (decoded, fault);
        }
    }
    (decoded, None)
}

/// Reads at most `cap` bytes; the second is what kept it from the end.
fn pour(mut from: impl Read, cap: usize) -> (Vec<u8>, Option<Ending>) {
    let (mut body, mut chunk) = (Vec::new(), [0; 8 * 1024]);
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return (body, None),
            Ok(count) if body.len() + count > cap => {
                body.extend_from_slice(&chunk[..cap - body.len()]);
                return (body, Some(Ending::TooLong));
            }
            Ok(count) => body.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (body, Some(Ending::Cut { detail: format!("cannot be decoded: {}", error.kind()) })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const CAP: usize = 64 * 1024;
    /// `{"id": "L-1"}` by `brotli` and by `zstd`.
    const BROTLI: &[u8] = b"\x0b\x06\x80{\"id\": \"L-1\"}\x03";
    const ZSTD_FRAME: &[u8] =
        b"\x28\xb5\x2f\xfd\x04\x58\x69\x00\x00\x7b\x22\x69\x64\x22\x3a\x20\x22\x4c\x2d\x31\x22\x7d\x9f\x98\xa7\x69";
    const PLAIN: &[u8] = br#"{"id": "L-1"}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("a vector");
        encoder.finish().expect("a vector")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("a vector");
        encoder.finish().expect("a vector")
    }

    fn bare(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("a vector");
        encoder.finish().expect("a vector")
    }

    fn decoded(label: &[&str], body: &[u8]) -> (Vec<u8>, Ending) {
        let mut headers = HeaderMap::new();
        for label in label {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(label).expect("a header"));
        }
        decode(&headers, body.to_vec(), Ending::Complete, CAP)
    }

    #[test]
    fn every_coding_is_decoded_under_every_name() {
        for (label, body) in [
            (&["gzip"][..], gzip(PLAIN)),
            (&["GZIP"], gzip(PLAIN)),
            (&["x-gzip"], gzip(PLAIN)),
            (&[" gzip "], gzip(PLAIN)),
            (&["deflate"], zlib(PLAIN)),
            (&["deflate"], bare(PLAIN)),
            (&["br"], BROTLI.to_vec()),
            (&["Br"], BROTLI.to_vec()),
            (&["zstd"], ZSTD_FRAME.to_vec()),
            (&["deflate, gzip"], gzip(&zlib(PLAIN))),
            (&["br", "gzip"], gzip(BROTLI)),
            (&["gzip, gzip"], gzip(&gzip(PLAIN))),
            (&["identity, gzip"], gzip(PLAIN)),
            (&["br;q=1.0"], BROTLI.to_vec()),
            (&["\"br\""], BROTLI.to_vec()),
            (&["deflate; q=0.5, gzip"], gzip(&zlib(PLAIN))),
            (&["gzip"], [gzip(&PLAIN[..5]), gzip(&PLAIN[5..])].concat()),
            // The label is lost, or says something else.
            (&[], gzip(PLAIN)),
            (&[], ZSTD_FRAME.to_vec()),
            (&["utf-8"], gzip(PLAIN)),
            (&["br"], gzip(PLAIN)),
            (&["gzip"], ZSTD_FRAME.to_vec()),
            // The label is wrong.
            (&["gzip"], PLAIN.to_vec()),
            (&["deflate"], PLAIN.to_vec()),
            (&["br"], PLAIN.to_vec()),
            (&["zstd"], PLAIN.to_vec()),
            (&["gzip, br"], PLAIN.to_vec()),
            (&["Identity"], PLAIN.to_vec()),
        ] {
            let (body, ending) = decoded(label, &body);
            assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(PLAIN), "{label:?}");
            assert!(matches!(ending, Ending::Complete), "{label:?}: {ending:?}");
        }
        for label in ["gzip", "deflate", "br", "zstd"] {
            assert!(decoded(&[label], b"").0.is_empty(), "{label}");
        }
    }

    #[test]
    fn what_was_decoded_before_a_fault_stays() {
        let long =
            format!("{{\"id\": \"L-1\", \"more\": \"{}\"}}", (0..9_999).map(|n| n.to_string()).collect::<String>());
        for (label, mut body) in
            [("gzip", gzip(long.as_bytes())), ("deflate", zlib(long.as_bytes())), ("deflate", bare(long.as_bytes()))]
        {
            body.truncate(body.len() / 2);
            let (body, ending) = decoded(&[label], &body);
            assert!(body.starts_with(PLAIN[..12].as_ref()), "{label}: {}", body.len());
            assert!(matches!(ending, Ending::Cut { .. }), "{label}: {ending:?}");
        }
        let mut spoilt = gzip(PLAIN);
        let checksum = spoilt.len() - 8;
        spoilt[checksum] ^= 1;
        let (body, ending) = decoded(&["gzip"], &spoilt);
        assert_eq!(body, PLAIN);
        assert!(matches!(ending, Ending::Cut { .. }), "{ending:?}");
    }

    #[test]
    fn a_bomb_goes_off_within_the_cap() {
        let zeros = vec![b'0'; 64 * 1024 * 1024];
        for (label, bomb) in [("gzip", gzip(&zeros)), ("deflate", zlib(&zeros)), ("gzip, gzip", gzip(&gzip(&zeros)))] {
            assert!(bomb.len() < 256 * 1024);
            let (body, ending) = decoded(&[label], &bomb[..bomb.len().min(CAP * 4)]);
            assert!(body.len() <= CAP, "{label}");
            assert!(matches!(ending, Ending::TooLong), "{label}: {ending:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_decoded_within_the_cap(
            label in "(gzip|br|zstd|deflate|identity|,| ){0,4}", body in proptest::collection::vec(any::<u8>(), 0..200),
            magic in proptest::option::of(proptest::sample::select(vec![GZIP, ZSTD])),
        ) {
            let body = [magic.unwrap_or_default(), &body].concat();
            prop_assert!(decoded(&[&label], &body).0.len() <= CAP);
        }

        #[test]
        fn what_was_coded_comes_back(text in ".{0,400}") {
            for (label, body) in [("gzip", gzip(text.as_bytes())), ("deflate", zlib(text.as_bytes()))] {
                let (body, ending) = decoded(&[label], &body);
                prop_assert_eq!(String::from_utf8_lossy(&body), text.as_str());
                prop_assert!(matches!(ending, Ending::Complete));
            }
        }
    }
}
