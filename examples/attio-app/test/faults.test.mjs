/** The service down, ALC slow, the grant dead, too many presses, a connect that fails: as the person at Attio meets them. */
import assert from "node:assert/strict"
import {after, before, test} from "node:test"
import {Platform} from "./platform.mjs"
import {Proxy} from "./proxy.mjs"
import {until, World} from "./world.mjs"

const NUMBER = "+4915112345678"
let world
let attio
let person = 0
const newcomer = () => world.addPerson(`Person ${(person += 1)}`, NUMBER)
const end = (shown) => shown.at(-1)

before(async () => {
    world = await World.start({LEADS__SEND_WAIT: "500ms", ALC__TIMEOUT: "1s"})
    attio = new Platform(world)
})

after(() => world.stop())

test("a connect that ALC refuses throws with ALC's words, saves nothing, and works the next time", async () => {
    await world.alc.faults("create_webhook", {kind: "status", status: 403, body: {error: "the plan has no webhooks"}})
    await assert.rejects(attio.connect(), ({message}) => {
        assert.match(message, /^ALC could not be connected\. .+ When that is mended, connect again\.$/)
        return true
    })
    assert.equal(attio.connection, null)
    await world.alc.mend()
    await attio.connect()
    assert.equal((await world.webhooks()).length, 1)
})

test("a connection of another workspace is refused", async () => {
    const connection = await attio.grant()
    const other = {...connection, ownedBy: {type: "workspace", id: "00000000-0000-4000-8000-000000000000"}}
    await assert.rejects(attio.host.event("connection-added", other), /another workspace/)
})

test("ALC slow: the press ends in time, and the person goes out by itself", async () => {
    const recordId = await newcomer()
    await world.alc.faults("create_lead", {kind: "hang"})
    const toast = end(await attio.host.press(recordId))
    assert.deepEqual([toast.kind, toast.title], ["toast", "Will be sent as soon as ALC answers"])
    assert.equal(end(await attio.host.press(recordId)).title, "Already on the way to ALC")
    await world.alc.mend()
    await world.showsSoon(recordId, "Pending")
})

test("ALC refuses for good: its words are shown", async () => {
    const recordId = await newcomer()
    const body = {error: {message: "the phone number is on the do-not-call list"}}
    await world.alc.faults("create_lead", {kind: "status", status: 422, body}, 1)
    const alert = end(await attio.host.press(recordId))
    assert.equal(alert.title, "ALC refuses this person")
    assert.match(alert.text, /do-not-call list.* Correct the person’s data, then try again\.$/)
    assert.equal(await world.shows(recordId), null)
    assert.equal(end(await attio.host.press(recordId)).title, "Sent to ALC")
})

test("the service goes down and comes back", async () => {
    const recordId = await newcomer()
    await world.down()
    const alert = end(await attio.host.press(recordId))
    assert.deepEqual([alert.kind, alert.title], ["alert", "The ALC connector does not answer"])
    await world.up()
    assert.equal(end(await attio.host.press(recordId)).title, "Sent to ALC")
    await world.showsSoon(recordId, "Pending")
})

test("the answer to a press is lost: pressing again sends nobody twice", async () => {
    const recordId = await newcomer()
    attio.losesAnswers = true
    assert.equal(end(await attio.host.press(recordId)).title, "The ALC connector does not answer")
    attio.losesAnswers = false
    assert.equal(end(await attio.host.press(recordId)).title, "Already with ALC")
    assert.equal((await world.sentToAlc(recordId)).length, 1)
})

test("ALC's grant is dead: the alert says how to reconnect, and the person goes out after that", async () => {
    const recordId = await newcomer()
    await world.alc.put("POST", "grants/revoke")
    const kept = end(await attio.host.press(recordId))
    assert.equal(kept.title, "Will be sent once ALC is connected again")
    assert.match(kept.text, /An admin of the workspace connects it again: /)
    const refused = end(await attio.host.press(await newcomer()))
    assert.equal(refused.title, "ALC has to be connected again")
    await attio.connect()
    await world.showsSoon(recordId, "Pending")
})

