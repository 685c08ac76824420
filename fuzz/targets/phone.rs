//! A phone number as a person types it, the default region on a line before it; and the same text as a name.
#![no_main]

use alc_connector::leads::{Name, PhoneNumber};
use libfuzzer_sys::fuzz_target;
use rlibphonenumber::{PhoneNumber as Parsed, PhoneNumberFormat, Region};
use secrecy::ExposeSecret as _;

fuzz_target!(|text: &str| {
    let (region, number) = text.split_once('\n').map_or((None, text), |(region, number)| (Some(region), number));
    strict(number, region);
    let marked = PhoneNumber::parse(&format!("\u{202d}{number}\u{202c}"), region);
    let marked = marked.ok().map(|number| number.as_secret().expose_secret().to_owned());
    let bare = PhoneNumber::parse(number, region).ok().map(|number| number.as_secret().expose_secret().to_owned());
    assert_eq!(marked, bare, "marks around it change nothing");
    if let Ok(number) = PhoneNumber::parse(number, region) {
        let e164 = number.as_secret().expose_secret();
        let digits = e164.strip_prefix('+').expect("E.164 begins with +");
        // E.164 has 15, but Germany and Japan gave out longer ones, and libphonenumber knows them: up to 17 digits
        // within the country, and 3 of its own.
        assert!((3..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()), "{e164}");
        assert!(!digits.starts_with('0'), "{e164}: no country code");
        let again = PhoneNumber::parse(e164, None).expect("what passed passes again");
        assert_eq!(again.as_secret().expose_secret(), e164, "and stays as it is");
    }
    if let Ok(name) = Name::parse(text) {
        let name = name.as_secret().expose_secret();
        assert!((1..=200).contains(&name.chars().count()) && name.trim() == name && !name.contains(char::is_control));
    }
});

/// The longest number that is looked at, in characters.
const LONGEST: usize = 250;

/// What the library takes as it stands is taken here, and for the same number, unless it is too long for us. Text with
/// blanks or marks around it is not meant: those are always dropped first.
fn strict(text: &str, region: Option<&str>) {
    let shown = |character: char| character.is_ascii_graphic();
    // Where these two stand in the wrong order, the library panics.
    let inside_out = text.find(";phone-context=").zip(text.find("tel:")).is_some_and(|(context, tel)| context < tel);
    if !text.starts_with(shown) || !text.ends_with(shown) || inside_out {
        return;
    }
    let parsed = Parsed::parse(text, region.and_then(|region| region.parse::<Region>().ok()));
    if let Some(strict) = parsed.ok().filter(Parsed::is_valid) {
        let number = match PhoneNumber::parse(text, region) {
            Err(_) if text.chars().count() > LONGEST => return,
            number => number.expect("no stricter than the library"),
        };
        assert_eq!(number.as_secret().expose_secret(), &*strict.format_as(PhoneNumberFormat::E164), "another number");
    }
}
