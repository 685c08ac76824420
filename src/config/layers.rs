//! The layers: built-in files, the operator's files, variables. Later wins; everything stays text.
//!
//! Promises that a value reaches its field exactly as it was written: "00123" and "1e5" may be secrets, so nothing here
//! guesses at types (config's `try_parsing` would turn them into 123 and 100000).

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use config::{File, FileFormat, Map, Source as _, Value, ValueKind};
use secrecy::SecretString;

use super::{
    fault::Fault,
    written::{DIRECTORY, ENVIRONMENT, NEARLY, PREFIX, Setting, Settings, Written},
};

const DEFAULT: &str = include_str!("../../config/default.toml");
const ENVIRONMENTS: [(&str, &str); 3] = [
    ("development", include_str!("../../config/development.toml")),
    ("staging", include_str!("../../config/staging.toml")),
    ("production", include_str!("../../config/production.toml")),
];

/// The environment variables as they were at one moment: tests make their own. Has no `Debug`, there are secrets in it.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Names of variables of ours whose values are not UTF-8.
    unreadable: Vec<String>,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(value) => _ = environment.variables.insert(name, value),
                Err(_) if name.starts_with(NEARLY) => environment.unreadable.push(name),
                Err(_) => {}
            }
        }
        environment
    }

    /// Whether it is that of production.
    pub fn is_production(&self) -> bool {
        self.get(ENVIRONMENT) == Some("production")
    }

    /// Names that begin as ours do and are none of them. Not all are mistakes: Kubernetes sets
    /// `ALC_CONNECTOR_SERVICE_HOST`, `ALC_CONNECTOR_PORT_8080_TCP` and more like them wherever a service is called so.
    pub(super) fn strays(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| {
            name.starts_with(NEARLY) && !name.starts_with(PREFIX) && ![ENVIRONMENT, DIRECTORY].contains(name)
        })
    }

    /// The value of any variable, for an operator who does not want to write a password on a command line.
    pub fn variable(&self, name: &str) -> Option<SecretString> {
        self.get(name).map(SecretString::from)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, unreadable: Vec::new() }
    }
}

/// Lays the layers over each other.
pub(super) fn gather(environment: &Environment) -> (Settings, Vec<Fault>) {
    let mut settings = Settings::new();
    let mut faults = Vec::new();
    for name in &environment.unreadable {
        faults.push(Fault::new(name, "is not UTF-8: write it as text"));
    }
    for (file, text) in files(environment, &mut faults) {
        match File::from_str(&text, FileFormat::Toml).collect() {
            Ok(values) => flatten("", values, &file, &mut settings),
            Err(error) => {
                // The first line says where; the rest would quote the file, secrets and all.
                let place = error.to_string().lines().next().unwrap_or_default().to_owned();
                faults.push(Fault::new(DIRECTORY, format!("names {file}, which is not valid TOML: {place}")));
            }
        }
    }
    let variables: HashMap<_, _> =
        environment.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let variables = config::Environment::with_prefix("ALC_CONNECTOR")
        .prefix_separator("__")
        .separator("__")
        .source(Some(variables.into_iter().collect()));
    match variables.collect() {
        Ok(values) => {
            for (path, value) in values {
                // No brackets, no types, no lists: what stands in the variable is the value.
                let written = Written::Text(value.into_string().unwrap_or_default());
                settings.insert(path, Setting { written, file: None });
            }
        }
        Err(_) => faults.push(Fault::new(PREFIX, "variables could not be read: write them as UTF-8 text")),
    }
    (settings, faults)
}

/// The files in their order: both built-in ones, then both of the operator's. What those do not mention keeps the
/// built-in value; what they do counts, also where the built-in file of the environment says otherwise.
fn files(environment: &Environment, faults: &mut Vec<Fault>) -> Vec<(String, String)> {
    let chosen = environment.get(ENVIRONMENT).unwrap_or("development");
    let mut layers = vec![("default", DEFAULT)];
    match ENVIRONMENTS.iter().find(|(name, _)| *name == chosen) {
        Some(layer) => layers.push(*layer),
        None => faults.push(Fault::new(ENVIRONMENT, "is none of development, staging, production")),
    }
    let directory = environment.get(DIRECTORY).map(Path::new);
    let mut files: Vec<_> =
        layers.iter().map(|(name, text)| (format!("config/{name}.toml"), (*text).to_owned())).collect();
    let mut found = directory.is_none();
    for path in
        directory.iter().flat_map(|directory| layers.iter().map(|(name, _)| directory.join(format!("{name}.toml"))))
    {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                found = true;
                files.push((path.display().to_string(), text));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                found = true;
                faults.push(Fault::new(DIRECTORY, format!("names {}, which cannot be read: {error}", path.display())));
            }
        }
    }
    if !found {
        faults
            .push(Fault::new(DIRECTORY, format!("holds neither default.toml nor {chosen}.toml: correct or unset it")));
    }
    files
}

fn flatten(prefix: &str, values: Map<String, Value>, file: &str, settings: &mut Settings) {
    for (key, value) in values {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let written = match value.kind {
            ValueKind::Table(values) => {
                flatten(&path, values, file, settings);
                continue;
            }
            ValueKind::Nil => continue,
            ValueKind::Array(items) => {
                Written::List(items.into_iter().map(|item| item.into_string().unwrap_or_default()).collect())
            }
            _ => Written::Text(value.into_string().unwrap_or_default()),
        };
        settings.insert(path, Setting { written, file: Some(file.to_owned()) });
    }
}
