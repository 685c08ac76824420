//! Takes settings field by field and remembers every fault on the way.
//!
//! A field that cannot be read is `None` *and* a fault; that is the invariant which lets a section be built with `?`.
//! What was never asked for is unknown, so the list of known keys is the reading itself.

use std::collections::BTreeSet;

use super::{
    check,
    fault::{Fault, Faults},
    layers::Environment,
    written::{DIRECTORY, ENVIRONMENT, NEARLY, PREFIX, Settings, Written},
};
use crate::upstream::Proxy;

/// `http.bind` → `ALC_CONNECTOR__HTTP__BIND`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

pub(super) struct Reader {
    settings: Settings,
    /// Whether it is production's configuration: some things that do for a try are refused there.
    pub(super) is_production: bool,
    asked: BTreeSet<&'static str>,
    faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn new(settings: Settings, faults: Vec<Fault>, is_production: bool) -> Self {
        Self { settings, is_production, asked: BTreeSet::new(), faults }
    }

    pub(super) fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(variable(key), message));
    }

    /// Whether something is wrong with `key` already.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        let variable = variable(key);
        self.faults.iter().any(|fault| fault.variable == variable)
    }

    /// The text of `key`; `None` if it is not set. An empty one counts as not set: an env file cannot say it otherwise.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<String> {
        self.written(key).filter(|text| !text.is_empty())
    }

    /// The text of `key`; `hint` says what it should be.
    pub(super) fn required(&mut self, key: &'static str, hint: &str) -> Option<String> {
        let text = self.optional(key);
        if text.is_none() {
            self.fault(key, format!("is not set: {hint}"));
        }
        text
    }

    /// As [`Reader::required`], for the id or the secret of an OAuth client: taken to the letter, blanks included.
    pub(super) fn credential(&mut self, key: &'static str, hint: &str) -> Option<String> {
        let text = self.required(key, hint)?;
        self.judge(key, check::client_credential(&text))
    }

    /// As [`Reader::required`], then `parse`d; its error completes the sentence "`<variable>` …".
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.required(key, hint)?;
        self.judge(key, parse(text.trim()))
    }

    /// As [`Reader::optional`], then `parse`d. `None` after a fault as well: there is no configuration then.
    pub(super) fn parsed_if_set<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.optional(key)?;
        self.judge(key, parse(text.trim()))
    }

    /// The proxy that the system's own variables name, if any.
    pub(super) fn proxy(&mut self, environment: &Environment) -> Option<Proxy> {
        let either = |name: &str| environment.get(name).or_else(|| environment.get(&name.to_lowercase()));
        let url = either("HTTPS_PROXY")?;
        let url = self.judge_system("HTTPS_PROXY", check::proxy(url))?;
        Some(Proxy { url, except: either("NO_PROXY").unwrap_or_default().to_owned() })
    }

    /// A TOML array, or text with commas. Empty items are dropped, so an empty value is an empty list.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<String> {
        self.asked.insert(key);
        let items = match self.settings.get(key).map(|setting| &setting.written) {
            None => Vec::new(),
            Some(Written::Text(text)) => text.split(',').map(str::to_owned).collect(),
            Some(Written::List(items)) => items.clone(),
        };
        items.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    fn written(&mut self, key: &'static str) -> Option<String> {
        self.asked.insert(key);
        match self.settings.get(key).map(|setting| setting.written.clone()) {
            Some(Written::Text(text)) => Some(text),
            Some(Written::List(_)) => {
                self.fault(key, "is one value, not a list");
                None
            }
            None => None,
        }
    }

    pub(super) fn judge<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.fault(key, message)).ok()
    }

    /// As [`Reader::judge`], for a variable that is not ours.
    pub(super) fn judge_system<T>(&mut self, name: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.faults.push(Fault::new(name, message))).ok()
    }

    /// Refuses those of the variables that are meant for us, by what they nearly say.
    pub(super) fn refuse_mistyped<'a>(&mut self, strays: impl Iterator<Item = &'a str>) {
        for name in strays {
            let rest = name.strip_prefix(NEARLY).unwrap_or(name);
            if is_of_another_service(rest) {
                continue;
            }
            let bare = |name: &str| name.replace('_', "");
            let known = self.asked.iter().map(|known| variable(known)).find(|known| bare(known) == bare(name));
            let meant = if known.is_some() {
                known
            } else if rest.contains("__") {
                Some(format!("{PREFIX}{rest}"))
            } else if ["ENVIRONMENT", "PROFILE"].contains(&rest) {
                Some(ENVIRONMENT.to_owned())
            } else if ["CONFIG", "CONFIG_DIRECTORY", "CONFIG_PATH", "CONF_DIR"].contains(&rest) {
                Some(DIRECTORY.to_owned())
            } else {
                None
            };
            if let Some(meant) = meant {
                self.faults.push(Fault::new(name, format!("is not a variable of this service: did you mean {meant}?")));
            }
        }
    }

    /// The configuration, unless something is wrong with it.
    pub(super) fn finish<T>(mut self, config: Option<T>) -> Result<T, Faults> {
        self.refuse_unknown();
        match config {
            Some(config) if self.faults.is_empty() => Ok(config),
            _ => Err(self.into_faults()),
        }
    }

    pub(super) fn into_faults(mut self) -> Faults {
        self.faults.sort();
        self.faults.dedup();
        Faults(self.faults)
    }

    fn refuse_unknown(&mut self) {
        for (key, setting) in &self.settings {
            if self.asked.contains(key.as_str()) {
                continue;
            }
            let near = self.asked.iter().map(|known| (distance(key, known), known)).min();
            let near = near.filter(|(distance, _)| *distance <= 3).map(|(_, known)| variable(known));
            let advice = near.map_or_else(|| "remove it".to_owned(), |known| format!("did you mean {known}?"));
            let place = setting.file.as_ref().map(|file| format!(" (set in {file})")).unwrap_or_default();
            self.faults.push(Fault::new(variable(key), format!("is not a setting{place}: {advice}")));
        }
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Whether Kubernetes may have set it (or a container link): for every service of the namespace it does, and one may be
/// called as we are, or begin so. A pod that refused them would not start again once such a service is there.
fn is_of_another_service(rest: &str) -> bool {
    rest.ends_with("PORT") || ["SERVICE_HOST", "SERVICE_PORT", "PORT_"].iter().any(|theirs| rest.contains(theirs))
}
