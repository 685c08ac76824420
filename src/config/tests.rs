//! Tables over whole configurations.

use secrecy::ExposeSecret as _;

use super::{Config, Environment, Faults, keys::FreshKeys, sections::AttioCredential};
use crate::{alc::oauth::ClientAuthentication, connections::WebhookSignature};

mod credentials;
mod traces;

/// Everything that has no default, well-formed.
fn complete() -> Vec<(String, String)> {
    let keys = FreshKeys::generate();
    [
        ("ENV", "production"),
        ("_STORE__URL", "redis://:pw-of-store@127.0.0.1:6379/0"),
        ("_KEYS__SEALING", keys.sealing.expose_secret()),
        ("_KEYS__SIGNING", keys.signing.expose_secret()),
        ("_ATTIO_APP__CLIENT_ID", "app"),
        ("_ATTIO_APP__CLIENT_SECRET", "pw-of-app-of-thirty-two-letters-"),
        ("_ATTIO_APP__REDIRECT_URIS", "https://app.attio.com/a, https://app.attio.com/b"),
        ("_ALC__AUTHORIZE_URL", "https://alc.example/authorize"),
        ("_ALC__TOKEN_URL", "https://alc.example/token"),
        ("_ALC__CLIENT_ID", "connector"),
        ("_ALC__CLIENT_SECRET", "pw-of-alc"),
        ("_ATTIO__API_KEY", "pw-of-attio"),
    ]
    .map(|(name, value)| (format!("ALC_CONNECTOR_{name}"), value.to_owned()))
    .to_vec()
}

fn load(changes: &[(&str, &str)]) -> Result<Config, Faults> {
    let changes = changes.iter().map(|(name, value)| (format!("ALC_CONNECTOR__{name}"), (*value).to_owned()));
    Config::load(&complete().into_iter().chain(changes).collect())
}

/// The faults' lines, without the prefix.
fn faults(changes: &[(&str, &str)]) -> Vec<String> {
    match load(changes) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.to_string().lines().map(|line| line.replacen("ALC_CONNECTOR__", "", 1)).collect(),
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = load(&[]).expect("complete");
    let seen = format!(
        "{} {} {:?} {:?} {} {} {} {:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {}",
        config.http.bind,
        config.http.public_url.as_str().trim_end_matches('/'),
        config.http.keep_alive,
        config.http.drain_delay,
        config.http.requests_per_second,
        config.management.bind,
        config.store.namespace,
        config.store.connect_patience,
        config.alc.base_url,
        config.alc.revoke_url,
        config.alc.scopes,
        config.alc.client_authentication,
        config.alc.webhook_signature,
        config.alc.resend_unknown,
        config.alc.poll_after,
        config.alc.timeout,
        config.attio.timeout,
        config.leads.send_wait,
        config.leads.send_deadline,
        config.leads.deadline,
        config.leads.retention,
        config.leads.default_region,
        config.attio.base_url,
        config.attio.attributes.status,
        config.attio.attributes.lead_id,
        config.attio.attributes.result,
        (config.attio.titles.pending, config.attio.titles.complete, config.attio.titles.failed),
        config.attio.writes_per_second,
        config.attio.callback_hosts,
        config.retry.schedule,
        config.telemetry.format,
        config.telemetry.filter,
    );
    assert_eq!(
        seen,
        "127.0.0.1:8080 http://127.0.0.1:8080 75s 5s 100 127.0.0.1:9090 alc 60s https://api.acmeleadchecker.ai/ None [] Basic \
         WhenSecretKnown true Some(21600s) 10s 10s 10s 86400s 2592000s 7776000s None https://api.attio.com/ \
         \"alc_status\" Some(\"alc_lead_id\") Some(\"alc_result\") (\"Pending\", \"Complete\", \"Failed\") 25 \
         [\"attio.com\"] [1s, 5s, 30s, 120s, 600s, 1800s, 7200s] Json info"
    );
}

#[test]
fn development_keeps_leads_in_a_file_and_logs_for_people() {
    let mut variables = complete();
    variables.retain(|(name, _)| name != "ALC_CONNECTOR_ENV" && name != "ALC_CONNECTOR__STORE__URL");
    let config = Config::load(&variables.into_iter().collect()).expect("complete");
    assert_eq!(config.store.url.expose_secret(), "sqlite:data/alc-connector.db");
    assert_eq!(format!("{:?}", config.telemetry.format), "Pretty");
    assert!(config.http.drain_delay.is_zero(), "nobody routes to it");
}

