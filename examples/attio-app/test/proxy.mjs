/**
 * Stands between the app and the connector, as the TLS proxy does that every installation has: passes requests on, or
 * answers with a page of its own as one does whose connector is away, or keeps silent.
 */
import {createServer} from "node:http"

export class Proxy {
    /** The statuses of the next answers; null passes the request on, and so does an end of the list. */
    pages = []
    /** Whether requests get no answer at all. */
    hangs = false
    /** Changes the connector's answers, to those that it gives only after hours or in a race. */
    changes = null
    /** Paths of all requests. */
    requests = []

    static async start(target) {
        const proxy = new Proxy()
        proxy.server = createServer((request, response) => void proxy.#answer(target, request, response))
        await new Promise((done) => proxy.server.listen(0, "127.0.0.1", done))
        proxy.url = `http://127.0.0.1:${proxy.server.address().port}`
        return proxy
    }

    async stop() {
        const closed = new Promise((done) => this.server.close(done))
        this.server.closeAllConnections()
        await closed
    }

    async #answer(target, request, response) {
        this.requests.push(request.url)
        if (this.hangs) return
        const page = this.pages.shift() ?? null
        if (page !== null) {
            response.writeHead(page, {"content-type": "text/html"}).end(`<html><h1>${page}</h1></html>`)
            return
        }
        const chunks = []
        for await (const chunk of request) chunks.push(chunk)
        const {authorization, "content-type": type, "idempotency-key": key} = request.headers
        const headers = {authorization, ...(type && {"content-type": type}), ...(key && {"idempotency-key": key})}
        const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined
        const answer = await fetch(target + request.url, {method: request.method, headers, body})
        const told = await answer.text()
        const text = this.changes ? JSON.stringify(this.changes(JSON.parse(told))) : told
        response.writeHead(answer.status, {"content-type": answer.headers.get("content-type") ?? ""}).end(text)
    }
}
