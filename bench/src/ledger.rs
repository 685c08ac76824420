//! When Attio was told what about each record.
//!
//! A record's id carries its number, so that noting a PATCH is one store into an array: neither a lock nor a look-up
//! of the pretend Attio's is measured along with the service.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use uuid::Uuid;

use crate::ambient::{now, random_bytes};

#[derive(Default)]
struct Slot {
    begun: AtomicU64,
    pending: AtomicU64,
    complete: AtomicU64,
}

/// What a record is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Pending,
    Complete,
}

/// All records of a run.
pub(crate) struct Ledger {
    slots: Vec<Slot>,
    used: AtomicUsize,
    stem: [u8; 16],
}

impl Ledger {
    pub(crate) fn new(capacity: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(capacity, Slot::default);
        Self { slots, used: AtomicUsize::new(0), stem: random_bytes() }
    }

    /// Takes `count` fresh records; the number of the first.
    pub(crate) fn take(&self, count: usize) -> usize {
        let first = self.used.fetch_add(count, Relaxed);
        assert!(first + count <= self.slots.len(), "the ledger was made for fewer records");
        first
    }

    /// The id of a record: a UUID of version 4 whose last four bytes are its number.
    pub(crate) fn id(&self, number: usize) -> Uuid {
        let mut bytes = self.stem;
        let tail = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        // Spread over the first bytes as well: ids that differ in their tail alone are no test of a hash or an index.
        for (byte, part) in bytes.iter_mut().zip(tail.map(|part| part.wrapping_mul(167))) {
            *byte ^= part;
        }
        bytes[12..].copy_from_slice(&tail);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn slot(&self, record: &[u8]) -> Option<&Slot> {
        let record = Uuid::try_parse_ascii(record).ok()?;
        let tail: [u8; 4] = record.as_bytes()[12..].try_into().ok()?;
        self.slots.get(usize::try_from(u32::from_be_bytes(tail)).ok()?)
    }

    /// A request about this record was to start at `at`.
    pub(crate) fn begin(&self, number: usize, at: u64) {
        self.slots[number].begun.store(at, Relaxed);
    }

    /// Attio was told.
    pub(crate) fn note(&self, record: &[u8], shown: Shown) {
        if let Some(slot) = self.slot(record) {
            slot.of(shown).store(now(), Relaxed);
        }
    }

    /// When Attio was told; none: not yet.
    pub(crate) fn shown(&self, number: usize, shown: Shown) -> Option<u64> {
        Some(self.slots[number].of(shown).load(Relaxed)).filter(|at| *at > 0)
    }

    /// How long it took from the start of the request about this record until Attio was told.
    pub(crate) fn lag(&self, number: usize, shown: Shown) -> Option<u64> {
        let begun = self.slots[number].begun.load(Relaxed);
        self.shown(number, shown).map(|at| at.saturating_sub(begun))
    }
}

impl Slot {
    fn of(&self, shown: Shown) -> &AtomicU64 {
        match shown {
            Shown::Pending => &self.pending,
            Shown::Complete => &self.complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_its_id() {
        let ledger = Ledger::new(70_000);
        let first = ledger.take(70_000);
        for number in [first, 1, 255, 256, 65_536, 69_999] {
            let id = ledger.id(number);
            assert_eq!(id.get_version_num(), 4);
            assert_eq!(ledger.shown(number, Shown::Pending), None);
            ledger.note(id.to_string().as_bytes(), Shown::Pending);
            assert!(ledger.shown(number, Shown::Pending).is_some());
            assert_eq!(ledger.shown(number, Shown::Complete), None);
        }
        assert_eq!(ledger.shown(2, Shown::Pending), None);
    }
}
