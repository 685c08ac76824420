//! Ids, keys and secrets that can never work.

use super::*;

/// No credential, and what its refusal names.
const REFUSED: [(&str, &str); 32] = [
    ("zzz\n", "line break"),
    ("zz\nz", "line break"),
    ("zzz\r", "line break"),
    (" zzz", "blanks around"),
    ("zzz ", "blanks around"),
    ("zzz\u{a0}", "blanks around"),
    ("\"zzz\"", "quotes around"),
    ("'zzz'", "quotes around"),
    ("“zzz”", "quotes around"),
    ("Bearer zzz", "Authorization header"),
    ("bearer zzz", "Authorization header"),
    ("Basic zzz", "Authorization header"),
    ("Authorization: zzz", "Authorization header"),
    ("zzzé", "printable ASCII"),
    ("zzz–zzz", "printable ASCII"),
    ("zzz\u{200b}", "invisible"),
    ("\u{feff}zzz", "invisible"),
    ("zz\tz", "control"),
    ("${ZZZ}", "placeholder"),
    ("<zzz>", "placeholder"),
    ("{{ zzz }}", "placeholder"),
    ("$(zzz)", "placeholder"),
    ("$ZZZ_ZZZ", "placeholder"),
    ("%ZZZ%", "placeholder"),
    ("your-zzz-here", "placeholder"),
    ("YOUR_ZZZ", "placeholder"),
    ("changeme", "placeholder"),
    ("Change-Me", "placeholder"),
    ("undefined", "placeholder"),
    ("TODO", "placeholder"),
    ("xxxxxxxx", "placeholder"),
    ("********", "placeholder"),
];

#[test]
fn what_can_never_be_a_credential_is_refused_and_not_quoted() {
    let credentials = [
        "ATTIO__API_KEY",
        "ALC__CLIENT_ID",
        "ALC__CLIENT_SECRET",
        "ATTIO_APP__CLIENT_ID",
        "ATTIO_APP__CLIENT_SECRET",
        "ATTIO__OAUTH__CLIENT_ID",
        "ATTIO__OAUTH__CLIENT_SECRET",
    ];
    for variable in credentials {
        for (value, why) in REFUSED {
            let oauth = variable.starts_with("ATTIO__OAUTH");
            let other =
                if variable.ends_with("ID") { "ATTIO__OAUTH__CLIENT_SECRET" } else { "ATTIO__OAUTH__CLIENT_ID" };
            let mut changes = vec![(variable, value)];
            if oauth {
                changes.extend([("ATTIO__API_KEY", ""), (other, "fine")]);
            }
            let faults = faults(&changes);
            let [fault] = faults.as_slice() else { panic!("{variable}={value:?}: {faults:?}") };
            assert!(fault.starts_with(&format!("{variable} ")) && fault.contains(why), "{value:?}: {fault}");
            assert!(!fault.to_lowercase().contains("zzz"), "{value:?} is quoted: {fault}");
        }
    }
    for (value, why) in [("two words", "blank"), ("https://key.example/x", "URL")] {
        let faults = faults(&[("ATTIO__API_KEY", value)]);
        assert!(faults.len() == 1 && faults[0].contains(why), "{faults:?}");
    }
    assert!(load(&[("ALC__CLIENT_SECRET", "two words")]).is_ok(), "RFC 6749 allows it");
}

#[test]
fn an_id_is_not_its_own_secret() {
    for client in ["ALC", "ATTIO_APP", "ATTIO__OAUTH"] {
        let (id, secret) = (format!("{client}__CLIENT_ID"), format!("{client}__CLIENT_SECRET"));
        let value = "zzz".repeat(11);
        let mut changes = vec![(id.as_str(), value.as_str()), (secret.as_str(), value.as_str())];
        if client == "ATTIO__OAUTH" {
            changes.push(("ATTIO__API_KEY", ""));
        }
        let faults = faults(&changes);
        let [fault] = faults.as_slice() else { panic!("{client}: {faults:?}") };
        assert!(fault.starts_with(&secret) && fault.contains("client id once more"), "{fault}");
        assert!(!fault.contains("zzz"), "{fault}");
    }
}
