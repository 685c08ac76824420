//! One job at one subject, measured once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hdrhistogram::Histogram;

use crate::{
    ambient::{between, now},
    ledger::Ledger,
    load::{Outcome, Units, histogram, run},
    plan::{Job, Plan, Work},
    subject::{Counts, Subject},
    work::Leads,
};

/// How long Attio may stay untold of what was answered.
const PATIENCE: Duration = Duration::from_secs(120);
/// After Attio was told, the service commits that it was: this belongs to the costs as well.
const REST: Duration = Duration::from_millis(200);

/// The figures of one row, in the order of the table's columns.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Milliseconds until the answer: half, 95, 99 and 99.9 of a hundred requests had it by then.
    pub(crate) latency: [f64; 4],
    /// Milliseconds until Attio was told: half, and 99 of a hundred; not a number where Attio is told nothing.
    pub(crate) shown: [f64; 2],
    /// Microseconds of the service's and of Redis's CPU for each request.
    pub(crate) cpu: f64,
    pub(crate) redis_cpu: f64,
    /// Redis scripts for each request.
    pub(crate) scripts: f64,
    /// Bytes that Redis's data grew by, for each request.
    pub(crate) redis_bytes: f64,
    /// Megabytes of the service at its highest so far.
    pub(crate) memory: f64,
}

/// Measures it. Fails if a request is answered otherwise than it must be, or if Attio is not told of every lead.
pub(crate) async fn measure(
    subject: &Subject,
    ledger: &Arc<Ledger>,
    plan: &Plan,
    job: Job,
) -> Result<Measured, String> {
    let fresh = |work| Leads::fresh(subject.service, &subject.workspaces, ledger, (work, plan.requests, plan.batch));
    let leads = if job.work == Work::Callback {
        let sent = Arc::new(fresh(Work::Send));
        let callbacks = sent.at(Work::Callback);
        complete(subject, sent, plan.callers, None).await?;
        callbacks
    } else {
        fresh(job.work)
    };
    let leads = Arc::new(leads);
    let before = subject.counts().await?;
    let outcome = complete(subject, Arc::clone(&leads), plan.callers, job.rate).await?;
    let after = subject.counts().await?;
    let mut shown = histogram();
    leads.lags().for_each(|lag| shown.saturating_record(lag));
    let measured = figures(subject, [before, after], &outcome, leads.items())?;
    Ok(Measured { shown: [50.0, 99.0].map(|percent| milliseconds(&shown, percent)), ..measured })
}

/// Measures requests that change nothing.
pub(crate) async fn measure_reads(
    listener: SocketAddr,
    subject: &Subject,
    units: Arc<impl Units>,
    callers: usize,
) -> Result<Measured, String> {
    let (items, before) = (units.count(), subject.counts().await?);
    let outcome = run(listener, units, callers, None).await?;
    let after = subject.counts().await?;
    refuse_failures(subject, &outcome)?;
    figures(subject, [before, after], &outcome, items)
}

fn figures(
    subject: &Subject,
    [before, after]: [Counts; 2],
    outcome: &Outcome,
    items: usize,
) -> Result<Measured, String> {
    let items = items as f64;
    let each = |total: Duration| total.as_secs_f64() * 1e6 / items;
    Ok(Measured {
        per_second: items / outcome.elapsed.as_secs_f64(),
        latency: [50.0, 95.0, 99.0, 99.9].map(|percent| milliseconds(&outcome.latency, percent)),
        shown: [f64::NAN; 2],
        cpu: each(after.cpu.saturating_sub(before.cpu)),
        redis_cpu: each(after.redis_cpu.saturating_sub(before.redis_cpu)),
        scripts: after.scripts.saturating_sub(before.scripts) as f64 / items,
        redis_bytes: (after.redis_memory as f64 - before.redis_memory as f64) / items,
        memory: subject.peak_memory()? as f64 / (1024.0 * 1024.0),
    })
}

fn refuse_failures(subject: &Subject, outcome: &Outcome) -> Result<(), String> {
    let Some(first) = outcome.failures.first() else { return Ok(()) };
    let (count, words) = (outcome.failures.len(), subject.last_words());
    Err(format!("{count} requests at the {} failed; the first: {first}\n{words}", subject.name))
}

/// Runs the load, and waits until Attio has been told of all of it.
pub(crate) async fn complete(
    subject: &Subject,
    leads: Arc<Leads>,
    callers: usize,
    rate: Option<u32>,
) -> Result<Outcome, String> {
    let outcome = run(subject.service, Arc::clone(&leads), callers, rate).await?;
    refuse_failures(subject, &outcome)?;
    let start = now();
    while leads.owed() > 0 {
        if between(start, now()) > PATIENCE {
            return Err(format!("Attio was not told of {} leads of the {}", leads.owed(), subject.name));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(REST).await;
    Ok(outcome)
}

fn milliseconds(histogram: &Histogram<u64>, percent: f64) -> f64 {
    histogram.value_at_percentile(percent) as f64 / 1e6
}
