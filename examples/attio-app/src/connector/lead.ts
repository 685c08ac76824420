/**
 * The connector's view of one person: `Lead` of its openapi.yaml, as far as this app shows it.
 *
 * Promises to read what a newer connector adds, too: unknown fields are dropped, an unknown reason is passed on.
 */
import {z} from "zod"

export const leadSchema = z.object({
    record_id: z.string(),
    lead_id: z.string().nullable(),
    status: z.enum(["queued", "pending", "complete", "failed"]),
    reason: z.string().nullable(),
    result: z.string().nullable(),
    attio: z.enum(["synced", "scheduled", "failed"]),
    last_error: z.string().nullable(),
    created_at: z.string(),
    updated_at: z.string(),
})

export type Lead = z.infer<typeof leadSchema>

/** What the connector tells a workflow once a lead has finished: `News` of its openapi.yaml. */
export const newsSchema = z.object({
    record_id: z.string(),
    lead_id: z.string().nullable(),
    status: z.enum(["complete", "failed"]),
    result: z.string().nullable(),
    reason: z.string().nullable(),
})

export type News = z.infer<typeof newsSchema>

/** A request that a workflow's callback URL got, read as news; null if it is anything else. */
export async function newsIn(request: Request): Promise<News | null> {
    try {
        return newsSchema.safeParse(await request.json()).data ?? null
    } catch {
        return null
    }
}