#[test]
fn every_variable_reaches_its_field() {
    let config = load(&[
        ("HTTP__BIND", "0.0.0.0:80"),
        ("HTTP__PUBLIC_URL", "https://connector.example"),
        ("HTTP__KEEP_ALIVE", "10m"),
        ("HTTP__DRAIN_DELAY", "15s"),
        ("MANAGEMENT__BIND", "[::1]:9"),
        ("STORE__NAMESPACE", "two"),
        ("STORE__CONNECT_PATIENCE", "0s"),
        ("ALC__SCOPES", "leads:write  webhooks"),
        ("ALC__CLIENT_AUTHENTICATION", "post"),
        ("ALC__WEBHOOK_SIGNATURE", "required"),
        ("ALC__REVOKE_URL", "https://alc.example/revoke"),
        ("ALC__RESEND_UNKNOWN", "false"),
        ("ALC__POLL_AFTER", "0s"),
        ("ALC__TIMEOUT", "500ms"),
        ("LEADS__SEND_WAIT", "28s"),
        ("LEADS__DEFAULT_REGION", "de"),
        ("ATTIO__ATTRIBUTES__LEAD_ID", ""),
        ("ATTIO__TITLES__PENDING", "With ALC, waiting"),
        ("ATTIO__WRITES_PER_SECOND", "5"),
        ("RETRY__SCHEDULE", "1s, 2m"),
        ("SYNC__EVERY", "24h"),
        ("TELEMETRY__FORMAT", "pretty"),
        ("TELEMETRY__FILTER", "warn,alc_connector=debug"),
    ])
    .expect("all good");
    assert_eq!(config.http.bind.to_string(), "0.0.0.0:80");
    assert_eq!(config.http.public_url.as_str(), "https://connector.example/");
    assert_eq!((config.http.keep_alive.as_secs(), config.http.drain_delay.as_secs()), (600, 15));
    assert_eq!(config.management.bind.to_string(), "[::1]:9");
    assert_eq!(config.store.namespace, "two");
    assert!(config.store.connect_patience.is_zero());
    assert_eq!(config.alc.scopes, ["leads:write", "webhooks"]);
    assert_eq!(config.alc.client_authentication, ClientAuthentication::Post);
    assert_eq!(config.alc.webhook_signature, WebhookSignature::Required);
    assert_eq!(config.alc.revoke_url.map(String::from).as_deref(), Some("https://alc.example/revoke"));
    assert!(!config.alc.resend_unknown);
    assert_eq!(config.alc.poll_after, None);
    assert_eq!(config.alc.timeout.as_millis(), 500);
    assert_eq!(config.leads.send_wait.as_secs(), 28);
    assert_eq!(config.leads.default_region.as_deref(), Some("DE"));
    assert_eq!(config.attio.attributes.lead_id, None);
    assert_eq!(config.attio.titles.pending, "With ALC, waiting");
    assert_eq!(config.attio.writes_per_second, 5);
    assert_eq!(config.sync.every.map(|every| every.as_secs()), Some(86_400));
    assert_eq!(load(&[]).expect("all good").sync.every, None, "off unless it is set");
    assert_eq!(config.retry.schedule.iter().map(std::time::Duration::as_secs).collect::<Vec<_>>(), [1, 120]);
    assert_eq!(format!("{:?}", config.telemetry.format), "Pretty");
    assert_eq!(config.telemetry.filter, "warn,alc_connector=debug");
    assert_eq!(config.attio_app.redirect_uris, ["https://app.attio.com/a", "https://app.attio.com/b"]);
}

#[test]
fn a_secret_arrives_as_it_was_written() {
    for secret in ["00123", "1e5", "TRUE", "12345678901234567890123", "a,b", "[x]", "a\"b", "'", "0x10", "a=b"] {
        let config = load(&[("ALC__CLIENT_SECRET", secret), ("ATTIO__API_KEY", secret)]).expect("any secret will do");
        assert_eq!(config.alc.client_secret.expose_secret(), secret);
        assert!(matches!(config.attio.credential, AttioCredential::ApiKey(key) if key.expose_secret() == secret));
    }
}

#[test]
fn what_only_looks_like_a_placeholder_is_a_secret() {
    for secret in
        ["$2b$10$abc", "100%", "a<b>c", "%", "x", "xx", "noneOfYourBusiness", "todo-list-7", "$lower", "yours"]
    {
        assert!(load(&[("ALC__CLIENT_SECRET", secret)]).is_ok(), "{secret}");
    }
}

