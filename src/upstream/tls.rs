//! TLS towards all upstreams: whose certificates are trusted, and which versions of HTTP are offered.
//!
//! Promises that the system's certificates (about 150) are read and parsed once for the process. Each HTTP client would
//! do so for itself otherwise, which takes the start a good part of its time, and keep a copy of its own.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

static SETTINGS: OnceLock<ClientConfig> = OnceLock::new();

/// What an HTTP client needs to speak TLS. Fails where the system has no certificates; the next call looks again.
pub(super) fn settings() -> Result<ClientConfig, rustls::Error> {
    if let Some(settings) = SETTINGS.get() {
        return Ok(settings.clone());
    }
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let settings = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut settings = settings.with_platform_verifier()?.with_no_client_auth();
    // An HTTP client that is given its TLS settings adds no protocols of its own.
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(SETTINGS.get_or_init(|| settings).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_offered_http_2_and_has_to_prove_who_it_is_to_all_clients_alike() {
        let [one, another] = [settings(), settings()].map(|settings| settings.expect("a CA store"));
        assert_eq!(one.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(one.enable_sni && Arc::ptr_eq(one.crypto_provider(), another.crypto_provider()));
    }
}