test("too many presses: the alert says how long to wait", async () => {
    const narrow = await World.start({HTTP__REQUESTS_PER_SECOND: "1"})
    try {
        const busy = new Platform(narrow)
        await busy.connect()
        const recordId = await narrow.addPerson("Ada Lovelace", NUMBER)
        const presses = await Promise.all(Array.from({length: 6}, () => busy.host.press(recordId).catch(() => [])))
        const alerts = busy.host.shown.filter(({kind}) => kind === "alert")
        assert.ok(presses.length === 6 && alerts.length > 0, "some presses were too many")
        assert.equal(alerts[0].title, "Too much at once")
        assert.match(alerts[0].text, /nothing was sent\. Try again in \d+ seconds?\.$/)
    } finally {
        await narrow.stop()
    }
})

test("connection-removed never throws, asks again a service that is away for a moment, and gives up in time", async () => {
    await world.down()
    const leaving = attio.disconnect()
    await until("the first try", () => attio.requests.at(-1).path === "/v1/events/connection-removed")
    await world.up()
    await leaving
    assert.equal(attio.requests.at(-1).status, 202)
    await until("the webhooks to go", async () => (await world.webhooks()).length === 0)

    const connection = await attio.grant()
    await world.down()
    const began = Date.now()
    await attio.host.event("connection-removed", connection)
    assert.ok(Date.now() - began < 20_000)
    assert.deepEqual(attio.host.console, ["connection-removed was not taken by the connector: unreachable"])
    await world.up()
})

test("the proxy in front of a connector that is away: told as such, and asked again", async () => {
    await attio.connect()
    const proxy = await Proxy.start(world.url)
    attio.host.settings = {serviceUrl: proxy.url}
    try {
        for (const page of [502, 503, 504]) {
            proxy.pages = [page]
            const alert = end(await attio.host.press(await newcomer()))
            assert.equal(alert.title, "The ALC connector does not answer", `${page}`)
        }
        proxy.pages = [500]
        assert.equal(end(await attio.host.press(await newcomer())).title, "The ALC connector’s answer can’t be read")

        const config = {record: {recordId: await newcomer(), object: "people"}}
        const metadata = {uniqueExecutionId: "behind a proxy", finishCallbackUrl: `${world.attio.url}/callbacks/proxy`}
        proxy.pages = [502]
        const step = await attio.host.handle("check-lead", "execute", config, metadata)
        assert.deepEqual([step.type, step.retryable], ["error", true])
        assert.deepEqual(await attio.host.handle("check-lead", "execute", config, metadata), {type: "defer"})

        attio.host.hurry = 4_000
        proxy.pages = [502, 503]
        proxy.requests.length = 0
        await attio.disconnect()
        assert.equal(proxy.requests.length, 3)
        await until("the webhooks to go", async () => (await world.webhooks()).length === 0)
    } finally {
        attio.host.settings = {}
        attio.host.hurry = 0
        await proxy.stop()
    }
})

test("connection-removed ends within Attio's 30 seconds without a throw, whatever hangs", async () => {
    const connection = await attio.grant()
    const proxy = await Proxy.start(world.url)
    proxy.hangs = true
    attio.host.hurry = 7_000
    try {
        attio.host.settings = {serviceUrl: proxy.url}
        attio.host.waited = 0
        attio.host.console = []
        await attio.host.event("connection-removed", connection)
        assert.deepEqual(attio.host.console, ["connection-removed was not taken by the connector: unreachable"])
        assert.ok(attio.host.waited < 30_000, `${attio.host.waited} ms`)

        // The settings fail, so the connector that the token names is asked.
        attio.host.hurry = 0
        attio.host.settings = () => Promise.reject(new Error("a hiccup"))
        await attio.host.event("connection-removed", connection)
        assert.equal(attio.requests.at(-1).status, 202)
    } finally {
        attio.host.settings = {}
        attio.host.hurry = 0
        await proxy.stop()
    }
})

test("a send that fails while the press waits for ALC is told as failed", async () => {
    await attio.connect()
    const proxy = await Proxy.start(world.url)
    attio.host.settings = {serviceUrl: proxy.url}
    try {
        // As the connector answers when the person is merged or deleted meanwhile; and why, may be newer than this app.
        for (const [reason, title, text] of [
            ["superseded", "Sent again under another record", "Nothing to do: the newer one counts."],
            ["never-heard-of", "Failed: never-heard-of", "Press Send to ALC again."],
        ]) {
            proxy.changes = (lead) => ({...lead, status: "failed", reason})
            const alert = end(await attio.host.press(await newcomer()))
            assert.deepEqual(alert, {kind: "alert", title, text})
        }
    } finally {
        attio.host.settings = {}
        await proxy.stop()
    }
})