#[test]
fn addresses_that_work_are_taken() {
    for base in [
        "https://alc.example/",
        "https://alc.example/acme",
        "https://alc.example/acme/",
        "https://v1.example",
        "https://api.example/apis",
        "https://alc_internal.example./",
        "https://alc",
    ] {
        assert_eq!(faults(&[("ALC__BASE_URL", base), ("ATTIO__BASE_URL", base)]), [""; 0], "{base}");
    }
    let hosts = "ATTIO.com, münchen.example, hooks.attio.com, localhost, 127.0.0.1, [::1]";
    let config = load(&[("ATTIO__CALLBACK_HOSTS", hosts)]).expect("good hosts");
    let expected = ["attio.com", "xn--mnchen-3ya.example", "hooks.attio.com", "localhost", "127.0.0.1", "[::1]"];
    assert_eq!(config.attio.callback_hosts, expected);
}

#[test]
fn what_a_result_is_owed_is_off_until_it_is_set() {
    let off = load(&[]).expect("complete").attio;
    assert!(!off.note && off.pipeline.is_none());
    for word in ["", "off"] {
        assert!(!load(&[("ATTIO__NOTE", word)]).expect("off").attio.note, "{word}");
    }
    let on = load(&[
        ("ATTIO__NOTE", "on-result"),
        ("ATTIO__PIPELINE__LIST", "sales"),
        ("ATTIO__PIPELINE__STAGE_ATTRIBUTE", "stage"),
        ("ATTIO__PIPELINE__STAGES", "qualified:Qualified, not_interested: Lost: for good"),
    ]);
    let on = on.expect("complete").attio;
    let pipeline = on.pipeline.expect("on");
    assert!(on.note);
    assert_eq!((pipeline.list.as_str(), pipeline.stage_attribute.as_str()), ("sales", "stage"));
    assert_eq!(pipeline.stage_of("NOT_interested"), Some("Lost: for good"));
}

#[test]
fn a_list_that_results_put_people_into_does_not_send_them() {
    let pipeline = [
        ("ATTIO__PIPELINE__LIST", "sales"),
        ("ATTIO__PIPELINE__STAGE_ATTRIBUTE", "stage"),
        ("ATTIO__PIPELINE__STAGES", "qualified:Qualified"),
    ];
    let with = |sends| [&pipeline[..], &[("ATTIO__SEND_ON_LIST", sends)]].concat();
    let faults = faults(&with("Sales"));
    assert!(faults.len() == 1 && faults[0].starts_with("ATTIO__SEND_ON_LIST"), "{faults:?}");
    assert_eq!(load(&with("to-call")).expect("two lists").attio.send_on_list.as_deref(), Some("to-call"));
}

#[test]
fn while_entries_send_leads_are_remembered_for_longer_than_attio_repeats_them() {
    let faults = faults(&[("ATTIO__SEND_ON_LIST", "to-call"), ("LEADS__RETENTION", "3d")]);
    assert!(faults.len() == 1 && faults[0].starts_with("LEADS__RETENTION"), "{faults:?}");
    for fine in [&[("LEADS__RETENTION", "3d")][..], &[("ATTIO__SEND_ON_LIST", "to-call"), ("LEADS__RETENTION", "73h")]]
    {
        assert!(load(fine).is_ok(), "{fine:?}");
    }
}

#[test]
fn no_secret_shows_in_debug() {
    let shown = format!("{:?}", load(&[]).expect("complete"));
    for (name, value) in complete() {
        let public = ["ENV", "CLIENT_ID", "REDIRECT_URIS", "AUTHORIZE_URL", "TOKEN_URL"];
        if !public.iter().any(|part| name.ends_with(part)) {
            assert!(!shown.contains(&value), "{name} shows");
        }
    }
    assert!(!shown.contains("pw-of-"), "{shown}");
}

#[test]
fn production_with_nothing_set_names_every_missing_setting() {
    let environment: Environment = [("ALC_CONNECTOR_ENV", "production")].into_iter().collect();
    let faults = Config::load(&environment).expect_err("nothing is set");
    let names: Vec<_> = faults.0.iter().map(|fault| fault.variable.trim_start_matches("ALC_CONNECTOR__")).collect();
    assert_eq!(
        names,
        [
            "ALC__AUTHORIZE_URL",
            "ALC__CLIENT_ID",
            "ALC__CLIENT_SECRET",
            "ALC__TOKEN_URL",
            "ATTIO_APP__CLIENT_ID",
            "ATTIO_APP__CLIENT_SECRET",
            "ATTIO_APP__REDIRECT_URIS",
            "ATTIO__API_KEY",
            "KEYS__SEALING",
            "KEYS__SIGNING",
            "STORE__URL",
        ]
    );
}

