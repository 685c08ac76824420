/** Every problem that the connector may have has words for a person; and the words say what to do. */
import assert from "node:assert/strict"
import {readFileSync} from "node:fs"
import {test} from "node:test"
import {load} from "./source.mjs"

const {problemWords, WORDS, OWN_WORDS} = await load("src/words/problems.ts")
const {sentWords, widgetWords, reasonWords, ago} = await load("src/words/leads.ts")
const {Tally} = await load("src/words/bulk.ts")

const contract = readFileSync(new URL("../../../openapi.yaml", import.meta.url), "utf8")
const slugs = [...contract.matchAll(/^ +- \{ slug: ([a-z-]+), status: (\d+), title: (.+?), do:/gm)].map(
    ([, slug]) => slug
)
const types = [...contract.matchAll(/^ +- \/problems\/([a-z-]+)$/gm)].map(([, slug]) => slug)
const reasons = contract
    .match(/reason: \{ enum: \[(.+?)\]/)[1]
    .split(", ")
    .filter((reason) => reason !== "null")

const DETAIL = "the very words of the connector"
const problem = (slug, more = {}) => ({
    slug,
    detail: DETAIL,
    requestId: "0192f0c1",
    retryAfter: null,
    errors: [],
    lead: null,
    ...more,
})
const lead = (more = {}) => ({
    record_id: "5b8bb4a5-6b5f-4b0e-9d4b-2f8b5b7e1a11",
    lead_id: "4711",
    status: "pending",
    reason: null,
    result: null,
    attio: "synced",
    last_error: null,
    created_at: "2026-11-20T18:00:00Z",
    updated_at: "2026-11-20T18:20:00Z",
    ...more,
})

test("each problem of openapi.yaml has words, and no words are for a problem that is not there", () => {
    assert.ok(slugs.length > 20, "the contract lists its problems")
    assert.deepEqual([...slugs].sort(), [...types].sort())
    assert.deepEqual(Object.keys(WORDS).sort(), [...slugs].sort())
})

for (const slug of [...slugs, ...Object.keys(OWN_WORDS)]) {
    test(`${slug}: a title and a text that a person can read`, () => {
        const {title, text} = problemWords(problem(slug))
        assert.match(title, /^[A-Z].{5,50}[^.]$/)
        assert.match(text, /^[A-Z].+[.!?]$/s)
        assert.doesNotMatch(title + text, /undefined|null|\/problems|\/v1|\.\.|  /)
    })
}

test("where a person can act, the connector's own words are there", () => {
    const own = [
        "lead-rejected",
        "connect-refused",
        "upstream-failed",
        "workspace-refused",
        "workspace-mismatch",
        "timeout",
    ]
    for (const slug of [
        ...own,
        "invalid-request",
        "too-many-callbacks",
        "workspace-connection-required",
        "internal-error",
    ]) {
        assert.match(problemWords(problem(slug)).text, /the very words of the connector/i, slug)
    }
})

test("what only the operator can mend comes with the request's id", () => {
    assert.match(problemWords(problem("internal-error")).text, /0192f0c1/)
    assert.doesNotMatch(problemWords(problem("internal-error", {requestId: null})).text, /give them/)
})

test("a problem that is newer than the app shows its own words", () => {
    assert.match(problemWords(problem("never-heard-of")).text, /The very words of the connector/)
})

test("a rule that was broken names the field as a person would", () => {
    const errors = [{pointer: "/phone_number", detail: "is not a valid phone number of its country: check the digits"}]
    const {text} = problemWords(problem("invalid-request", {errors}))
    assert.match(text, /^The phone number is not a valid phone number/)
})

test("waiting is told in seconds", () => {
    assert.match(problemWords(problem("too-many-requests", {retryAfter: 1})).text, /in 1 second\./)
    assert.match(problemWords(problem("store-unavailable", {retryAfter: 5})).text, /in 5 seconds\./)
})

test("reauthorization-required tells how to reconnect, and whether the person is kept", () => {
    const refused = problemWords(problem("reauthorization-required"))
    assert.match(refused.text, /An admin .+ connects it again: .+\. Then try again\.$/)
    const kept = problemWords(problem("reauthorization-required", {lead: lead({status: "queued"})}))
    assert.equal(kept.title, "Will be sent once ALC is connected again")
    assert.doesNotMatch(kept.text, /try again/)
})

test("the button's three answers", () => {
    const words = (took, more) => sentWords({took, lead: lead(more)}, "Ada Lovelace")
    assert.equal(words("sent").title, "Sent to ALC")
    assert.equal(words("already").title, "Already with ALC")
    assert.equal(words("already", {status: "queued"}).title, "Already on the way to ALC")
    assert.equal(words("waiting", {status: "queued"}).title, "Will be sent as soon as ALC answers")
})

test("each reason of openapi.yaml has words", () => {
    assert.ok(reasons.length >= 6)
    for (const reason of reasons) assert.doesNotMatch(reasonWords(reason).what, /^Failed:/, reason)
})

test("the widget says what, since when, and what to do", () => {
    const now = new Date("2026-11-20T20:00:00Z")
    const words = (more) => widgetWords({lead: lead(more)}, now)
    assert.deepEqual(widgetWords({lead: null}, now).badge, {text: "Not sent", color: "grey"})
    assert.equal(words({}).secondary, "Pressed 2 hours ago.", "when ALC got it, the connector does not tell")
    const complete = words({status: "complete", result: "qualified"})
    assert.equal(complete.primary, "qualified")
    assert.equal(complete.secondary, "Last change 1 hour ago.", "each try to show it in Attio is a change, too")
    const queued = words({status: "queued", last_error: "ALC could not be reached"})
    assert.equal(queued.secondary, "Pressed 2 hours ago. ALC could not be reached. It goes out by itself.")
    const failed = words({status: "failed", reason: "timed-out"})
    assert.equal(failed.primary, "ALC never answered")
    assert.match(failed.secondary, /^Last change 1 hour ago\. Press /)
    assert.match(words({attio: "failed"}).secondary, /attributes of People/)
    assert.equal(widgetWords({problem: problem("not-connected")}, now).primary, "ALC is not connected")
})

test("times are told roughly", () => {
    const now = new Date("2026-11-20T18:00:59Z")
    assert.equal(ago("2026-11-20T18:00:00Z", now), "just now")
    assert.equal(ago("2026-11-20T17:59:00Z", now), "1 minute ago")
    assert.equal(ago("2026-11-18T17:59:00Z", now), "2 days ago")
    assert.equal(ago("2026-11-20T18:05:00Z", now), "just now")
})

test("a summary adds up to what was selected", () => {
    const tally = new Tally()
    tally.add({lead: lead({status: "queued"})}, "A")
    tally.add({lead: lead()}, "B")
    tally.add({lead: lead({status: "failed", reason: "rejected"})}, "C")
    for (const name of ["D", "E", "F", "G", "H", "I"]) tally.leaveOut("No phone number", name)
    tally.stop(problem("too-many-requests", {retryAfter: 2}), 12)
    const {title, text} = tally.words()
    assert.equal(title, "Stopped before all were sent")
    assert.deepEqual(text.split("\n"), [
        "On the way to ALC: 1. They go out one after the other.",
        "Already with ALC: 1.",
        "Left out: 10.",
        "1 × ALC refuses this person. (C)",
        "6 × No phone number. (D, E, F, G, H and 1 more)",
        "3 × Too much at once. This workspace asks the ALC connector too often; nothing was sent. Try again in 2 seconds.",
    ])
})

test("nobody is called left out whom the connector may have stored", () => {
    for (const slug of [
        "unreachable",
        "unreadable",
        "attio-failed",
        "internal-error",
        "store-unavailable",
        "timeout",
    ]) {
        const tally = new Tally()
        tally.add({lead: lead({status: "queued"})}, "A")
        tally.refuse(problem(slug), null, 2)
        tally.stop(problem(slug), 6)
        const {title, text} = tally.words()
        assert.equal(title, "It is not known of all whether they were sent", slug)
        const why = problemWords(problem(slug))
        assert.deepEqual(text.split("\n"), [
            "On the way to ALC: 1. They go out one after the other.",
            "Not known: 2. Send them again: a person already on the way to ALC is not sent twice.",
            `2 × ${why.title}. ${why.text}`,
            "Left out: 3.",
            `3 × ${why.title}. ${why.text}`,
        ])
    }
    const refused = new Tally()
    refused.refuse(problem("too-many-requests"), null, 2)
    refused.stop(problem("too-many-requests"), 2)
    assert.equal(refused.words().title, "Nobody was sent to ALC")
    assert.match(refused.words().text, /^Left out: 2\./)
})

test("a person's own problem is told with its title: the text alone need not say what is wrong", () => {
    const tally = new Tally()
    tally.add({problem: problem("store-unavailable")}, "A")
    assert.match(tally.words().text, /^1 × The ALC connector can’t take anything now\. .+ \(A\)$/m)
})
