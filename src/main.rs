//! The command line; nothing else.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use alc_connector::{
    app::{self, App, Parts, files, traces},
    cli::{self, ConnectionsCommand, GatesCommand, LeadsCommand, LettersCommand, StoreCommand, SyncArgs},
    config::{Config, Environment, keys::FreshKeys},
    http::health,
    lifecycle::Lifecycle,
    telemetry,
};
use clap::{Parser, Subcommand};
use secrecy::ExposeSecret as _;

/// Joins Attio and Acme Lead Checker: leads out, results back.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service until SIGTERM or SIGINT.
    Serve,
    /// Prints every fault of the configuration at once.
    CheckConfig,
    /// Asks the running service whether it is ready.
    Healthcheck,
    /// What happened to leads, in a running service.
    Leads {
        #[command(subcommand)]
        command: LeadsCommand,
    },
    /// What a running service has given up, and doing it once more.
    DeadLetters {
        #[command(subcommand)]
        command: LettersCommand,
    },
    /// The workspaces' connections and webhooks in a running service.
    Connections {
        #[command(subcommand)]
        command: ConnectionsCommand,
    },
    /// The gates before ALC, Attio and workflows in a running service.
    Gates {
        #[command(subcommand)]
        command: GatesCommand,
    },
    /// Looks both sides through in a running service, and sets right what differs.
    #[command(after_help = cli::SYNC_HELP)]
    Sync {
        #[command(flatten)]
        arguments: SyncArgs,
    },
    /// Looks whether this deployment can work: store, ALC, Attio, keys, clock, public URL, TLS, file limits.
    Doctor,
    /// The store as a whole: copied into another one, or checked. Needs no running service.
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// The keys that seal and sign.
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Prints fresh keys, and a secret for the Attio app's connection, as environment lines.
    Generate,
}

fn main() -> ExitCode {
    // Before anything asks for TLS: reqwest and redis take the process's default. An error says that it is there.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match Cli::parse().command {
        Command::Serve => serve(),
        Command::CheckConfig => check_config(),
        Command::Healthcheck => healthcheck(),
        Command::Leads { command } => cli::leads(&Environment::of_process(), command).and_then(printed),
        Command::DeadLetters { command } => cli::letters(&Environment::of_process(), command).and_then(printed),
        Command::Connections { command } => cli::connections(&Environment::of_process(), command).and_then(printed),
        Command::Gates { command } => cli::gates(&Environment::of_process(), command).and_then(printed),
        Command::Sync { arguments } => return told(cli::sync(&Environment::of_process(), arguments)),
        Command::Doctor => doctor(),
        Command::Store { command } => return told(cli::store(&Environment::of_process(), command)),
        Command::Keys { command: KeysCommand::Generate } => generate_keys(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _unheard = writeln!(io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let environment = Environment::of_process();
    let config = Config::load(&environment).map_err(|faults| faults.to_string())?;
    telemetry::log(config.telemetry.format, &config.telemetry.filter);
    telemetry::log_panics();
    files::raise_limit();
    for warning in config.warnings(&environment) {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let done = runtime.block_on(async {
        traces::begin(&config);
        let lifecycle = Lifecycle::new();
        // Not on the lifecycle, whose drain would wait for a second signal.
        let _signals = runtime.spawn(app::stop_on_signals(lifecycle.clone()));
        let parts = Parts { lifecycle: Some(lifecycle.clone()), ..Parts::default() };
        // A SQLite file may be held by the process before this one for a while; a signal must end the wait.
        let app = tokio::select! {
            built = App::build(config, parts) => built.map_err(|error| error.to_string())?,
            () = lifecycle.leaving() => return Ok(()),
        };
        tracing::info!(
            version = telemetry::VERSION.version,
            public = %app.public_addr(),
            management = %app.management_addr(),
            "serving"
        );
        app.run().await.map_err(|error| error.to_string())
    });
    // Whatever still blocks has had its time.
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

fn check_config() -> Result<(), String> {
    let environment = Environment::of_process();
    let config = Config::load(&environment).map_err(|faults| faults.to_string())?;
    for warning in config.warnings(&environment) {
        let _unheard = writeln!(io::stderr(), "{warning}");
    }
    print("configuration is valid")
}

fn healthcheck() -> Result<(), String> {
    let bind = Config::management_bind(&Environment::of_process()).map_err(|faults| faults.to_string())?;
    health::ask(bind)
}

fn printed(printed: cli::Printed) -> Result<(), String> {
    print(&printed.text)?;
    printed.then.map_or(Ok(()), Err)
}

fn doctor() -> Result<(), String> {
    let (report, is_well) = cli::doctor(&Environment::of_process())?;
    print(&report)?;
    if is_well { Ok(()) } else { Err("something has to be mended: see FAIL above".to_owned()) }
}

/// 0: all is well; 1: something differs or is wrong; 2: it could not be done.
fn told(done: Result<(String, bool), String>) -> ExitCode {
    match done {
        Ok((report, is_well)) if print(&report).is_ok() => ExitCode::from(u8::from(!is_well)),
        Ok(_) => ExitCode::from(2),
        Err(message) => {
            let _unheard = writeln!(io::stderr(), "{message}");
            ExitCode::from(2)
        }
    }
}

fn generate_keys() -> Result<(), String> {
    let keys = FreshKeys::generate();
    print(&format!(
        "ALC_CONNECTOR__KEYS__SEALING={}\nALC_CONNECTOR__KEYS__SIGNING={}\nALC_CONNECTOR__ATTIO_APP__CLIENT_SECRET={}",
        keys.sealing.expose_secret(),
        keys.signing.expose_secret(),
        keys.client_secret.expose_secret()
    ))
}

fn print(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|error| error.to_string())
}