/// A variable, a value that it must not have, and what the fault says of it.
const FAULTS: &[(&str, &str, &str)] = &[
    ("ATTIO__NOTE", "zzz", "off or on-result"),
    ("ATTIO__PIPELINE__LIST", "zzz/list", "a slug or an id"),
    ("HTTP__BIND", "8080-zzz", "an IP address and a port"),
    ("HTTP__PUBLIC_URL", "http://zzz.example", "https://"),
    ("HTTP__PUBLIC_URL", "https://zzz.example/path", "path"),
    ("HTTP__PUBLIC_URL", "zzz", "absolute URL"),
    ("HTTP__PUBLIC_URL", "", "is not set"),
    ("SYNC__EVERY", "59m 59s", "at least 1h"),
    ("SYNC__EVERY", "zzz", "duration"),
    ("MANAGEMENT__BIND", "localhost:zzz", "an IP address and a port"),
    ("STORE__URL", "postgres://u:zzz@h", "none of redis, rediss, redis+cluster"),
    ("STORE__URL", "redis:", "is not usable"),
    ("STORE__URL", "sqlite:", "file"),
    ("STORE__URL", "redis+cluster://zzz", "host:port,host:port"),
    ("STORE__URL", "rediss+cluster://zzz:1,h:2/3", "no numbered databases"),
    ("STORE__URL", "redis+sentinel://zzz:1", "host:port,host:port/master"),
    ("STORE__NAMESPACE", "{zzz}", "letters"),
    ("KEYS__SEALING", "zzz", "keys generate"),
    ("KEYS__SEALING_PREVIOUS", "zzz", "keys generate"),
    ("KEYS__SIGNING", "zzz", "keys generate"),
    ("KEYS__SIGNING_PREVIOUS", "zzz", "keys generate"),
    ("ATTIO_APP__REDIRECT_URIS", "zzz", "absolute URL"),
    ("ATTIO_APP__REDIRECT_URIS", "https://zzz.example/#f", "fragment"),
    ("ATTIO_APP__REDIRECT_URIS", "http://zzz.example/", "https://"),
    ("ATTIO_APP__REDIRECT_URIS", " , ", "is not set"),
    ("ALC__BASE_URL", "http://zzz.example", "https://"),
    ("ALC__BASE_URL", "https://zzz:pw@alc.example", "credentials"),
    ("ALC__BASE_URL", "https://alc.example?zzz", "query"),
    ("ALC__AUTHORIZE_URL", "http://zzz.example", "https://"),
    ("ALC__TOKEN_URL", "ftp://zzz.example", "https://"),
    ("ALC__REVOKE_URL", "http://zzz.example", "https://"),
    ("ALC__CLIENT_AUTHENTICATION", "zzz", "basic or post"),
    ("ALC__WEBHOOK_SIGNATURE", "zzz", "when-secret-known"),
    ("ALC__RESEND_UNKNOWN", "zzz", "true or false"),
    ("ALC__POLL_AFTER", "6", "duration"),
    ("ALC__TIMEOUT", "12001ms", "at most 12s"),
    ("ALC__TIMEOUT", "0s", "longer than zero"),
    ("ATTIO__TIMEOUT", "13s", "at most 12s"),
    ("LEADS__SEND_WAIT", "29s", "at most 28s"),
    ("LEADS__SEND_DEADLINE", "0s", "longer than zero"),
    ("LEADS__DEADLINE", "zzz", "duration"),
    ("LEADS__RETENTION", "100years", "duration"),
    ("LEADS__DEFAULT_REGION", "ZZZ", "two letters"),
    ("ATTIO__BASE_URL", "http://zzz.example", "https://"),
    ("ATTIO__OAUTH__AUTHORIZE_URL", "http://zzz.example", "https://"),
    ("ATTIO__OAUTH__TOKEN_URL", "zzz", "absolute URL"),
    ("ATTIO__OAUTH__REVOKE_URL", "ftp://zzz.example", "https://"),
    ("ATTIO__ATTRIBUTES__STATUS", "", "is not set"),
    ("ATTIO__ATTRIBUTES__STATUS", "zzz/zzz", "slug"),
    ("ATTIO__ATTRIBUTES__RESULT", "alc_status", "another"),
    ("ATTIO__TITLES__PENDING", "", "is not set"),
    ("ATTIO__TITLES__FAILED", "Pending", "another"),
    ("ATTIO__WRITES_PER_SECOND", "0", "1 or more"),
    ("HTTP__PUBLIC_URL", "\"https://zzz.example\"", "quotes around"),
    ("HTTP__PUBLIC_URL", "https://*.zzz.example", "one host"),
    ("HTTP__PUBLIC_URL", "https://zzz.example:0", "port 0"),
    ("STORE__URL", "'redis://zzz:6379'", "quotes around"),
    ("STORE__URL", "redis://zzz\n:6379", "line break"),
    ("ATTIO_APP__REDIRECT_URIS", "https://zzz.example/*", "letter by letter"),
    ("ATTIO_APP__REDIRECT_URIS", "https://a.example/x, \"https://zzz.example/\"", "quotes around"),
    ("ATTIO_APP__REDIRECT_URIS", "https://a.example/x;https://b.example/zzz y", "blank"),
    ("ALC__BASE_URL", "https://zzz.example/api/v1", "/api/v1 is added"),
    ("ALC__BASE_URL", "https://zzz.example/API/V1/", "/api/v1 is added"),
    ("ALC__BASE_URL", "https://zzz.example/acme/api", "/api/v1 is added"),
    ("ALC__BASE_URL", "https://zzz.example/v1", "/api/v1 is added"),
    ("ALC__BASE_URL", "https://zzz.example/api/v1/leads", "/api/v1 is added"),
    ("ALC__BASE_URL", "https://zzz.example//", "empty part"),
    ("ALC__BASE_URL", "https://zzz.example/#top", "fragment"),
    ("ALC__BASE_URL", "https://zzz.exa\nmple", "line break"),
    ("ALC__BASE_URL", "https:\\\\zzz.example", "backslash"),
    ("ALC__BASE_URL", "https://${ZZZ_HOST}/", "placeholder"),
    ("ALC__BASE_URL", "https://{{ zzz }}.example", "placeholder"),
    ("ALC__BASE_URL", "https://$ZZZ/", "name server"),
    ("ALC__BASE_URL", "https://zzz..example", "name server"),
    ("ALC__BASE_URL", "https://https://zzz.example", "scheme twice"),
    ("ALC__TOKEN_URL", "https://zzz.example/$(TOKEN)", "placeholder"),
    ("ALC__TOKEN_URL", "https://http//zzz.example", "scheme twice"),
    ("ALC__TOKEN_URL", "https://zzz.example/token#x", "fragment"),
    ("ALC__REVOKE_URL", "https://zzz,example/revoke", "name server"),
    ("ALC__AUTHORIZE_URL", "https://zzz.example/?response_type=code&client_id=zzz", "added to it"),
    ("ALC__AUTHORIZE_URL", "https://zzz.example/?tenant=a&state=zzz", "added to it"),
    ("ATTIO__OAUTH__AUTHORIZE_URL", "https://zzz.example/?redirect_uri=zzz", "added to it"),
    ("ATTIO__OAUTH__TOKEN_URL", "https://${zzz}", "placeholder"),
    ("ATTIO__OAUTH__REVOKE_URL", "https://zzz_zzz..example", "name server"),
    ("ATTIO__BASE_URL", "https://${zzz}/", "placeholder"),
    ("HTTP__PUBLIC_URL", "https://${ZZZ}", "placeholder"),
    ("STORE__URL", "redis://:${ZZZ}@h:6379", "placeholder"),
    ("STORE__URL", "redis://{{ zzz }}:6379", "placeholder"),
    ("ATTIO_APP__REDIRECT_URIS", "https://a.example/x,https://${ZZZ}/", "placeholder"),
    ("ALC__SCOPES", "leads ${ZZZ}", "placeholder"),
    ("ATTIO__CALLBACK_HOSTS", "attio.com,${ZZZ}.example", "name server"),
    ("ATTIO__CALLBACK_HOSTS", "zzz..example", "name server"),
    ("ALC__TOKEN_URL", "https://zzz.example/to ken", "blank"),
    ("ALC__SCOPES", "zzz \"b\"", "scopes"),
    ("ALC__SCOPES", "\"zzz b\"", "quotes around"),
    ("ALC__SCOPES", "zzzé", "scopes"),
    ("ATTIO__BASE_URL", "https://api.attio.com/v2", "/v2 is added"),
    ("ATTIO__BASE_URL", "https://api.attio.com/v2/", "/v2 is added"),
    ("ATTIO__BASE_URL", "https://zzz.example/v2/objects", "/v2 is added"),
    ("ATTIO__BASE_URL", "https://zzz.example/V3", "/v2 is added"),
    ("ATTIO__BASE_URL", "https://app.attio.com", "https://api.attio.com"),
    ("ATTIO__BASE_URL", "https://api.attio.com?zzz", "query"),
    ("ATTIO__ATTRIBUTES__STATUS", "Zzz_Status", "capital"),
    ("ATTIO__ATTRIBUTES__STATUS", "'zzz'", "quotes around"),
    ("ATTIO__ATTRIBUTES__RESULT", "job_title", "of Attio's own"),
    ("ATTIO__ATTRIBUTES__LEAD_ID", "zzz\u{200b}", "invisible"),
    ("ATTIO__TITLES__FAILED", "pending", "another"),
    ("ATTIO__TITLES__FAILED", "zzz\nzzz", "line break"),
    ("ATTIO__CALLBACK_HOSTS", "*.zzz.example", "subdomains are included"),
    ("ATTIO__CALLBACK_HOSTS", "attio.com,.zzz.example", "subdomains are included"),
    ("ATTIO__CALLBACK_HOSTS", "zzz.example:443", "without scheme"),
    ("ATTIO__CALLBACK_HOSTS", "zzz.example/hooks", "without scheme"),
    ("ATTIO__CALLBACK_HOSTS", "me@zzz.example", "without scheme"),
    ("ATTIO__CALLBACK_HOSTS", "attio.com;zzz.example", "separated by commas"),
    ("ATTIO__CALLBACK_HOSTS", "zzz.example.", "dot at its end"),
    ("ATTIO__CALLBACK_HOSTS", "zzz", "whole domain"),
    ("ATTIO__CALLBACK_HOSTS", "\"zzz.example\"", "quotes around"),
    ("ATTIO__CALLBACK_HOSTS", "attio.com,https://zzz.example", "without scheme"),
    ("ATTIO__CALLBACK_HOSTS", "attio.com,10.0.0.1", "of loopback"),
    ("RETRY__SCHEDULE", "1s,zzz", "duration"),
    ("RETRY__SCHEDULE", "1s,0s", "longer than zero"),
    ("TELEMETRY__FORMAT", "zzz", "pretty or json"),
    ("TELEMETRY__FILTER", "zzz=zzz=zzz", "filter"),
    ("HTTP__BNID", "zzz", "did you mean ALC_CONNECTOR__HTTP__BIND?"),
    ("HTTP_BIND", "zzz", "did you mean ALC_CONNECTOR__HTTP__BIND?"),
    ("ATTIO", "zzz", "is not a setting"),
    ("QUITE__ANOTHER__THING", "zzz", "is not a setting: remove it"),
];

