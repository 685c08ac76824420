/**
 * Before Attio deletes a connection: the connector stops and cleans up behind it.
 *
 * Promises never to throw, as a throw would keep a connection that the user wants gone. So a connector that is away for a
 * moment is asked again here: nobody will ask it later.
 */
import type {Connection} from "attio/server"
import {tell} from "../../connector/connection-event"
import {isRetryable} from "../../connector/problem"

/** Seconds before another try. */
const PAUSES = [1, 4]

/** Milliseconds for each of the three: with the pauses 26 seconds at most, of the 30 that Attio gives. */
const PATIENCE = 7_000

export default async function connectionRemoved({connection}: {connection: Connection}): Promise<void> {
    if (connection.ownedBy.type !== "workspace") return
    for (const pause of [...PAUSES, null]) {
        const answer = await tell("connection-removed", connection, PATIENCE)
        if (!("problem" in answer)) return
        if (pause === null || !isRetryable(answer.problem)) {
            console.error(`connection-removed was not taken by the connector: ${answer.problem.slug}`)
            return
        }
        await new Promise<void>((resolve) => void setTimeout(resolve, pause * 1_000))
    }
}
