//! Where spans go, by our own settings and by OpenTelemetry's variables.

use secrecy::ExposeSecret as _;

use super::{Config, complete, faults, load};
use crate::telemetry::traces::Settings;

fn on_platform(variables: &[(&str, &str)]) -> Option<Settings> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&complete().into_iter().chain(variables).collect()).expect("complete").traces
}

#[test]
fn no_spans_are_made_unless_a_collector_is_named() {
    assert!(on_platform(&[]).is_none());
    assert!(load(&[("TRACES__SAMPLE_RATIO", "0.5"), ("TRACES__HEADERS", "a=b")]).expect("valid").traces.is_none());
    let settings = load(&[
        ("TRACES__ENDPOINT", "http://collector:4318/"),
        ("TRACES__HEADERS", "authorization=Bearer hunter2==, x-tenant=a"),
        ("TRACES__SAMPLE_RATIO", "0.25"),
    ]);
    let settings = settings.expect("valid").traces.expect("a collector");
    assert_eq!((settings.endpoint.as_str(), settings.sample_ratio), ("http://collector:4318/v1/traces", 0.25));
    let headers = settings.headers.as_deref().expect("ours");
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(headers, [("authorization", "Bearer hunter2=="), ("x-tenant", "a")]);
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn the_platforms_collector_counts_where_we_name_none_and_it_says_how_to_speak_to_it() {
    let (base, whole) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let endpoint = |variables: &[(&str, &str)]| on_platform(variables).map(|settings| settings.endpoint);
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(endpoint(&[(base, "http://a:4318/otlp"), http]), said("http://a:4318/otlp/v1/traces"));
    assert_eq!(endpoint(&[(base, "http://a:4318"), (whole, "https://b/spans"), http]), said("https://b/spans"));
    let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
    assert_eq!(endpoint(&[(base, "http://a:4318"), of_traces]), said("http://a:4318/v1/traces"));
    let ours = ("ALC_CONNECTOR__TRACES__ENDPOINT", "http://c:4318/v1/traces");
    assert_eq!(endpoint(&[(base, "http://a:4318"), http, ours]), said("http://c:4318/v1/traces"));
    assert!(on_platform(&[(base, "http://a:4318"), http]).expect("a collector").headers.is_none(), "the platform's");
    assert!(on_platform(&[ours]).expect("a collector").headers.is_some(), "ours, and not the platform's");
}

/// What a platform sets for all that it runs stops no start.
#[test]
fn what_the_platform_sets_and_is_of_no_use_here_is_passed_over() {
    let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    assert!(on_platform(&[(base, "http://a:4317")]).is_none(), "most SDKs would speak gRPC");
    for off in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ] {
        assert!(on_platform(&[(base, "http://a:4318"), http, off]).is_none(), "{off:?}");
    }
    for useless in ["collector:4318", "unix:///run/otel", "https://a?api-key=hunter2", "hunter2"] {
        assert!(on_platform(&[(base, useless), http]).is_none(), "{useless}");
    }
}

#[test]
fn nonsense_is_named_and_never_quoted() {
    for (name, value) in [
        ("TRACES__ENDPOINT", "collector:4318"),
        ("TRACES__ENDPOINT", "grpc://collector:4317"),
        ("TRACES__ENDPOINT", "http://user:hunter2@collector:4318"),
        ("TRACES__ENDPOINT", "http://hunter2@collector:4318"),
        ("TRACES__ENDPOINT", "http://collector:4318/?key=hunter2"),
        ("TRACES__SAMPLE_RATIO", "1.5"),
        ("TRACES__SAMPLE_RATIO", "-0.1"),
        ("TRACES__SAMPLE_RATIO", "NaN"),
        ("TRACES__SAMPLE_RATIO", "10%"),
        ("TRACES__HEADERS", "hunter2"),
        ("TRACES__HEADERS", "a b=hunter2"),
        ("TRACES__HEADERS", "authorization="),
        ("TRACES__HEADERS", "a=hunter2,"),
    ] {
        let named = faults(&[(name, value)]);
        let [fault] = named.as_slice() else { panic!("{name}={value}: {named:?}") };
        assert!(fault.starts_with(name) && !fault.contains("hunter2") && fault.contains("must"), "{value}: {fault}");
    }
}