#[test]
fn each_fault_names_its_variable_and_quotes_no_value() {
    for (variable, value, expected) in FAULTS {
        let faults = faults(&[(variable, value)]);
        let [fault] = faults.as_slice() else { panic!("{variable}={value}: {faults:?}") };
        assert!(fault.starts_with(&format!("{variable} ")), "{variable}={value}: {fault}");
        assert!(fault.contains(expected), "{variable}={value}: {fault}");
        assert!(!fault.contains("zzz"), "{variable}={value} is quoted: {fault}");
    }
}

#[test]
fn faults_of_all_sections_come_together() {
    let faults = faults(&[
        ("HTTP__BIND", "x"),
        ("ALC__TIMEOUT", "x"),
        ("RETRY__SCHEDULE", "x"),
        ("TELEMETRY__FORMAT", "x"),
        ("NOT__KNOWN", "x"),
        ("KEYS__SEALING", ""),
    ]);
    assert_eq!(faults.len(), 7, "the schedule has a bad step and then none: {faults:?}");
}

#[test]
fn attio_takes_a_key_or_grants_and_not_both() {
    let grants = [("ATTIO__OAUTH__CLIENT_ID", "us"), ("ATTIO__OAUTH__CLIENT_SECRET", "pw-of-oauth")];
    let config = load(&[("ATTIO__API_KEY", ""), grants[0], grants[1]]).expect("grants alone");
    let AttioCredential::OAuth(oauth) = &config.attio.credential else { panic!("grants are meant") };
    assert_eq!(
        [&oauth.authorize_url, &oauth.token_url, &oauth.revoke_url].map(url::Url::as_str),
        ["authorize", "oauth/token", "oauth/revoke"].map(|path| format!("https://app.attio.com/{path}"))
    );
    assert!(!format!("{config:?}").contains("pw-of-oauth"));
    assert_eq!(
        faults(&[("ATTIO__API_KEY", ""), ("ATTIO__OAUTH__CLIENT_ID", "us")]),
        ["ATTIO__OAUTH__CLIENT_SECRET is not set: set it to the client secret that Attio gave you"]
    );
    for both in [&grants[..1], &grants[1..], &grants[..]] {
        assert_eq!(
            faults(both),
            ["ATTIO__API_KEY and ALC_CONNECTOR__ATTIO__OAUTH__… are both set: unset one of them"],
            "{both:?}"
        );
    }
}

