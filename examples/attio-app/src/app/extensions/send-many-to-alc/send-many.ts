/**
 * A selection of people on their way to ALC, with progress and a summary.
 *
 * Promises one query and, where every first number is taken, one request for each 250 people; a person left out stops no
 * other; a connector that takes nothing stops the run, and what was not tried is in the summary.
 */
import {
    alert,
    type BulkRecordActionBatchRunOutcome,
    type RecordBatch,
    type RunRecordBatchesOptions,
    runQuery,
} from "attio/client"
import type {Person} from "../../../connector/person"
import {ATTIO_FAILED, type Problem} from "../../../connector/problem"
import sendLeads from "../../../connector/send-leads.server"
import peopleQuery from "../../../graphql/people.graphql"
import {Tally} from "../../../words/bulk"
import {pressed} from "../../presses"

type RunRecordBatches = (
    options: RunRecordBatchesOptions,
    worker: (batch: RecordBatch) => Promise<number>
) => Promise<BulkRecordActionBatchRunOutcome<number>>

/** What the connector takes at once, and Attio hands over at most. */
const BATCH = 250

export async function sendMany(runRecordBatches: RunRecordBatches): Promise<void> {
    const tally = new Tally()
    let stopped: Problem | null = null
    let selected = 0
    const outcome = await runRecordBatches(
        {
            batchSize: BATCH,
            onStart: ({totalRecords}) => {
                selected = totalRecords
                return {title: "Preparing to send to ALC…"}
            },
            onProgress: ({processedRecords, totalRecords}) => ({
                title: "Sending to ALC…",
                text: `${processedRecords} of ${totalRecords}`,
            }),
            onComplete: ({totalRecords}) => ({title: "Done", text: `${totalRecords} of ${totalRecords}`}),
            onError: () => ({title: "Stopped", text: "Not everybody could be sent."}),
        },
        async ({recordIds}) => {
            const problem = await sendBatch(recordIds, tally)
            if (problem) {
                stopped = problem
                // This is how Attio is told to stop; the words come from `stopped`.
                throw new Error("the connector takes nothing now")
            }
            return recordIds.length
        }
    )
    if (!outcome.success) tally.stop(stopped ?? ATTIO_FAILED, selected)
    await alert(tally.words())
}

/** Gives the problem that concerns all of them. */
async function sendBatch(recordIds: Array<string>, tally: Tally): Promise<Problem | null> {
    const {people, leftOut} = await read(recordIds)
    for (const {why, name} of leftOut) tally.leaveOut(why, name)
    if (people.length > 0) {
        const sent = await sendLeads(people).catch(() => ({problem: ATTIO_FAILED}))
        if ("problem" in sent) {
            tally.refuse(sent.problem, null, people.length)
            return sent.problem
        }
        people.forEach(({name, recordId}, at) => {
            const result = sent.results[at]
            if (result) tally.add(result, name)
            pressed(recordId)
        })
    }
    return null
}

async function read(recordIds: Array<string>) {
    const {records} = await runQuery(peopleQuery, {recordIds})
    const found = new Map(
        records.flatMap((record) => (record && "name" in record ? [[record.id, record] as const] : []))
    )
    const people: Array<Person> = []
    const leftOut: Array<{why: string; name: string | null}> = []
    for (const recordId of recordIds) {
        const record = found.get(recordId)
        const name = record?.name?.full_name?.trim()
        if (!record) leftOut.push({why: "The record can’t be found", name: null})
        else if (!name) leftOut.push({why: "No name", name: null})
        else if (record.phone_numbers.length === 0) leftOut.push({why: "No phone number", name})
        else people.push({recordId, name, phoneNumbers: record.phone_numbers})
    }
    return {people, leftOut}
}
