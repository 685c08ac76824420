//! The demo: `make demo`.
//!
//! Owns the cast: the pretend services, the connector as a child process, the page. Promises to exit 0 only if every
//! step of a lead's life really happened, as read back from the pretend services, and to leave nothing running behind.

mod app;
mod besides;
mod button;
mod children;
mod http;
mod log;
mod page;
mod story;
mod telling;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Alc, Attio,
    alc::{Consent, Settings},
    ambient::{self, Time, random},
    attio::refusal,
    wire::Server,
};
use app::App;
use button::Button;
use children::{Children, ConnectorPlan};
use page::Page;
pub use telling::say;

/// How the demo is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The connector's binary.
    pub connector: PathBuf,
    /// The Attio app's folder; it need not be built.
    pub attio_app: PathBuf,
    /// Whether to exit after the last step.
    pub once: bool,
    /// Where the page is served; 0: any free port.
    pub port: u16,
    /// Whether to run on Redis instead of SQLite.
    pub redis: bool,
    /// Whether Attio refuses every PATCH, so that the demo must fail.
    pub attio_refuses: bool,
}

impl Plan {
    /// Reads `DEMO_ONCE`, `DEMO_PORT`, `DEMO_STORE` and `DEMO_FAULT`; an unknown word in one is an error, not ignored.
    pub fn from_environment(connector: PathBuf, attio_app: PathBuf) -> Result<Self, String> {
        let once = ambient::variable("DEMO_ONCE").is_some_and(|value| value != "0");
        let port = match ambient::variable("DEMO_PORT") {
            Some(text) => text.parse().map_err(|_| format!("DEMO_PORT={text} is no port"))?,
            None if once => 0,
            None => 7070,
        };
        let redis = match ambient::variable("DEMO_STORE").as_deref() {
            None | Some("sqlite") => false,
            Some("redis") => true,
            Some(other) => return Err(format!("DEMO_STORE={other}: it is sqlite or redis")),
        };
        let attio_refuses = match ambient::variable("DEMO_FAULT").as_deref() {
            None => false,
            Some("attio") => true,
            Some(other) => return Err(format!("DEMO_FAULT={other}: the one fault that the demo knows is attio")),
        };
        Ok(Self { connector, attio_app, once, port, redis, attio_refuses })
    }
}

/// Runs the demo; `true` if every step happened.
pub async fn run(plan: &Plan) -> io::Result<bool> {
    let alc = Alc::start_on(0, Settings::rich()).await?;
    let attio = Attio::start().await?;
    attio.configure(|attio| attio.https_webhooks_only = false);
    attio.add_list(children::LIST, &["Qualified", "Lost"]);
    attio.add_list(children::SENDING_LIST, &[]);
    if plan.attio_refuses {
        attio
            .faults()
            .always("patch_record", refusal(403, "unauthorized", "DEMO_FAULT=attio: records may not be written."));
    }
    let app = Arc::new(App::new(alc.clone(), attio.clone()));
    let button = Arc::new(Button::find(&plan.attio_app).await);
    let page = Page { app: app.clone(), button: button.clone() };
    let page = Server::start(plan.port, Arc::new(page), Time::default()).await.map_err(|error| {
        io::Error::new(error.kind(), format!("port {} for the page: {error} (DEMO_PORT chooses another)", plan.port))
    })?;
    let client_secret = random("");
    let redirect_uri = format!("{}/attio/redirect", page.url());
    let connector_plan = ConnectorPlan {
        binary: &plan.connector,
        redis: plan.redis,
        alc: &alc,
        attio: &attio,
        client_id: "attio-app",
        client_secret: &client_secret,
        redirect_uri: &redirect_uri,
    };
    let mut children = Children::start(&connector_plan).await?;
    app.meet(&children.connector_url, "attio-app", &client_secret, &redirect_uri);

    let open_for_visitors = AtomicBool::new(false);
    let happened = tokio::select! {
        happened = perform(plan, &app, &button, &page, &mut children, &open_for_visitors) => happened,
        stopped = told_to_stop() => {
            stopped?;
            // Ctrl-C ends the visit in the ordinary way; before that it means that the steps were not seen to happen.
            open_for_visitors.load(Ordering::Relaxed)
        }
    };
    if !happened {
        children.show_log();
    }
    let stopped = children.stop().await;
    let whole = telling::told(stopped.is_ok(), "the connector stops on SIGTERM", "exit code 0", &told_stop(&stopped));
    Ok(happened && whole.is_ok())
}

fn told_stop(stopped: &Result<(), String>) -> String {
    stopped.as_ref().map_or_else(Clone::clone, |()| "exit code 0".to_owned())
}

/// Plays the life; then, unless once is enough, stays until the connector ends by itself.
async fn perform(
    plan: &Plan,
    app: &App,
    button: &Button,
    page: &Server,
    children: &mut Children,
    open: &AtomicBool,
) -> bool {
    if story::introduce(children, app, button).await.is_err() || story::life(app, button, children).await.is_err() {
        return false;
    }
    if plan.once {
        return true;
    }
    button.clear();
    app.new_person("Grace Hopper", "+4915223433333");
    if story::reconnect(app).await.is_err() {
        return false;
    }
    // From here on a person is at the browser, and is asked.
    app.alc.configure(|settings| settings.consent = Consent::Ask);
    open.store(true, Ordering::Relaxed);
    say(&format!("\nOpen {} and click through it. Ctrl-C ends it.", page.url()));
    children.connector_ended().await;
    say("✗ the connector has ended by itself");
    false
}

async fn told_to_stop() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}