#[test]
fn the_previous_key_is_another_one() {
    let variables = complete();
    for name in ["SEALING", "SIGNING"] {
        let (_, current) = variables.iter().find(|(variable, _)| variable.ends_with(name)).expect("is set");
        let previous = (format!("ALC_CONNECTOR__KEYS__{name}_PREVIOUS"), current.clone());
        let faults = Config::load(&variables.iter().cloned().chain([previous]).collect()).expect_err("the same key");
        assert!(faults.to_string().contains("is the current key"), "{faults}");
    }
}

#[test]
fn loopback_needs_no_tls() {
    for host in ["127.0.0.1", "127.9.9.9", "localhost", "[::1]", "connector.localhost"] {
        let url = format!("http://{host}:81");
        assert_eq!(
            faults(&[("HTTP__PUBLIC_URL", &url), ("ALC__BASE_URL", &url), ("ATTIO_APP__REDIRECT_URIS", &url)]),
            [""; 0]
        );
    }
    for host in ["localhost.example", "10.0.0.1", "[::ffff:127.0.0.1]", "[::2]"] {
        assert_eq!(faults(&[("ALC__BASE_URL", &format!("http://{host}"))]).len(), 1, "{host}");
    }
}

#[test]
fn files_of_the_operator_lie_over_the_built_in_ones_and_below_variables() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("can be written");
    let load = |changes: &[(&str, &str)]| {
        let path = directory.path().display().to_string();
        let variables = complete().into_iter().chain([("ALC_CONNECTOR_CONFIG_DIR".to_owned(), path)]);
        let changes = changes.iter().map(|(name, value)| (format!("ALC_CONNECTOR__{name}"), (*value).to_owned()));
        Config::load(&variables.chain(changes).collect())
    };
    let empty = load(&[]).expect_err("no file of ours there").to_string();
    assert!(empty.starts_with("ALC_CONNECTOR_CONFIG_DIR holds neither"), "{empty}");

    write(
        "default.toml",
        "[leads]\nsend_wait = \"3s\"\n[telemetry]\nformat = \"pretty\"\n[retry]\nschedule = [\"9s\"]\n",
    );
    write("production.toml", "[attio]\nwrites_per_second = 7\n");
    let config = load(&[("LEADS__SEND_WAIT", "4s")]).expect("good files");
    assert_eq!(config.leads.send_wait.as_secs(), 4);
    assert_eq!(config.leads.deadline.as_secs(), 2_592_000);
    assert_eq!(config.attio.writes_per_second, 7);
    assert_eq!(config.retry.schedule.len(), 1);
    assert_eq!(format!("{:?}", config.telemetry.format), "Pretty", "the operator's files come after all built-in ones");

    write("production.toml", "[telemetry]\nformat = \"json\"\n");
    let config = load(&[]).expect("good files");
    assert_eq!(format!("{:?}", config.telemetry.format), "Json", "the environment's file comes after default's");

    write("production.toml", "[leads]\nsend_wiat = \"3s\"\n");
    let unknown = load(&[]).expect_err("a typo").to_string();
    assert!(unknown.contains("LEADS__SEND_WIAT is not a setting (set in "), "{unknown}");
    assert!(unknown.contains("production.toml): did you mean ALC_CONNECTOR__LEADS__SEND_WAIT?"), "{unknown}");

    write("production.toml", "[keys]\nsealing = zzz\n");
    let malformed = load(&[]).expect_err("not TOML").to_string();
    assert!(malformed.contains("production.toml, which is not valid TOML: "), "{malformed}");
    assert!(!malformed.contains("zzz"), "{malformed}");
}

