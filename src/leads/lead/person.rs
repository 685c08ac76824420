//! The person to be contacted: name and phone number, checked before anything is stored or sent.

use std::fmt;

use rlibphonenumber::{PhoneNumber as Parsed, PhoneNumberFormat, Region};
use secrecy::{ExposeSecret as _, SecretString};

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;
/// The longest phone number looked at, in characters that show: what libphonenumber looks at.
const LONGEST_PHONE_NUMBER: usize = 250;

/// A name of 1 to 200 characters, trimmed.
#[derive(Clone)]
pub struct Name(SecretString);

/// A valid phone number in E.164.
#[derive(Clone)]
pub struct PhoneNumber(SecretString);

impl Name {
    /// Takes a name as a person typed it; the error says what is wrong and quotes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        match name.chars().count() {
            0 => Err("must not be empty".to_owned()),
            1..=LONGEST_NAME if name.chars().any(char::is_control) => {
                Err("must not contain control characters".to_owned())
            }
            1..=LONGEST_NAME => Ok(Self(SecretString::from(name))),
            _ => Err(format!("must have at most {LONGEST_NAME} characters")),
        }
    }

    /// Makes a name of what a record has: what a press would be refused for is mended, because no caller is there to
    /// be told; `None`: nothing is left of it.
    pub fn of_record(text: &str) -> Option<Self> {
        let blanks = |character: char| if character.is_control() { ' ' } else { character };
        let words: String = text.chars().map(blanks).collect();
        let words: Vec<_> = words.split_whitespace().collect();
        let fits: String = words.join(" ").chars().take(LONGEST_NAME).collect();
        Self::parse(&fits).ok()
    }

    /// The name.
    pub fn as_secret(&self) -> &SecretString {
        &self.0
    }
}

impl PhoneNumber {
    /// Takes a phone number as a person typed or pasted it. Without a `+` it is read as one of `region` (ISO 3166,
    /// `LEADS__DEFAULT_REGION`); the error says what is wrong and quotes nothing. What is a number is libphonenumber's
    /// to say; here goes only what nobody sees.
    pub fn parse(text: &str, region: Option<&str>) -> Result<Self, String> {
        let region = region.and_then(|region| region.parse::<Region>().ok());
        let stripped: String = text.chars().filter_map(visible).collect();
        let stripped = stripped.trim();
        if stripped.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if stripped.chars().count() > LONGEST_PHONE_NUMBER {
            return Err(format!("must have at most {LONGEST_PHONE_NUMBER} characters"));
        }
        // What the library takes as it stands, but for what surrounds it, is that number: dropping what stands between
        // its digits could make another one of it. Never is the text tried with what surrounds it: the library looks
        // at 250 characters, so that two marks more could turn a number into a refusal.
        let parsed = |text: &str| {
            Some(text).filter(|text| !is_inside_out(text)).and_then(|text| Parsed::parse(text, region).ok())
        };
        if let Some(number) = [bare(text), stripped].into_iter().filter_map(parsed).find(Parsed::is_valid) {
            return Ok(Self(SecretString::from(number.format_as(PhoneNumberFormat::E164).into_owned())));
        }
        Err(if parsed(stripped).is_some() {
            "is not a valid phone number of its country: check the digits".to_owned()
        } else if region.is_none() && !stripped.contains(['+', '＋']) {
            "must be international: + and the country code first".to_owned()
        } else {
            "is not a phone number".to_owned()
        })
    }

    /// The number, E.164.
    pub fn as_secret(&self) -> &SecretString {
        &self.0
    }
}

/// What a number looks the same without is dropped: the marks for right-to-left text that contacts apps put around it,
/// joiners, variation selectors and keycaps of emoji, control characters. Every blank is one that libphonenumber knows.
fn visible(character: char) -> Option<char> {
    match character {
        _ if character.is_whitespace() => Some(' '),
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => None,
        '\u{2060}'..='\u{206f}' | '\u{20e3}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => None,
        _ if character.is_control() => None,
        _ => Some(character),
    }
}

/// The text without the blanks and marks around it.
fn bare(text: &str) -> &str {
    text.trim_matches(|character| visible(character).is_none_or(|shown| shown == ' '))
}

/// Whether the parts of a telephone URI (RFC 3966) stand in the wrong order. libphonenumber takes what stands between
/// the two, and would panic with the whole text in its message.
fn is_inside_out(text: &str) -> bool {
    let at = |part: &str| text.find(part);
    at(";phone-context=").zip(at("tel:")).is_some_and(|(context, scheme)| context < scheme)
}

