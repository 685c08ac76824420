/** A time limit for work that has none of its own. Attio's runtime need not know AbortSignal: a timer is all this takes. */
export async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const tooLate = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("too late")), milliseconds)
    })
    try {
        return await Promise.race([work, tooLate])
    } finally {
        if (timer !== undefined) clearTimeout(timer)
    }
}
