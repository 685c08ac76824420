//! What is remembered so that a repeat has no second effect: the last of each sort, oldest first.

/// Remembers `item` among the last `most`; `false` if it was known.
pub fn remember<T: PartialEq>(known: &mut Vec<T>, item: T, most: usize) -> bool {
    if known.contains(&item) {
        return false;
    }
    known.push(item);
    let surplus = known.len().saturating_sub(most);
    known.drain(..surplus);
    true
}
