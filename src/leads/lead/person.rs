//! The person to be contacted: name and phone number, checked before anything is stored or sent.

use std::fmt;

use rlibphonenumber::{PhoneNumber as Parsed, PhoneNumberFormat, Region};
use secrecy::{ExposeSecret as _, SecretString};

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;
/// The longest phone number looked at, in bytes: E.164 has 15 digits, the rest is punctuation.
const LONGEST_PHONE_NUMBER: usize = 64;

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

    /// The name.
    pub fn as_secret(&self) -> &SecretString {
        &self.0
    }
}

impl PhoneNumber {
    /// Takes a phone number as a person typed it. Without a leading `+` it is read as one of `region` (ISO 3166,
    /// `LEADS__DEFAULT_REGION`); the error says what is wrong and quotes nothing.
    pub fn parse(text: &str, region: Option<&str>) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > LONGEST_PHONE_NUMBER {
            return Err(format!("must have at most {LONGEST_PHONE_NUMBER} characters"));
        }
        if region.is_none() && !text.starts_with(['+', '＋']) {
            return Err("must be international: + and the country code first".to_owned());
        }
        let region = region.and_then(|region| region.parse::<Region>().ok());
        let number = Parsed::parse(text, region).map_err(|_| "is not a phone number".to_owned())?;
        if !number.is_valid() {
            return Err("is not a valid phone number of its country: check the digits".to_owned());
        }
        Ok(Self(SecretString::from(number.format_as(PhoneNumberFormat::E164).into_owned())))
    }

    /// The number, E.164.
    pub fn as_secret(&self) -> &SecretString {
        &self.0
    }
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
    fn numbers_that_nobody_has_are_refused() {
        let long = "+1".repeat(60);
        for text in ["", "415-555-2671", "+1 415", "+1 000 000 0000", "hello", "+", "+999999999999", &long] {
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

    proptest! {
        #[test]
        fn whatever_is_typed_never_panics_and_what_passes_passes_again(text in ".{0,80}") {
            if let Ok(number) = PhoneNumber::parse(&text, Some("DE")) {
                let again = PhoneNumber::parse(number.as_secret().expose_secret(), None).expect("E.164 is valid");
                prop_assert_eq!(again.as_secret().expose_secret(), number.as_secret().expose_secret());
            }
            let _ = Name::parse(&text);
        }
    }
}
