/**
 * Before Attio saves a connection: the connector makes it ready, or the user is asked again.
 *
 * Promises to throw whenever the connector has not confirmed it, as Attio would else keep a connection that sends nothing.
 */
import type {Connection} from "attio/server"
import {tell} from "../../connector/connection-event"
import {problemLine} from "../../words/problems"

export default async function connectionAdded({connection}: {connection: Connection}): Promise<void> {
    // The app has no use for a connection of a single user.
    if (connection.ownedBy.type !== "workspace") return
    const answer = await tell("connection-added", connection)
    if ("problem" in answer) throw new Error(problemLine(answer.problem))
}