#[test]
fn a_variable_that_is_nearly_ours_is_refused_and_kubernetes_own_are_not() {
    let load =
        |name: &str| Config::load(&complete().into_iter().chain([(name.to_owned(), "zzz".to_owned())]).collect());
    for (name, meant) in [
        ("ALC_CONNECTOR_HTTP__BIND", "ALC_CONNECTOR__HTTP__BIND"),
        ("ALC_CONNECTOR_ATTIO__OAUTH__CLIENT_ID", "ALC_CONNECTOR__ATTIO__OAUTH__CLIENT_ID"),
        ("ALC_CONNECTOR_STORE_URL", "ALC_CONNECTOR__STORE__URL"),
        ("ALC_CONNECTOR_ENVIRONMENT", "ALC_CONNECTOR_ENV"),
        ("ALC_CONNECTOR_CONFIG", "ALC_CONNECTOR_CONFIG_DIR"),
        ("ALC_CONNECTOR_CONFIG_DIRECTORY", "ALC_CONNECTOR_CONFIG_DIR"),
    ] {
        let faults = load(name).expect_err(name).to_string();
        assert_eq!(faults, format!("{name} is not a variable of this service: did you mean {meant}?"));
    }
    for name in [
        "ALC_CONNECTOR_SERVICE_HOST",
        "ALC_CONNECTOR_SERVICE_PORT",
        "ALC_CONNECTOR_SERVICE_PORT_HTTP",
        "ALC_CONNECTOR_PORT",
        "ALC_CONNECTOR_PORT_8080_TCP",
        "ALC_CONNECTOR_PORT_8080_TCP_ADDR",
        "ALC_CONNECTOR_CONFIG_SERVICE_HOST",
        "ALC_CONNECTOR_ENVOY_PORT",
        "ALC_CONNECTORS__HTTP__BIND",
    ] {
        assert!(load(name).is_ok(), "{name}");
    }
}

