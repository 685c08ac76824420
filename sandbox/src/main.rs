//! The command line of the sandbox.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use sandbox::{
    Alc, Attio,
    alc::{Consent, Settings},
    demo::{self, Plan, say},
};

/// A pretend ALC and a pretend Attio, with faults on demand.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays the whole life of a lead; steered by `DEMO_ONCE`, `DEMO_PORT`, `DEMO_STORE`, `DEMO_FAULT`.
    Demo {
        /// The connector's binary.
        #[arg(long, default_value = "target/debug/alc-connector")]
        connector: PathBuf,
        /// The Attio app's folder: where it is built, and Node is there, the button runs it.
        #[arg(long, default_value = "examples/attio-app")]
        attio_app: PathBuf,
    },
    /// Runs the pretend services until Ctrl-C, and prints the connector's settings for them.
    Serve {
        /// The pretend ALC's port; 0: any free one.
        #[arg(long, default_value_t = 7071)]
        alc_port: u16,
        /// The pretend Attio's port; 0: any free one.
        #[arg(long, default_value_t = 7072)]
        attio_port: u16,
        /// An ALC with nothing but the known part.
        #[arg(long)]
        minimal: bool,
        /// Whether ALC's consent page asks; else it consents by itself.
        #[arg(long)]
        ask: bool,
        /// Attio's API key; a random one unless given.
        #[arg(long)]
        api_key: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo { connector, attio_app } => match Plan::from_environment(connector, attio_app) {
            Ok(plan) => demo::run(&plan).await.map_err(|error| error.to_string()),
            Err(error) => Err(error),
        },
        Command::Serve { alc_port, attio_port, minimal, ask, api_key } => {
            let mut settings = if minimal { Settings::minimal() } else { Settings::rich() };
            settings.consent = if ask { Consent::Ask } else { Consent::Allow };
            serve(settings, alc_port, attio_port, api_key).await.map_err(|error| error.to_string())
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("✗ {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings, alc_port: u16, attio_port: u16, api_key: Option<String>) -> std::io::Result<bool> {
    let alc = Alc::start_on(alc_port, settings).await?;
    let mut attio_settings = sandbox::attio::Settings::default();
    if let Some(api_key) = api_key {
        attio_settings.api_key = api_key;
    }
    let attio = Attio::start_on(attio_port, attio_settings).await?;
    let record_id = attio.add_person("Ada Lovelace", "+4915112345678");
    for (name, value) in [
        ("ALC__BASE_URL", alc.url()),
        ("ALC__AUTHORIZE_URL", alc.authorize_url()),
        ("ALC__TOKEN_URL", alc.token_url()),
        ("ALC__REVOKE_URL", alc.revoke_url()),
        ("ALC__CLIENT_ID", alc.client_id()),
        ("ALC__CLIENT_SECRET", alc.client_secret()),
        ("ATTIO__BASE_URL", attio.url()),
        ("ATTIO__API_KEY", attio.api_key()),
        ("ATTIO__CALLBACK_HOSTS", "127.0.0.1".to_owned()),
    ] {
        say(&format!("ALC_CONNECTOR__{name}={value}"));
    }
    say(&format!("# the workspace is {}, its first person {record_id}", attio.workspace_id()));
    say(
        "# both take PUT /_sandbox/faults, e.g. {\"operation\": \"create_lead\", \"fault\": {\"kind\": \"reset\"}, \"times\": 1}",
    );
    tokio::signal::ctrl_c().await?;
    Ok(true)
}
