//! A person whom ALC brings, until Attio has them (`ATTIO__PROSPECTS=upsert`).
//!
//! Promises that a person who was accepted is upserted at Attio once, whatever dies meanwhile, and that the same commit
//! that forgets them here makes their record a lead with ALC's result, which is shown as every lead's is.
//!
//! It is no lead: it has no record yet, by which leads are known. And it is of a kind of its own so that a release
//! which does not know it leaves it alone, where it would take a lead without a record for one to be shown.

pub(super) mod aggregate;
pub(super) mod resealing;
mod settle;
#[cfg(test)]
mod tests;
mod work;
