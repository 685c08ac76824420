//! The ways in which the world writes a webhook's secret.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

/// How a webhook's secret is written in the answer that tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretForm {
    /// `whsec_` and base64, as Standard Webhooks has it.
    Standard,
    /// In the alphabet of URLs, without padding.
    UrlSafe,
    /// With bits at its end that say nothing.
    LooseBits,
    /// With the version of its signatures in front.
    Versioned,
    /// Something that no signature can be made with.
    NoKey,
    /// Nothing at all.
    Empty,
}

impl SecretForm {
    /// The same secret in this form.
    pub(super) fn write(self, standard: &str) -> String {
        const LOOSE: GeneralPurposeConfig = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        match self {
            Self::Standard => standard.to_owned(),
            Self::UrlSafe => standard.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned(),
            Self::LooseBits => {
                let reader = GeneralPurpose::new(&alphabet::STANDARD, LOOSE);
                let text = standard.trim_start_matches("whsec_").trim_end_matches('=');
                let (head, last) = text.split_at(text.len() - 1);
                let same_key = |last: &char| reader.decode(format!("{head}{last}")) == reader.decode(text);
                let mut others = ('A'..='Z').chain('a'..='z').chain('0'..='9').filter(|it| last != it.to_string());
                let other = others.find(same_key).map_or_else(|| last.to_owned(), String::from);
                format!("whsec_{head}{other}=")
            }
            Self::Versioned => format!("v1,{standard}"),
            Self::NoKey => "whsec_*** see your dashboard ***".to_owned(),
            Self::Empty => "whsec_".to_owned(),
        }
    }
}
