//! The configuration: one tree, its layers, and every fault of it at once.
//!
//! Owns the meaning of each setting; hands out its sections by value, so that a room knows its own section and nothing
//! else. Promises that every [`Config`] is valid (there is no way to get another one), that a
//! configuration with faults names all of them, each with the variable to set and what to set it to, and that no secret
//! shows in `Debug` or in a fault: faults never quote a value, because it may be a secret in the wrong place.
//!
//! [`layers`] gathers the settings as text, [`reader`] takes them field by field; the sections are beside them. Nothing
//! is deserialised whole, because that would stop at the first fault.

mod check;
mod fault;
pub mod keys;
mod layers;
mod reader;
mod sections;
mod written;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use fault::{Fault, Faults};
pub use layers::Environment;
pub use sections::{
    Alc, Attio, AttioApp, AttioCredential, AttioOAuth, Http, Keys, Leads, Management, Retry, Store, Sync, Telemetry,
};

use self::reader::Reader;
use crate::{telemetry::traces, upstream::Proxy};

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The public listener.
    pub http: Http,
    /// The listener for operators.
    pub management: Management,
    /// Where everything is kept.
    pub store: Store,
    /// What seals and what signs.
    pub keys: Keys,
    /// Our OAuth client: the Attio app's connection.
    pub attio_app: AttioApp,
    /// Acme Lead Checker.
    pub alc: Alc,
    /// The life of a lead.
    pub leads: Leads,
    /// Attio.
    pub attio: Attio,
    /// The full sync.
    pub sync: Sync,
    /// When to try again.
    pub retry: Retry,
    /// What is logged, and how.
    pub telemetry: Telemetry,
    /// Where spans go; `None`: none are made.
    pub traces: Option<traces::Settings>,
    /// Between us and the upstreams: `HTTPS_PROXY` and `NO_PROXY`, which are the system's variables and not ours.
    pub proxy: Option<Proxy>,
}

impl Config {
    /// Reads all layers; the configuration is valid, or all of its faults are named.
    pub fn load(environment: &Environment) -> Result<Self, Faults> {
        let (settings, faults) = layers::gather(environment);
        let mut reader = Reader::new(settings, faults, environment.is_production());
        let proxy = reader.proxy(environment);
        let traces = sections::traces::read(&mut reader, environment);
        let config = Self::read(&mut reader).map(|config| Self { proxy, traces, ..config });
        reader.refuse_mistyped(environment.strays());
        reader.finish(config)
    }

    /// What is no fault and yet hardly meant.
    pub fn warnings(&self, environment: &Environment) -> Vec<&'static str> {
        let nobody_else_reaches_us = environment.is_production() && check::is_loopback(&self.http.public_url);
        let warning = "ALC_CONNECTOR__HTTP__PUBLIC_URL is a loopback address: neither ALC nor Attio nor a browser elsewhere \
                       reaches this service by it";
        nobody_else_reaches_us.then_some(warning).into_iter().collect()
    }

    /// Where the management listener of this environment is. For the health check: it must not fail because a secret is
    /// not set where it runs.
    pub fn management_bind(environment: &Environment) -> Result<SocketAddr, Faults> {
        Self::management(environment).map(|management| management.bind)
    }

    /// Where the management listener of this environment is and what proves an operator to it. For operators' commands:
    /// they must not fail because another secret is not set where they run.
    pub fn management(environment: &Environment) -> Result<Management, Faults> {
        Self::part(environment, Management::read)
    }

    /// Where this environment keeps everything. For `store copy`, which opens nothing that is sealed.
    pub fn store(environment: &Environment) -> Result<Store, Faults> {
        Self::part(environment, Store::read)
    }

    /// The namespace of this environment's store, whose URL need not be set.
    pub fn store_namespace(environment: &Environment) -> Result<String, Faults> {
        Self::part(environment, Store::read_namespace)
    }

    /// Where this environment keeps everything, and the keys to it. For `store check`, which calls no upstream.
    pub fn store_and_keys(environment: &Environment) -> Result<(Store, Keys), Faults> {
        Self::part(environment, |reader| {
            let (store, keys) = (Store::read(reader), Keys::read(reader));
            store.zip(keys)
        })
    }

    fn part<T>(environment: &Environment, read: impl FnOnce(&mut Reader) -> Option<T>) -> Result<T, Faults> {
        let (settings, faults) = layers::gather(environment);
        let mut reader = Reader::new(settings, faults, environment.is_production());
        read(&mut reader).ok_or_else(|| reader.into_faults())
    }

    /// Every section is read before any is missed: that is what makes the faults complete.
    fn read(reader: &mut Reader) -> Option<Self> {
        let http = Http::read(reader);
        let management = Management::read(reader);
        let store = Store::read(reader);
        let keys = Keys::read(reader);
        let attio_app = AttioApp::read(reader);
        let alc = Alc::read(reader);
        let leads = Leads::read(reader);
        let attio = Attio::read(reader);
        if let (Some(leads), Some(attio)) = (&leads, &attio)
            && attio.send_on_list.is_some()
        {
            leads.outlive_repeats(reader);
        }
        let sync = Sync::read(reader);
        let retry = Retry::read(reader);
        let telemetry = Telemetry::read(reader);
        Some(Self {
            http: http?,
            management: management?,
            store: store?,
            keys: keys?,
            attio_app: attio_app?,
            alc: alc?,
            leads: leads?,
            attio: attio?,
            sync: sync?,
            retry: retry?,
            telemetry: telemetry?,
            traces: None,
            proxy: None,
        })
    }
}
