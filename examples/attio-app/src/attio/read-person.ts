/**
 * A person by Attio's REST API: workflow blocks run on the server, where GraphQL is not.
 *
 * Promises never to throw, to leave the connector its time of the 30 seconds that Attio gives a step, and to say whether
 * the same question may be answered a little later.
 */
import {ATTIO_API_TOKEN} from "attio/server"
import {z} from "zod"
import type {Person} from "../connector/person"
import {within} from "../within"

const recordSchema = z.object({
    data: z.object({
        values: z.object({
            name: z.array(z.object({full_name: z.string().nullable()})),
            phone_numbers: z.array(z.object({phone_number: z.string()})),
        }),
    }),
})

export type Read = {person: Person} | {error: string; retryable: boolean}

/** In milliseconds. ../connector/call.ts takes 25 seconds at most. */
const PATIENCE = 4_000

export async function readPerson(recordId: string): Promise<Read> {
    try {
        return await within(PATIENCE, read(recordId))
    } catch {
        return {error: "Attio does not give the person's record.", retryable: true}
    }
}

async function read(recordId: string): Promise<Read> {
    const response = await fetch(`https://api.attio.com/v2/objects/people/records/${recordId}`, {
        headers: {Authorization: `Bearer ${ATTIO_API_TOKEN}`, Accept: "application/json"},
    })
    if (response.status === 404) return {error: "The person's record does not exist any more.", retryable: false}
    if (!response.ok) {
        const retryable = response.status === 429 || response.status >= 500
        return {error: `Attio does not give the person's record (${response.status}).`, retryable}
    }
    const record = recordSchema.safeParse(parsed(await response.text())).data
    // Attio would give the same again.
    if (!record)
        return {error: "Attio gives the person's record in a form that this app does not know.", retryable: false}
    const {values} = record.data
    const name = values.name[0]?.full_name?.trim() ?? ""
    return {person: {recordId, name, phoneNumbers: values.phone_numbers.map((value) => value.phone_number)}}
}

function parsed(text: string): unknown {
    try {
        return JSON.parse(text)
    } catch {
        return null
    }
}
