//! A callback URL as a caller with an access token might choose it, and the addresses that names resolve to.
#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use alc_connector::notify::{Guard, address::is_public};
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret as _, SecretString};

const HOST: &str = "attio.com";
/// Listed by the operator for a demo. The last is no loopback host: listing it must not help.
const LISTED: [&str; 5] = [HOST, "localhost", "127.0.0.1", "[::1]", "93.184.216.34"];
const LONGEST: usize = 2_000;

static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new(LISTED.map(str::to_owned).to_vec()));

fuzz_target!(|data: &[u8]| {
    if let Some(octets) = data.first_chunk::<4>() {
        address_v4(Ipv4Addr::from(*octets));
    }
    if let Some(octets) = data.first_chunk::<16>() {
        address_v6(Ipv6Addr::from(*octets));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        url(text);
    }
});

/// Reads the URL that passed as plain text, without the parser that judged it.
fn url(text: &str) {
    let Ok(passed) = GUARD.check(&SecretString::from(text)) else { return };
    let passed = passed.to_secret();
    let url = passed.expose_secret();
    assert!(text.len() <= LONGEST && url.len() <= LONGEST, "{} bytes", url.len());
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#'), "{url}");

    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let authority = rest.split(['/', '?', '\\']).next().expect("the first of several");
    assert!(rest[authority.len()..].starts_with('/') && !authority.contains('@'), "{url}");
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let loopback = host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1" || host == "[::1]";
    if !loopback {
        assert_eq!(scheme, "https", "{url}");
        let before = host.strip_suffix(HOST).expect("a listed host");
        assert!(before.is_empty() || before.ends_with('.'), "{url}");
        assert!(before.bytes().all(|byte| byte.is_ascii() && !b":/\\%[]".contains(&byte)), "{url}");
    }
    assert!(scheme == "https" || scheme == "http", "{url}");
    // It is checked again whenever it is called.
    let again = GUARD.check(&passed).expect("what passed passes again").to_secret();
    assert_eq!(again.expose_secret(), url, "and stays as it is");
}

/// Exactly what IANA keeps for purposes of its own is not public.
fn address_v4(address: Ipv4Addr) {
    const SPECIAL: [([u8; 4], u32); 15] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    let within = |net: [u8; 4], bits: u32| (address.to_bits() ^ u32::from_be_bytes(net)).leading_zeros() >= bits;
    let special = SPECIAL.iter().any(|(net, bits)| within(*net, *bits));
    assert_eq!(is_public(IpAddr::V4(address)), !special, "{address}");
    // However it is dressed.
    let [a, b, c, d] = address.octets().map(u128::from);
    let bits = a << 24 | b << 16 | c << 8 | d;
    for dressed in [bits, 0xffff << 32 | bits, 0x0064_ff9b << 96 | bits, 0x2002 << 112 | bits << 80] {
        assert!(!is_public(IpAddr::V6(Ipv6Addr::from(dressed))), "{address}");
    }
}

/// Of 2000::/3 all but what is set aside, and nothing else.
fn address_v6(address: Ipv6Addr) {
    const SPECIAL: [(u128, u32); 4] =
        [(0x2001 << 112, 23), (0x2001_0db8 << 96, 32), (0x2002 << 112, 16), (0x3fff << 112, 20)];
    let within = |net: u128, bits: u32| (address.to_bits() ^ net).leading_zeros() >= bits;
    let special = SPECIAL.iter().any(|(net, bits)| within(*net, *bits));
    assert_eq!(is_public(IpAddr::V6(address)), within(0x2000 << 112, 3) && !special, "{address}");
}
