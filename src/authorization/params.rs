//! Parameters as OAuth has them: `application/x-www-form-urlencoded`, in a query or a body.
//!
//! Promises RFC 6749 §3.1 and §3.2: a parameter without a value counts as absent, one that stands twice is a fault
//! (a reader that takes the first and one that takes the last would disagree), and one that is not asked for is
//! ignored.

use url::form_urlencoded;

/// The parameter stands more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duplicate(pub(super) &'static str);

/// Decoded parameters. No `Debug`: codes, states and secrets are among them.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(encoded);
        Self(pairs.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The value of `name`, if it stands there once.
    pub(super) fn get(&self, name: &'static str) -> Result<Option<&str>, Duplicate> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() { Err(Duplicate(name)) } else { Ok(value) }
    }
}

/// `uri` with `params` appended to its query, which is kept (RFC 6749 §3.1.2).
pub(super) fn with_query(uri: &str, params: &[(&str, &str)]) -> String {
    let mut target = uri.to_owned();
    let start = match uri.find('?') {
        Some(mark) => mark + 1,
        None => {
            target.push('?');
            target.len()
        }
    };
    form_urlencoded::Serializer::for_suffix(target, start).extend_pairs(params).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn a_parameter_stands_once_or_is_a_fault() {
        let params = Params::parse(b"a=1&b=&c=x+y%26z&d=1&d=1&%61b=2&e=&e=5");
        assert_eq!(params.get("a"), Ok(Some("1")));
        assert_eq!(params.get("b"), Ok(None));
        assert_eq!(params.get("c"), Ok(Some("x y&z")));
        assert_eq!(params.get("d"), Err(Duplicate("d")));
        assert_eq!(params.get("ab"), Ok(Some("2")));
        assert_eq!(params.get("e"), Ok(Some("5")));
        assert_eq!(params.get("f"), Ok(None));
    }

    proptest! {
        /// Appends any value to URIs with and without a query of their own, and parses the result. The value comes back
        /// whole, the old query stays, and neither host nor fragment can be changed by what is appended.
        #[test]
        fn what_is_appended_is_read_back_and_what_was_there_stays(
            query in prop::sample::select(vec!["", "?", "?kept=1", "?kept=1&more=%20"]),
            value in "\\PC{0,40}",
        ) {
            let uri = format!("https://app.example/callback{query}");
            let target = with_query(&uri, &[("state", &value), ("iss", "https://a.example")]);
            prop_assert!(target.starts_with(&uri));
            let url = Url::parse(&target).expect("a URL");
            prop_assert_eq!(url.host_str(), Some("app.example"));
            prop_assert_eq!(url.fragment(), None);
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            prop_assert!(pairs.contains(&("state".to_owned(), value)));
            prop_assert_eq!(url.query_pairs().any(|(name, _)| name == "kept"), query.contains("kept"));
        }
    }
}
