//! Where things are, and how they are spelt.
//!
//! Promises that all of one tenant is in one slot of a cluster: the partition's number is the keys' hash tag. The
//! scripts build the rest of a key (`scripts/places.lua`, `common.lua`).

use jiff::Timestamp;

use crate::{
    clock::from_micros,
    store::{Key, Kind, Tenant},
};

/// Fixed at the first start of a namespace: another number would look for every tenant in another place.
pub(super) const PARTITIONS: u8 = 16;
/// Raised when keys or fields change in a way that an older version cannot live with.
pub(super) const LAYOUT: u8 = 1;

/// Microseconds from the earliest possible time, so that digits sort as times do.
const SORTABLE_ZERO: i128 = 1 << 63;

#[derive(Debug, Clone)]
pub(super) struct Keys {
    namespace: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    pub(super) fn layout(&self) -> String {
        format!("{}:layout", self.namespace)
    }

    /// Which copy fills a partition, as `scripts/restore.lua` reads it.
    pub(super) fn copy(&self, partition: u8) -> String {
        format!("{}copy", self.partition(partition))
    }

    /// What every key of a partition begins with.
    pub(super) fn partition(&self, number: u8) -> String {
        format!("{}:{{{number:02}}}:", self.namespace)
    }

    /// What the keys of all partitions begin with, as a pattern of SCAN.
    pub(super) fn any_partition(&self) -> String {
        format!("{}:{{[0-9][0-9]}}:", self.namespace)
    }

    pub(super) fn of(&self, tenant: &Tenant) -> String {
        self.partition(partition(tenant))
    }

    pub(super) fn commit(&self, tenant: &Tenant, id: uuid::Uuid) -> String {
        format!("{}c:{id}", self.of(tenant))
    }
}

/// FNV-1a: stable over versions and machines, which the standard library's hashers are not.
pub(super) fn partition(tenant: &Tenant) -> u8 {
    let hash = tenant
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The high half decides with the low one: FNV's lowest bits alone see little of the text.
    ((hash ^ (hash >> 32)) % u64::from(PARTITIONS)) as u8
}

pub(super) fn member(key: &Key) -> String {
    format!("{}:{}", key.kind.name(), key.id)
}

/// `None`: a kind of a newer version.
pub(super) fn key_of(member: &str) -> Option<Key> {
    let (kind, id) = member.split_once(':')?;
    Some(Key { kind: Kind::from_name(kind)?, id: id.to_owned() })
}

/// Twenty digits.
pub(super) fn sortable(time: Timestamp) -> String {
    format!("{:020}", i128::from(time.as_microsecond()) + SORTABLE_ZERO)
}

pub(super) fn from_sortable(digits: &str) -> Option<Timestamp> {
    let micros = digits.parse::<i128>().ok()? - SORTABLE_ZERO;
    Some(from_micros(i64::try_from(micros).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_sort_as_times_do(a in any::<i32>(), b in any::<i32>()) {
            let (a, b) = (from_micros(i64::from(a) * 1_000_003), from_micros(i64::from(b) * 1_000_003));
            prop_assert_eq!(sortable(a).cmp(&sortable(b)), a.cmp(&b));
            prop_assert_eq!(sortable(a).len(), 20);
            prop_assert_eq!(from_sortable(&sortable(a)), Some(a));
        }
    }

    #[test]
    fn tenants_spread_over_all_partitions_and_stay_where_they_are() {
        let mut counts = [0; PARTITIONS as usize];
        for n in 0..1600 {
            counts[usize::from(partition(&Tenant::new(format!("workspace-{n}"))))] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
        // Written down: what is stored is found by it.
        assert_eq!(partition(&Tenant::new("4a2c0f6e-8f0e-4d38-9d70-3b1f0a1c2d3e")), 8);
    }
}
