//! `TRACES__…`: whether spans are told, to which collector, and how many.
//!
//! Where no endpoint of ours is set, OpenTelemetry's own variables count, if they ask for the one transport that this
//! service has. Platforms set these for all that they run, so what is no use here is passed over: no start fails by it.

use secrecy::SecretString;
use url::Url;

use crate::{
    config::{Environment, check, reader::Reader},
    telemetry::traces::Settings,
};

/// Where a collector takes spans, below its own URL.
const PATH: &str = "/v1/traces";

/// The collector and what goes there; `None`: no spans are made.
pub(in crate::config) fn read(r: &mut Reader, environment: &Environment) -> Option<Settings> {
    let hint = "set it to the share of traces to tell, from 0 to 1";
    let sample_ratio = r.parsed("traces.sample_ratio", hint, ratio);
    let headers = r.parsed_if_set("traces.headers", headers).unwrap_or_default();
    let endpoint = r.parsed_if_set("traces.endpoint", below_base);
    let is_ours = endpoint.is_some();
    let endpoint = endpoint.or_else(|| of_platform(environment))?;
    Some(Settings { endpoint: endpoint.into(), headers: is_ours.then_some(headers), sample_ratio: sample_ratio? })
}

/// The collector that the platform names, if it says that one can speak to it as this service does.
fn of_platform(environment: &Environment) -> Option<Url> {
    let says = |name: &str, word: &str| environment.get(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let protocol = protocol.iter().find_map(|name| environment.get(name));
    let is_exporter = |names: &str| names.split(',').any(|name| name.trim() == "otlp");
    if says("OTEL_SDK_DISABLED", "true")
        || environment.get("OTEL_TRACES_EXPORTER").is_some_and(|names| !is_exporter(names))
        || protocol.is_none_or(|protocol| protocol != "http/protobuf")
    {
        return None;
    }
    let whole = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    match (whole, environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")) {
        (Some(whole), _) => collector(whole).ok(),
        (None, base) => below_base(base?).ok(),
    }
}

/// A collector's URL: plain HTTP too, since it mostly stands beside the service.
fn collector(text: &str) -> Result<Url, String> {
    let told = "must be the URL of a collector that takes OTLP over HTTP, such as http://collector:4318";
    check::unharmed(text)?;
    let url = Url::parse(text).map_err(|_| told.to_owned())?;
    if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
        return Err(told.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither credentials nor a query: what proves us goes into TRACES__HEADERS".to_owned());
    }
    Ok(url)
}

/// The same, as the URL that the path of each signal is put behind.
fn below_base(text: &str) -> Result<Url, String> {
    let mut url = collector(text)?;
    let base = url.path().trim_end_matches('/').to_owned();
    if !base.ends_with(PATH) {
        url.set_path(&format!("{base}{PATH}"));
    }
    Ok(url)
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "must be a number from 0 (none) to 1 (all), such as 0.1".to_owned())
}

/// As `OTEL_EXPORTER_OTLP_HEADERS` has them, but that nothing is percent-encoded.
fn headers(text: &str) -> Result<Vec<(String, SecretString)>, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let header = |item: &str| {
        let (name, value) = item.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_name = !name.is_empty() && name.bytes().all(is_token);
        let is_value = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (is_name && is_value).then(|| (name.to_owned(), SecretString::from(value)))
    };
    let all: Option<Vec<_>> = text.split(',').map(header).collect();
    all.ok_or_else(|| "must be headers such as authorization=Bearer x, separated by commas".to_owned())
}
