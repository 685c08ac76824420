/**
 * One press of "Send to ALC", as the person sees it: a toast while it is prepared, then one toast or one alert.
 *
 * Promises that every press ends in words, whatever fails, and that the widget is told of every press.
 */
import {alert, runQuery, showToast} from "attio/client"
import {ATTIO_FAILED} from "../../../connector/problem"
import sendLead from "../../../connector/send-lead.server"
import personQuery from "../../../graphql/person.graphql"
import {failedWords, sentWords} from "../../../words/leads"
import {problemWords, type Words} from "../../../words/problems"
import {pressed} from "../../presses"

/** As long as Attio lets a server function run: the toast is taken away when the answer is there. */
const PREPARING = 30_000

export async function press(recordId: string): Promise<void> {
    const preparing = await showToast({variant: "neutral", title: "Preparing to send to ALC…", durationMs: PREPARING})
    let end: () => Promise<unknown>
    try {
        end = await send(recordId)
    } catch {
        end = () => alert(problemWords(ATTIO_FAILED))
    }
    await preparing.hideToast()
    pressed(recordId)
    await end()
}

/** Sends, and gives what is to be shown once the first toast is gone. */
async function send(recordId: string): Promise<() => Promise<unknown>> {
    const {person} = await runQuery(personQuery, {recordId})
    const name = person?.name?.full_name?.trim()
    const missing = !person ? GONE : !name ? NAMELESS : person.phone_numbers.length === 0 ? NUMBERLESS : null
    if (missing || !person || !name) return () => alert(missing ?? GONE)
    const sent = await sendLead({recordId, name, phoneNumbers: person.phone_numbers})
    if ("problem" in sent) return () => alert(problemWords(sent.problem))
    // It was taken, and came to its end while the connector waited for ALC.
    if (sent.lead.status === "failed") return () => alert(failedWords(sent.lead))
    return () => showToast(sentWords(sent, name))
}

const GONE: Words = {
    title: "This person can’t be found",
    text: "The record may have been deleted or merged. Reload the page.",
}
const NAMELESS: Words = {
    title: "This person has no name",
    text: "Enter a name, then press again: ALC greets people by it.",
}
const NUMBERLESS: Words = {
    title: "This person has no phone number",
    text: "Enter one, then press again: ALC chats with people by SMS.",
}
