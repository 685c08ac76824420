/** The workflow blocks: a step that waits for ALC, and a trigger that fires for each finished lead. */
import assert from "node:assert/strict"
import {randomUUID} from "node:crypto"
import {after, before, test} from "node:test"
import {Platform} from "./platform.mjs"
import {until, World} from "./world.mjs"

const NUMBER = "+4915112345678"
let world
let attio

before(async () => {
    world = await World.start({LEADS__SEND_WAIT: "500ms"})
    attio = new Platform(world)
    await attio.connect()
})

after(() => world.stop())

const metadata = (run) => ({uniqueExecutionId: run, finishCallbackUrl: `${world.attio.url}/callbacks/${run}`})
const config = (recordId, more) => ({record: {recordId, object: "people"}, ...more})
const execute = (recordId, run, more) =>
    attio.host.handle("check-lead", "execute", config(recordId, more), metadata(run))

/** What the connector told a callback URL. */
async function told(name) {
    const path = `/callbacks/${name}`
    const heard = async () =>
        (await world.attio.requests("workflow_callback")).filter((request) => request.path === path)
    await until(`a call to ${path}`, async () => (await heard()).length > 0)
    return (await heard())[0].body
}

/** The handler of a callback gets the request as it came. */
function finish(body, recordId, run) {
    const request = new Request(metadata(run).finishCallbackUrl, {method: "POST", body})
    return attio.host.handle("check-lead", "deferCallback", request, config(recordId), metadata(run))
}

test("the step defers, and finishes with ALC's result; Attio's repeats send nobody twice", async () => {
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    const run = randomUUID()
    assert.deepEqual(await execute(recordId, run), {type: "defer"})
    assert.deepEqual(await execute(recordId, run), {type: "defer"})
    await world.showsSoon(recordId, "Pending")
    assert.deepEqual(
        (await world.sentToAlc(recordId)).map(({name, phoneNumber}) => [name, phoneNumber]),
        [["Ada Lovelace", NUMBER]]
    )
    await world.alcAnswers(recordId, "qualified")
    const outcome = await finish(await told(run), recordId, run)
    const {lead_id, ...data} = outcome.data
    assert.ok(lead_id)
    assert.deepEqual(
        {...outcome, data},
        {
            type: "outcome",
            id: "complete",
            data: {record: {recordId, object: "people"}, result: "qualified"},
        }
    )

    assert.deepEqual(await execute(recordId, run), {type: "defer"}, "a repeat that comes late")
    assert.equal((await world.sentToAlc(recordId)).length, 1, "the finished send is not begun anew")
})

test("a repeat of the step after the person was edited waits for the send that the first one began", async () => {
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    const run = randomUUID()
    attio.losesAnswers = true
    assert.equal((await execute(recordId, run)).type, "error")
    attio.losesAnswers = false
    assert.deepEqual(await execute(recordId, run, {phone: {normalized: "+447400123456"}}), {type: "defer"})
    await world.showsSoon(recordId, "Pending")
    assert.deepEqual(
        (await world.sentToAlc(recordId)).map(({phoneNumber}) => phoneNumber),
        [NUMBER]
    )
    await world.alcAnswers(recordId, "qualified")
    assert.equal((await finish(await told(run), recordId, run)).id, "complete")
})

test("the step takes another number, if it is given one", async () => {
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    assert.deepEqual(await execute(recordId, randomUUID(), {phone: {normalized: "+447400123456"}}), {type: "defer"})
    await until("ALC to have it", async () => (await world.sentToAlc(recordId))[0]?.phoneNumber === "+447400123456")
})

test("what comes to the step's URL: the three outcomes, and no-op for anything else", async () => {
    const recordId = randomUUID()
    const news = {record_id: recordId, lead_id: null, status: "failed", result: null, reason: null}
    const id = async (body) => {
        const {type, id, data} = await finish(body, recordId, "a-run")
        return type === "outcome" ? [id, data.reason] : type
    }
    const failed = (reason) => JSON.stringify({...news, reason})
    assert.deepEqual(await id(failed("timed-out")), ["timed_out", undefined])
    for (const reason of ["rejected", "not-sent", "superseded", "record-deleted", "disconnected", "a-new-one"]) {
        assert.deepEqual(await id(failed(reason)), ["failed", reason])
    }
    assert.deepEqual(await id(JSON.stringify({...news, status: "complete", result: "qualified"})), [
        "complete",
        undefined,
    ])
    for (const other of ["", "{", "[]", "null", "{}", JSON.stringify({...news, status: "pending"})]) {
        assert.equal(await id(other), "no-op", other)
    }
})