/// The name and number as one text for a fingerprint; a NUL cannot stand in either.
pub(in crate::leads) fn canonical(name: &Name, phone_number: &PhoneNumber) -> SecretString {
    SecretString::from(format!("{}\0{}", name.0.expose_secret(), phone_number.0.expose_secret()))
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name")
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_become_e164_whatever_their_dress() {
        for (text, region) in [("+1 (415) 555-2671", None), ("+14155552671", None), (" 415-555-2671 ", Some("US"))] {
            let number = PhoneNumber::parse(text, region).expect(text);
            assert_eq!(number.as_secret().expose_secret(), "+14155552671", "{text}");
        }
    }

    #[test]
    fn what_contacts_apps_and_pages_put_around_a_number_does_not_matter() {
        for (text, expected) in [
            ("\u{202d}+1 202 555 0123\u{202c}", "+12025550123"),
            ("\u{2066}+1 202 555 0123\u{2069}", "+12025550123"),
            ("\u{200e}+1\u{200f} 202\u{a0}555\u{202f}0123\u{feff}", "+12025550123"),
            ("\u{feff}+1\u{200b}202\u{200d}555\u{2060}0123", "+12025550123"),
            ("\t+1\t202\n555\r\n0123\0", "+12025550123"),
            ("(+44) 20 7946 0958", "+442079460958"),
            ("[+44] (0)20 7946 0958", "+442079460958"),
            ("tel:+44-20-7946-0958", "+442079460958"),
            ("tel:2025550123;phone-context=+1", "+12025550123"),
            ("Tel.: +44 20 7946 0958", "+442079460958"),
            ("mobile +44 20 7946 0958.", "+442079460958"),
            ("＋４４　２０　７９４６　０９５８", "+442079460958"),
            ("+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨", "+442079460958"),
            ("+44\u{2011}20\u{2013}7946\u{2212}0958", "+442079460958"),
            ("+4\u{fe0f}\u{20e3}4\u{fe0f}\u{20e3} 20 7946 0958", "+442079460958"),
            ("\"+44 20 7946 0958\"", "+442079460958"),
        ] {
            for region in [None, Some("US"), Some("DE")] {
                let number = PhoneNumber::parse(text, region).unwrap_or_else(|error| panic!("{text:?} {error}"));
                assert_eq!(number.as_secret().expose_secret(), expected, "{text:?}");
            }
        }
        // A full-width number between marks has many bytes and few characters.
        let long = format!("{}＋８１　９０　１２３４　５６７８{}", "\u{2068}".repeat(40), "\u{2069}".repeat(40));
        assert!(PhoneNumber::parse(&long, None).is_ok());
    }

    #[test]
    fn a_refusal_says_whether_the_country_is_missing() {
        for text in ["415-555-2671", "\u{202d}(415) 555-2671\u{202c}", "tel:4155552671"] {
            let error = PhoneNumber::parse(text, None).expect_err("national");
            assert!(error.contains("country code"), "{error}");
        }
        for text in ["+", "(+)", "+1", "call +"] {
            let error = PhoneNumber::parse(text, None).expect_err("none");
            assert!(!error.contains("country code"), "{text}: {error}");
        }
        assert_eq!(PhoneNumber::parse("\u{202d}\u{202c}", None).expect_err("nothing"), "must not be empty");
    }

    /// A telephone URI whose parts are in the wrong order.
    const INSIDE_OUT: &str = "2015550123;phone-context=+1;tel:1";

    #[test]
    fn numbers_that_nobody_has_are_refused() {
        let long = "+1".repeat(150);
        for text in ["", "415-555-2671", "+1 415", "+1 000 000 0000", "hello", "+", "+999999999999", &long, INSIDE_OUT]
        {
            assert!(PhoneNumber::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(Name::parse("  Ada  ").expect("fine").as_secret().expose_secret(), "Ada");
        assert!(Name::parse(" ").is_err());
        assert!(Name::parse(&"x".repeat(201)).is_err());
        assert!(Name::parse(&"é".repeat(200)).is_ok());
        assert!(Name::parse("a\0b").is_err());
    }

    /// Pieces of numbers and what stands around and in them.
    const PIECES: &str = "([+(]{0,2}(44|1|49|81)|[0-9]{1,4}|[ ().x/;:-]|tel:|ext|[\u{ad}\u{200e}\u{202d}\u{202c}\u{feff}\u{a0}\t]){1,12}";

    proptest! {
        #[test]
        fn what_the_library_takes_as_it_stands_is_taken_for_the_same(text in PIECES, us: bool) {
            let text = bare(&text);
            let region = us.then_some(Region::US);
            if let Ok(strict) = Parsed::parse(text, region)
                && strict.is_valid()
            {
                let number = PhoneNumber::parse(text, us.then_some("US")).expect("no stricter than the library");
                prop_assert_eq!(number.as_secret().expose_secret(), &*strict.format_as(PhoneNumberFormat::E164));
            }
        }

        #[test]
        fn marks_around_a_number_change_nothing(text in PIECES, blanks in 0..300_usize, us: bool) {
            let region = us.then_some("US");
            let number = |text: &str| {
                PhoneNumber::parse(text, region).ok().map(|number| number.as_secret().expose_secret().to_owned())
            };
            let filled = format!("{text}{}{text}", "]".repeat(blanks));
            prop_assert_eq!(number(&filled), number(&format!("\u{202d} {filled}\u{202c}")));
        }

        #[test]
        fn whatever_is_typed_never_panics_and_what_passes_passes_again(text in ".{0,80}") {
            if let Ok(number) = PhoneNumber::parse(&text, Some("DE")) {
                let again = PhoneNumber::parse(number.as_secret().expose_secret(), None).expect("E.164 is valid");
                prop_assert_eq!(again.as_secret().expose_secret(), number.as_secret().expose_secret());
                let marked = PhoneNumber::parse(&format!("\u{202d}{text}\u{202c}"), Some("DE")).expect("marks change nothing");
                prop_assert_eq!(marked.as_secret().expose_secret(), number.as_secret().expose_secret());
            }
            let _ = Name::parse(&text);
        }
    }
}