#[test]
fn a_loopback_public_url_is_hardly_meant_in_production() {
    let warnings = |url: &str, environment: &str| {
        let set = [("ALC_CONNECTOR__HTTP__PUBLIC_URL", url), ("ALC_CONNECTOR_ENV", environment)];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment: Environment = complete().into_iter().chain(set).collect();
        Config::load(&environment).expect("good").warnings(&environment).len()
    };
    assert_eq!(warnings("http://localhost:8080", "production"), 1);
    assert_eq!(warnings("https://connector.example", "production"), 0);
    assert_eq!(warnings("http://localhost:8080", "staging"), 0);
}

#[test]
fn an_environment_nobody_knows_is_refused() {
    let mut variables = complete();
    variables[0].1 = "zzz".to_owned();
    let faults = Config::load(&variables.into_iter().collect()).expect_err("no such environment").to_string();
    assert_eq!(faults, "ALC_CONNECTOR_ENV is none of development, staging, production");
}

#[test]
fn in_production_the_clients_secret_is_a_long_one() {
    let short = "pw-of-app-of-thirty-one-letters";
    let refused = faults(&[("ATTIO_APP__CLIENT_SECRET", short)]);
    let [fault] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(fault.starts_with("ATTIO_APP__CLIENT_SECRET has fewer than 32 characters"), "{fault}");
    assert!(fault.contains("keys generate") && !fault.contains("thirty"), "{fault}");
    assert_eq!(faults(&[("ATTIO_APP__CLIENT_SECRET", &format!("{short}-"))]), Vec::<String>::new());
    let elsewhere = complete().into_iter().filter(|(name, _)| name != "ALC_CONNECTOR_ENV");
    let short = ("ALC_CONNECTOR__ATTIO_APP__CLIENT_SECRET".to_owned(), short.to_owned());
    Config::load(&elsewhere.chain([short]).collect()).expect("any will do for a try");
    let fresh = FreshKeys::generate().client_secret;
    assert_eq!(faults(&[("ATTIO_APP__CLIENT_SECRET", fresh.expose_secret())]), Vec::<String>::new());
}

#[test]
fn the_systems_proxy_variables_are_read_and_never_shown() {
    let of = |variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&complete().into_iter().chain(variables).collect())
    };
    assert!(of(&[]).expect("complete").proxy.is_none());
    for (name, except) in [("HTTPS_PROXY", "NO_PROXY"), ("https_proxy", "no_proxy")] {
        let config = of(&[(name, "u:hunter2@proxy.example:3128"), (except, "alc.example")]).expect("complete");
        assert!(!format!("{config:?}").contains("hunter2"));
        let proxy = config.proxy.expect("a proxy");
        assert_eq!(proxy.url.expose_secret(), "http://u:hunter2@proxy.example:3128");
        assert_eq!(proxy.except, "alc.example");
    }
    let faults = of(&[("HTTPS_PROXY", "socks5://hunter2")]).expect_err("no HTTP proxy").to_string();
    assert!(faults.starts_with("HTTPS_PROXY must be") && !faults.contains("hunter2"), "{faults}");
}
