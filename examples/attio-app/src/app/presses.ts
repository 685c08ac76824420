/** Tells the widget of a press on the record that it shows, as the two have no other way to each other. */
type Listener = () => void

const listeners = new Map<string, Set<Listener>>()

/** Calls `listener` after each press on this record, until the function that it gives is called. */
export function onPress(recordId: string, listener: Listener): () => void {
    const all = listeners.get(recordId) ?? new Set()
    listeners.set(recordId, all.add(listener))
    return () => {
        all.delete(listener)
    }
}

export function pressed(recordId: string): void {
    for (const listener of listeners.get(recordId) ?? []) listener()
}