test("the step's errors are retryable only where the same request may succeed", async () => {
    const error = async (recordId, more) => {
        const {type, errorMessage, retryable} = await execute(recordId, randomUUID(), more)
        return [type, retryable ?? false, errorMessage]
    }
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    assert.match((await error(randomUUID())).join(), /^error,false,The person's record does not exist/)
    assert.match((await error(recordId, {phone: {normalized: "12"}})).join(), /^error,false,.+phone number/i)
    const company = await attio.host.handle(
        "check-lead",
        "execute",
        {record: {recordId, object: "companies"}},
        metadata("x")
    )
    assert.match(company.errorMessage, /people only/)

    await world.attio.faults("get_record", {kind: "status", status: 503}, 1)
    assert.match((await error(recordId)).join(), /^error,true,Attio does not give/)
    await world.attio.faults("get_record", {kind: "status", status: 200, body: {data: {values: {}}}}, 1)
    assert.match((await error(recordId)).join(), /^error,false,Attio gives .+ in a form/)
    await world.attio.faults("get_record", {kind: "hang"})
    attio.host.hurry = 4_000
    attio.host.waited = 0
    assert.match((await error(recordId)).join(), /^error,true,Attio does not give/)
    assert.ok(attio.host.waited <= 5_000, "25 seconds are the connector's")
    attio.host.hurry = 0
    await world.attio.mend()
    await world.down()
    assert.match((await error(recordId)).join(), /^error,true,The ALC connector does not answer/)
    await world.up()

    const body = {error: {message: "on the do-not-call list"}}
    await world.alc.faults("create_lead", {kind: "status", status: 422, body}, 1)
    const rejected = await execute(recordId, randomUUID())
    assert.deepEqual([rejected.type, rejected.id, rejected.data.reason], ["outcome", "failed", "rejected"])
    assert.match(rejected.data.detail, /do-not-call/)
})

test("a step that finds ALC's grant dead waits until ALC is connected again", async () => {
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    const run = randomUUID()
    await world.alc.put("POST", "grants/revoke")
    assert.deepEqual(await execute(recordId, run), {type: "defer"}, "the lead is stored, so the call will come")
    const known = await execute(await world.addPerson("Grace Hopper", NUMBER), randomUUID())
    assert.deepEqual([known.type, known.retryable], ["error", false], "nothing is stored, so no call would come")
    await attio.connect()
    await world.showsSoon(recordId, "Pending")
    await world.alcAnswers(recordId, "qualified")
    assert.equal((await finish(await told(run), recordId, run)).id, "complete")
})

test("the trigger fires for each finished lead while it is active, and not after", async () => {
    const activation = {
        uniqueActivationId: "an activation/1",
        triggerCallbackUrl: `${world.attio.url}/callbacks/trigger`,
    }
    assert.deepEqual(await attio.host.handle("lead-processed", "activate", {}, activation), {type: "complete"})
    const recordId = await world.addPerson("Ada Lovelace", NUMBER)
    await attio.host.press(recordId)
    await world.alcAnswers(recordId, "not interested")
    const fire = (body) => {
        const request = new Request(activation.triggerCallbackUrl, {method: "POST", body})
        return attio.host.handle("lead-processed", "triggerCallback", request, {}, activation)
    }
    const {type, id, data} = await fire(await told("trigger"))
    assert.deepEqual([type, id, data.status, data.result], ["outcome", "processed", "complete", "not interested"])
    assert.deepEqual(data.record, {recordId, object: "people"})
    assert.deepEqual(await fire("nonsense"), {type: "no-op"})

    assert.deepEqual(await attio.host.handle("lead-processed", "deactivate", {}, activation), {type: "complete"})
    const after = await world.addPerson("Grace Hopper", NUMBER)
    await attio.host.press(after)
    const run = randomUUID()
    assert.deepEqual(await execute(after, run), {type: "defer"})
    await world.alcAnswers(after, "qualified")
    await told(run)
    const calls = (await world.attio.requests("workflow_callback")).filter(({path}) => path === "/callbacks/trigger")
    assert.equal(calls.length, 1, "the step was told of the second lead, the trigger was not")
})

test("a trigger that can't be registered says why, and one without a connection can be switched off", async () => {
    const activation = {uniqueActivationId: "b", triggerCallbackUrl: "https://elsewhere.example/x"}
    const {type, errorMessage} = await attio.host.handle("lead-processed", "activate", {}, activation)
    assert.equal(type, "error")
    assert.match(errorMessage, /elsewhere\.example/)
    await attio.disconnect()
    assert.deepEqual(await attio.host.handle("lead-processed", "deactivate", {}, activation), {type: "complete"})
    assert.match(
        (await attio.host.handle("lead-processed", "activate", {}, activation)).errorMessage,
        /^ALC is not connected/
    )
})

test("the configurators declare the very outcomes that the handlers give", () => {
    const declared = (id) => {
        const found = []
        const walk = (element) => {
            if (Array.isArray(element)) return element.forEach(walk)
            if (element?.type === "Outcome") found.push(element.props)
            if (element?.props?.children) walk(element.props.children)
        }
        walk(attio.host.block(id).Configurator())
        return Object.fromEntries(found.map(({id, schema}) => [id, Object.keys(schema).sort()]))
    }
    assert.deepEqual(declared("check-lead"), {
        complete: ["lead_id", "record", "result"],
        failed: ["detail", "reason", "record"],
        timed_out: ["lead_id", "record"],
    })
    assert.deepEqual(declared("lead-processed"), {processed: ["lead_id", "reason", "record", "result", "status"]})
})
