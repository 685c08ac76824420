//! A pretend ALC and a pretend Attio, with faults on demand.
//!
//! Stands wholly apart from the service: it knows the contract's papers, not the service's code. The demo and the
//! black-box tests run against it. Each pretend service has a port of its own, remembers what was done, records what
//! was asked, and misbehaves as told, from Rust or over HTTP (`/_sandbox/…`).
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use sandbox::{Alc, Attio, Callback, Fault, Stage};
//!
//! let alc = Alc::start().await?; // rich; `Alc::start_minimal()` has only the known part
//! let attio = Attio::start().await?;
//! let record_id = attio.add_person("Ada Lovelace", "+4915112345678");
//! // … start the service with alc.url(), alc.authorize_url(), attio.url(), attio.api_key() …
//!
//! alc.faults().next("create_lead", Fault::Reset);                 // done, then RST; once
//! attio.faults().always("patch_record", Fault::status(403));      // until clear("patch_record")
//! let hold = alc.faults().hold("create_lead", Stage::After);      // done, not yet answered
//! hold.reached(1).await;
//! hold.release();
//!
//! alc.journal().wait_for("create_lead", 2).await;                 // has arrived; no polling
//! let answer = alc.call_back(Callback::new(&record_id, "qualified")).await;
//! assert_eq!(answer.status, 200);
//! attio.wait_for_status(&record_id, "Complete").await;
//! assert_eq!(attio.history(&record_id), ["Pending", "Complete"]);
//! assert_eq!(alc.leads_of(&record_id).len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! | module | owns |
//! | --- | --- |
//! | [`wire`] | sockets, faults, holds, the journal, `/_sandbox/…` |
//! | [`alc`] | the pretend ALC |
//! | [`attio`] | the pretend Attio |
//! | [`demo`] | `make demo`: the life of a lead, told step by step, and a page to click through |
//! | [`ambient`] | the machine's clock, tasks, random bytes, HTTP client |

pub mod alc;
pub mod ambient;
pub mod attio;
pub mod demo;
pub mod wire;

pub use alc::{Alc, Callback};
pub use attio::Attio;
pub use wire::{Fault, Faults, Hold, Journal, Oddity, Rule, Seen, Stage};
